"""The routes by which versions come from other tools and go to them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from treadle.api.rooms import Rooms
from treadle.api.route import Call, RawSpec, RouteSpec
from treadle.data import DatasetVersion, ImportBucket, ImportVersion
from treadle.kernel.errors import InvalidInput
from treadle.kernel.files import storage_errors

_BYTES = "application/octet-stream"


def _import_version(call: Call) -> DatasetVersion:
    """Makes a version of what another tool had; the same one if it was made before."""
    return call.rooms.moving.take(call.body)


def _import_bucket(call: Call) -> DatasetVersion:
    """Makes a version of what lies in a bucket; no bytes are copied."""
    return call.rooms.moving.take_bucket(call.body)


async def _put_contents(request: Request) -> Response:
    """Keeps small contents, each in a frame, for a version of a dataset."""
    rooms: Rooms = request.app.state.rooms
    dataset = _need(request, "dataset")
    branch = request.query_params.get("branch", "main")
    folder = rooms.workspace.state / "tmp"
    with storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            async for piece in request.stream():
                await run_in_threadpool(file.write, piece)
            file.flush()
            kept = await run_in_threadpool(rooms.moving.keep, Path(file.name), dataset, branch)
    return Response(msgspec.json.encode(kept), media_type="application/json")


async def _data_archive(request: Request) -> Response:
    """A version, and all that it has: each entry as JSON, then its bytes."""
    rooms: Rooms = request.app.state.rooms
    ref = _need(request, "ref")
    return StreamingResponse(await run_in_threadpool(rooms.moving.archive, ref), media_type=_BYTES)


def _need(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise InvalidInput(f"the query parameter `{name}` is missing", fix=f"add ?{name}=...")
    return value


DATA_MOVING_ROUTES = (
    RouteSpec("POST", "/v1/data/imports", _import_version, DatasetVersion, ImportVersion),
    RouteSpec("POST", "/v1/data/imports/bucket", _import_bucket, DatasetVersion, ImportBucket),
)
DATA_MOVING_RAW_ROUTES = (
    RawSpec("POST", "/v1/data/contents", _put_contents, "application/json", takes=_BYTES),
    RawSpec("GET", "/v1/data/archive", _data_archive, _BYTES),
)
