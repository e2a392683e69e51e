"""What lakeFS's clients ask of the server itself."""

from __future__ import annotations

import treadle
from treadle.api.lakefs.route import DONE, Ask, LakefsRoute, Reply
from treadle.api.lakefs.wire import ConfigOut, CurrentUserOut, SetupOut, StorageOut, UserOut, VersionOut

PROTOCOL = "1.88.0"
"""The lakeFS whose protocol this is: clients compare it with what they need."""


def _version(_: Ask) -> Reply:
    return Reply(_told())


def _told() -> VersionOut:
    return VersionOut(PROTOCOL, f"Treadle {treadle.__version__}", PROTOCOL)


def _config(_: Ask) -> Reply:
    return Reply(ConfigOut(_told(), StorageOut()))


def _storage(_: Ask) -> Reply:
    return Reply(StorageOut())


def _setup(_: Ask) -> Reply:
    return Reply(SetupOut(lakefs_version=PROTOCOL))


def _user(ask: Ask) -> Reply:
    return Reply(CurrentUserOut(UserOut(ask.actor, 0, ask.actor)))


def _nothing(_: Ask) -> Reply:
    return DONE


ROUTES = (
    LakefsRoute("get_config", "GET", "/config", _config),
    LakefsRoute("get_lake_fs_version", "GET", "/config/version", _version),
    LakefsRoute("get_storage_config", "GET", "/config/storage", _storage),
    LakefsRoute("get_setup_state", "GET", "/setup_lakefs", _setup),
    LakefsRoute("health_check", "GET", "/healthcheck", _nothing),
    LakefsRoute("get_current_user", "GET", "/user", _user),
    LakefsRoute("post_stats_events", "POST", "/statistics", _nothing),
)
