"""The routes of versions by path: listed, read by ranges, changed."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from treadle.api.ranges import parse_range
from treadle.api.rooms import Rooms
from treadle.api.route import Call, Query, RawSpec, RouteSpec
from treadle.data import ChangePaths, DatasetVersion, PathEntry, PathPage
from treadle.kernel.errors import InvalidInput

_BYTES = "application/octet-stream"


def _data_entry(call: Call) -> PathEntry:
    """What lies at a path of a version."""
    return call.rooms.data_paths.entry(_ref(call), call.query.get("path", ""))


def _data_paths(call: Call) -> PathPage:
    """A page of what lies in a folder of a version; all that is below where `deep` is 1."""
    return call.rooms.data_paths.page(
        _ref(call),
        call.query.get("path", ""),
        after=call.query.get("after", ""),
        limit=call.whole("limit", 1000),
        deep=call.query.get("deep") == "1",
    )


def _change_data(call: Call) -> DatasetVersion:
    """Makes a version of a branch with some paths changed: all of them or none."""
    return call.rooms.data_paths.change(call.path["dataset"], call.body)


async def _data_file(request: Request) -> Response:
    """A file of a version, or the range of it that is asked for; its `ETag` is its digest."""
    rooms: Rooms = request.app.state.rooms
    given = request.path_params
    ref = f"{given['dataset']}@{given['ref']}"
    file = await run_in_threadpool(rooms.data_paths.file, ref, given["path"])
    size, tag = file.entry.size, f'"{file.entry.digest}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Treadle-Version": file.version.ref}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range")
    if asked and request.headers.get("if-range", tag) != tag:
        asked = None
    try:
        span = parse_range(asked, size) if asked else None
    except InvalidInput:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, end = span or (0, size)
    headers["Content-Length"] = str(end - start)
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=_BYTES)
    pieces = await run_in_threadpool(file.read, start, end if span else None)
    return StreamingResponse(pieces, status, headers=headers, media_type=_BYTES)


def _ref(call: Call) -> str:
    dataset, at = call.path["dataset"], call.query.get("at", "")
    return f"{dataset}@{at}" if at else dataset


_AT = (Query("at"), Query("path"))

DATA_PATH_ROUTES = (
    RouteSpec("GET", "/v1/datasets/{dataset}/entry", _data_entry, PathEntry, query=_AT),
    RouteSpec(
        "GET",
        "/v1/datasets/{dataset}/paths",
        _data_paths,
        PathPage,
        query=(*_AT, Query("after"), Query("deep"), Query("limit", kind="integer")),
    ),
    RouteSpec("POST", "/v1/datasets/{dataset}/changes", _change_data, DatasetVersion, ChangePaths),
)
DATA_PATH_RAW_ROUTES = (RawSpec("GET", "/v1/datasets/{dataset}/files/{ref}/{path:path}", _data_file, _BYTES),)
