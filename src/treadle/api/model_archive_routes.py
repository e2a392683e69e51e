"""The routes by which a model version leaves as one file, and comes in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from treadle.api.rooms import Rooms
from treadle.api.route import RawSpec
from treadle.kernel.errors import InvalidInput
from treadle.kernel.files import storage_errors

_BYTES = "application/x-tar"


async def _export(request: Request) -> Response:
    """A version and all that it consists of, as one archive."""
    rooms: Rooms = request.app.state.rooms
    ref = request.query_params.get("ref", "")
    if not ref:
        raise InvalidInput("the query parameter `ref` is missing", fix="add ?ref=MODEL/NUMBER")
    made = await run_in_threadpool(rooms.archives.pack, ref)
    headers = {"Content-Length": str(made.size)}
    return StreamingResponse(made.pieces, media_type=_BYTES, headers=headers)


async def _import(request: Request) -> Response:
    """Takes in a version that another Treadle exported; the same one if it is here already."""
    rooms: Rooms = request.app.state.rooms
    folder = rooms.workspace.state / "tmp"
    actor = request.query_params.get("actor", "api")
    with storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            async for piece in request.stream():
                await run_in_threadpool(file.write, piece)
            file.flush()
            model = request.query_params.get("model")
            found = await run_in_threadpool(rooms.archives.take, Path(file.name), actor, model)
    return Response(msgspec.json.encode(found), media_type="application/json")


MODEL_ARCHIVE_RAW_ROUTES = (
    RawSpec("GET", "/v1/model/archive", _export, _BYTES),
    RawSpec("POST", "/v1/model/archive", _import, "application/json", takes=_BYTES),
)
