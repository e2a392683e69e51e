"""The routes by which versions of data go to remotes, come from them, and are verified."""

from __future__ import annotations

from treadle.api.route import Call, RouteSpec
from treadle.data import Fetch, FetchedVersion, Pull, Pulled, Push, PushedVersions, Verified, Verify


def _push(call: Call) -> PushedVersions:
    """Pushes versions to a remote; each is listed there when all of it is there."""
    return call.rooms.remotes.push(call.body)


def _fetch(call: Call) -> list[FetchedVersion]:
    """Brings versions from a remote into the blob store, and lets branches that are behind follow."""
    return call.rooms.remotes.fetch(call.body)


def _pull(call: Call) -> Pulled:
    """Brings what pointers name from a remote, and into the project's folder meanwhile."""
    return call.rooms.remotes.pull(call.body)


def _verify(call: Call) -> Verified:
    """Reads versions bit for bit, here or at a remote, and mends them if that is asked for."""
    return call.rooms.remotes.verify(call.body)


DATA_REMOTE_ROUTES = (
    RouteSpec("POST", "/v1/data/pushes", _push, PushedVersions, Push),
    RouteSpec("POST", "/v1/data/fetches", _fetch, list[FetchedVersion], Fetch),
    RouteSpec("POST", "/v1/data/pulls", _pull, Pulled, Pull),
    RouteSpec("POST", "/v1/data/verifications", _verify, Verified, Verify),
)
