"""Registered models and their versions: made, described, found, aliased, moved between stages."""

from __future__ import annotations

from typing import Literal

import msgspec

from treadle.api.mlflow.entities import Tag, tags_out, texts_in, to_ms
from treadle.api.mlflow.route import Ask, Empty, MlflowRoute
from treadle.registry import CatalogModel, CatalogVersion, NewCatalogVersion
from treadle.retrain.publish import move_stage


class VersionOut(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A version of a registered model."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    description: str = ""
    source: str
    run_id: str = ""
    status: Literal["READY"]
    tags: list[Tag] = []
    run_link: str = ""
    aliases: list[str] = []
    model_id: str = ""


class AliasOut(msgspec.Struct, frozen=True):
    """An alias and the version that it names."""

    alias: str
    version: str


class RegisteredOut(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A registered model."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str = ""
    latest_versions: list[VersionOut] = []
    tags: list[Tag] = []
    aliases: list[AliasOut] = []


class OneRegistered(msgspec.Struct, frozen=True):
    """A registered model."""

    registered_model: RegisteredOut


class OneVersion(msgspec.Struct, frozen=True):
    """A version."""

    model_version: VersionOut


class RegisteredPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of registered models."""

    registered_models: list[RegisteredOut] = []
    next_page_token: str | None = None


class VersionPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of versions, or all there are."""

    model_versions: list[VersionOut] = []
    next_page_token: str | None = None


class DownloadUri(msgspec.Struct, frozen=True):
    """Where a version's files are."""

    artifact_uri: str


class _Name(msgspec.Struct):
    name: str


class _Create(_Name):
    tags: list[Tag] = []
    description: str = ""


class _Rename(_Name):
    new_name: str


class _Describe(_Name):
    description: str = ""


class _Search(msgspec.Struct):
    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


class _SearchVersions(_Search):
    max_results: int = 10_000


class _Latest(_Name):
    stages: list[str] = []


class _Key(_Name):
    key: str


class _Text(_Key):
    value: str = ""


class _Alias(_Name):
    alias: str


class _SetAlias(_Alias):
    version: str


class _Version(_Name):
    version: str


class _CreateVersion(_Name):
    source: str
    run_id: str | None = None
    tags: list[Tag] = []
    run_link: str = ""
    description: str = ""
    model_id: str | None = None


class _DescribeVersion(_Version):
    description: str = ""


class _Move(_Version):
    stage: str
    archive_existing_versions: bool = False


class _VersionKey(_Version):
    key: str


class _VersionText(_VersionKey):
    value: str = ""


def version_out(found: CatalogVersion) -> VersionOut:
    """A version on the wire."""
    return VersionOut(
        name=found.model,
        version=str(found.number),
        creation_timestamp=to_ms(found.created_at),
        last_updated_timestamp=to_ms(found.updated_at),
        current_stage=found.stage,
        description=found.description,
        source=found.source,
        run_id=found.run,
        status="READY",
        tags=tags_out(found.tags),
        run_link=found.run_link,
        aliases=list(found.aliases),
        model_id=found.logged_model,
    )


def registered_out(found: CatalogModel) -> RegisteredOut:
    """A registered model on the wire."""
    return RegisteredOut(
        name=found.name,
        creation_timestamp=to_ms(found.created_at),
        last_updated_timestamp=to_ms(found.updated_at),
        description=found.description,
        latest_versions=[version_out(version) for version in found.latest],
        tags=tags_out(found.tags),
        aliases=[AliasOut(alias, str(number)) for alias, number in found.aliases.items()],
    )


# ── registered models ────────────────────────────────────────────────────


def _create(ask: Ask) -> OneRegistered:
    asked = ask.read(_Create)
    made = ask.rooms.catalog.create_model(
        asked.name, description=asked.description, tags=texts_in(asked.tags)
    )
    return OneRegistered(registered_out(made))


def _get(ask: Ask) -> OneRegistered:
    return OneRegistered(registered_out(ask.rooms.catalog.model(ask.read(_Name).name)))


def _rename(ask: Ask) -> OneRegistered:
    asked = ask.read(_Rename)
    return OneRegistered(registered_out(ask.rooms.catalog.rename_model(asked.name, asked.new_name)))


def _describe(ask: Ask) -> OneRegistered:
    asked = ask.read(_Describe)
    return OneRegistered(registered_out(ask.rooms.catalog.describe_model(asked.name, asked.description)))


def _delete(ask: Ask) -> Empty:
    ask.rooms.catalog.delete_model(ask.read(_Name).name)
    return Empty()


def _search(ask: Ask) -> RegisteredPage:
    asked = ask.read(_Search)
    page = ask.rooms.catalog.search_models(
        asked.filter, asked.order_by, asked.max_results, asked.page_token or None
    )
    return RegisteredPage([registered_out(found) for found in page.models], page.token)


def _latest(ask: Ask) -> VersionPage:
    asked = ask.read(_Latest)
    return VersionPage([version_out(one) for one in ask.rooms.catalog.latest(asked.name, asked.stages)])


def _tag(ask: Ask) -> Empty:
    asked = ask.read(_Text)
    ask.rooms.catalog.tag_model(asked.name, asked.key, asked.value)
    return Empty()


def _untag(ask: Ask) -> Empty:
    asked = ask.read(_Key)
    ask.rooms.catalog.untag_model(asked.name, asked.key)
    return Empty()


def _set_alias(ask: Ask) -> Empty:
    asked = ask.read(_SetAlias)
    ask.rooms.catalog.set_alias(asked.name, asked.alias, asked.version)
    return Empty()


def _delete_alias(ask: Ask) -> Empty:
    asked = ask.read(_Alias)
    ask.rooms.catalog.delete_alias(asked.name, asked.alias)
    return Empty()


def _aliased(ask: Ask) -> OneVersion:
    asked = ask.read(_Alias)
    return OneVersion(version_out(ask.rooms.catalog.version_of_alias(asked.name, asked.alias)))


# ── versions ─────────────────────────────────────────────────────────────


def _create_version(ask: Ask) -> OneVersion:
    asked = ask.read(_CreateVersion)
    made = ask.rooms.catalog.create_version(
        NewCatalogVersion(
            model=asked.name,
            source=asked.source,
            run=asked.run_id,
            logged_model=asked.model_id,
            run_link=asked.run_link,
            description=asked.description,
            tags=texts_in(asked.tags),
        )
    )
    return OneVersion(version_out(made))


def _get_version(ask: Ask) -> OneVersion:
    asked = ask.read(_Version)
    return OneVersion(version_out(ask.rooms.catalog.version(asked.name, asked.version)))


def _describe_version(ask: Ask) -> OneVersion:
    asked = ask.read(_DescribeVersion)
    changed = ask.rooms.catalog.describe_version(asked.name, asked.version, asked.description)
    return OneVersion(version_out(changed))


def _move(ask: Ask) -> OneVersion:
    asked = ask.read(_Move)
    moved = move_stage(
        ask.rooms.workspace,
        asked.name,
        asked.version,
        asked.stage,
        archive=asked.archive_existing_versions,
    )
    return OneVersion(version_out(moved))


def _delete_version(ask: Ask) -> Empty:
    asked = ask.read(_Version)
    ask.rooms.catalog.delete_version(asked.name, asked.version)
    return Empty()


def _search_versions(ask: Ask) -> VersionPage:
    asked = ask.read(_SearchVersions)
    page = ask.rooms.catalog.search_versions(
        asked.filter, asked.order_by, asked.max_results, asked.page_token or None
    )
    return VersionPage([version_out(found) for found in page.versions], page.token)


def _download_uri(ask: Ask) -> DownloadUri:
    asked = ask.read(_Version)
    return DownloadUri(ask.rooms.catalog.version(asked.name, asked.version).storage)


def _tag_version(ask: Ask) -> Empty:
    asked = ask.read(_VersionText)
    ask.rooms.catalog.tag_version(asked.name, asked.version, asked.key, asked.value)
    return Empty()


def _untag_version(ask: Ask) -> Empty:
    asked = ask.read(_VersionKey)
    ask.rooms.catalog.untag_version(asked.name, asked.version, asked.key)
    return Empty()


ROUTES: tuple[MlflowRoute, ...] = (
    MlflowRoute("POST", "/registered-models/create", _create),
    MlflowRoute("GET", "/registered-models/get", _get),
    MlflowRoute("POST", "/registered-models/rename", _rename),
    MlflowRoute("PATCH", "/registered-models/update", _describe),
    MlflowRoute("DELETE", "/registered-models/delete", _delete),
    MlflowRoute("GET", "/registered-models/search", _search),
    MlflowRoute("GET", "/registered-models/get-latest-versions", _latest),
    MlflowRoute("POST", "/registered-models/get-latest-versions", _latest),
    MlflowRoute("POST", "/registered-models/set-tag", _tag),
    MlflowRoute("DELETE", "/registered-models/delete-tag", _untag),
    MlflowRoute("POST", "/registered-models/alias", _set_alias),
    MlflowRoute("DELETE", "/registered-models/alias", _delete_alias),
    MlflowRoute("GET", "/registered-models/alias", _aliased),
    MlflowRoute("POST", "/model-versions/create", _create_version),
    MlflowRoute("GET", "/model-versions/get", _get_version),
    MlflowRoute("PATCH", "/model-versions/update", _describe_version),
    MlflowRoute("POST", "/model-versions/transition-stage", _move),
    MlflowRoute("DELETE", "/model-versions/delete", _delete_version),
    MlflowRoute("GET", "/model-versions/search", _search_versions),
    MlflowRoute("GET", "/model-versions/get-download-uri", _download_uri),
    MlflowRoute("POST", "/model-versions/set-tag", _tag_version),
    MlflowRoute("DELETE", "/model-versions/delete-tag", _untag_version),
)
