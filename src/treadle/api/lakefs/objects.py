"""Objects: listed, described, copied, removed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from treadle.api.lakefs.places import Spot, spot, writable
from treadle.api.lakefs.route import DONE, Ask, LakefsRoute, Reply, page
from treadle.api.lakefs.wire import CopyIn, FailuresOut, PathsIn, Properties, StatsOut
from treadle.data import About, Entry, Found
from treadle.kernel.errors import NotFound

BYTES = "application/octet-stream"


def find(ask: Ask, place: Spot, path: str) -> Entry:
    """The object at a path.

    Raises:
        NotFound: If there is none.
    """
    entry = ask.rooms.staging.find(place.version, place.branch, ask.repository, path)
    if entry is None:
        raise NotFound(f"there is no object {path[:500]!r}", where=ask.repository)
    return entry


def describe(ask: Ask, place: Spot, entry: Entry) -> StatsOut:
    """What there is to say of an object."""
    about = ask.rooms.staging.about(ask.repository, [entry])
    return _stats(ask, place, entry, about)


def _stats(ask: Ask, place: Spot, entry: Entry, about: Mapping[tuple[str, str], About]) -> StatsOut:
    told = about.get((entry.path, entry.digest), About())
    at = told.written_at or (place.version.created_at if place.version else None)
    shown = ask.get("user_metadata", "true").lower() != "false"
    return StatsOut(
        path=entry.path,
        path_type="object",
        physical_address=f"blake3://{entry.digest}",
        checksum=told.checksum or entry.digest,
        mtime=seconds(at),
        size_bytes=entry.size,
        metadata=told.values if shown else None,
        content_type=told.content_type or BYTES,
    )


def seconds(at: datetime | None) -> int:
    """A moment as whole seconds since 1970."""
    return int(at.timestamp()) if at else 0


def _list(ask: Ask) -> Reply:
    place = spot(ask, ask.path["ref"])
    found = ask.rooms.staging.listing(
        place.version,
        place.branch,
        ask.repository,
        ask.get("prefix"),
        after=ask.get("after"),
        limit=ask.amount() + 1,
        delimiter=ask.get("delimiter"),
    )
    about = ask.rooms.staging.about(ask.repository, [one.entry for one in found if one.entry])

    def show(one: Found) -> StatsOut:
        if one.entry is None:
            return StatsOut(one.path, "common_prefix", "", "", 0)
        return _stats(ask, place, one.entry, about)

    return page(found, ask, lambda one: one.path, show)


def _stat(ask: Ask) -> Reply:
    place = spot(ask, ask.path["ref"])
    return Reply(describe(ask, place, find(ask, place, ask.need("path"))))


def _properties(ask: Ask) -> Reply:
    find(ask, spot(ask, ask.path["ref"]), ask.need("path"))
    return Reply(Properties())


def _delete(ask: Ask) -> Reply:
    ask.rooms.staging.remove(ask.repository, writable(ask), [ask.need("path")])
    return DONE


def _delete_many(ask: Ask) -> Reply:
    asked = ask.read(PathsIn)
    ask.rooms.staging.remove(ask.repository, writable(ask), asked.paths)
    return Reply(FailuresOut([]))


def _copy(ask: Ask) -> Reply:
    asked, branch = ask.read(CopyIn), writable(ask)
    place = spot(ask, asked.src_ref or branch)
    entry = find(ask, place, asked.src_path)
    copy = ask.rooms.staging.copy(ask.repository, (place.version, entry), branch, ask.need("dest_path"))
    return Reply(describe(ask, spot(ask, branch), copy), 201)


def _allowed(ask: Ask) -> Reply:
    writable(ask)
    return DONE


_REF = "/repositories/{repository}/refs/{ref}/objects"
_BRANCH = "/repositories/{repository}/branches/{branch}/objects"
ROUTES = (
    LakefsRoute("list_objects", "GET", f"{_REF}/ls", _list),
    LakefsRoute("stat_object", "GET", f"{_REF}/stat", _stat),
    LakefsRoute("get_underlying_properties", "GET", f"{_REF}/underlyingProperties", _properties),
    LakefsRoute("delete_object", "DELETE", _BRANCH, _delete),
    LakefsRoute("delete_objects", "POST", f"{_BRANCH}/delete", _delete_many),
    LakefsRoute("copy_object", "POST", f"{_BRANCH}/copy", _copy),
    LakefsRoute("upload_object_preflight", "GET", f"{_BRANCH}/stage_allowed", _allowed),
)
