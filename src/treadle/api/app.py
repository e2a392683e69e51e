"""The ASGI application: decodes, calls a service in a thread, encodes; maps errors to answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from treadle.api.openapi import document
from treadle.api.raw import RAW_ROUTES
from treadle.api.rooms import Rooms
from treadle.api.route import Call, RouteSpec
from treadle.api.routes import ROUTES
from treadle.kernel.errors import InvalidInput, NotFound, TreadleError

_log = logging.getLogger("treadle.api")
_MOST = 64 << 20
_JSON = "application/json"


def create_app(root: Path, doing: str = "treadle run", url: str | None = None) -> Starlette:
    """The application of a workspace.

    Args:
        root: The project's folder.
        doing: What this process is, for others that want the wheel.
        url: Where the application will answer, if it is served.

    Raises:
        ConfigError: If ``treadle.toml`` can't be used.
        WorkspaceTooNew: If a later version of Treadle wrote the workspace.
        StorageError: If a store can't be opened.
    """
    rooms = Rooms(root, doing, url)
    page = msgspec.json.encode(document(ROUTES))
    routes = [Route(spec.path, _endpoint(spec), methods=[spec.method]) for spec in ROUTES]
    routes += [Route(path, endpoint, methods=[method]) for method, path, endpoint in RAW_ROUTES]
    routes.append(Route("/openapi.json", lambda _: Response(page, media_type=_JSON)))
    app = Starlette(routes=routes, exception_handlers={Exception: _unexpected, TreadleError: _expected})
    app.add_exception_handler(HTTPException, _http)
    app.state.rooms = rooms
    app.state.close = rooms.close
    return app


def _endpoint(spec: RouteSpec) -> Callable[[Request], Awaitable[Response]]:
    decoder = msgspec.json.Decoder(spec.body) if spec.body is not None else None

    async def handle(request: Request) -> Response:
        body = decode(decoder, await _read(request)) if decoder else None
        call = Call(request.app.state.rooms, request.path_params, request.query_params, body)
        result = await run_in_threadpool(spec.do, call)
        return Response(msgspec.json.encode(result), media_type=_JSON)

    return handle


def decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    """The body as the route's type.

    Raises:
        InvalidInput: If it isn't.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        raise InvalidInput(f"the body can't be used: {message}", where=path.strip("`") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from None


async def _read(request: Request) -> bytes:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > _MOST:
            raise InvalidInput(f"the body is larger than {_MOST >> 20} MiB", fix="send it in parts")
    return bytes(raw)


async def _expected(_: Request, error: Exception) -> Response:
    assert isinstance(error, TreadleError)  # noqa: S101 - registered for that class only
    return Response(msgspec.json.encode(error.body()), error.status, media_type=_JSON)


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such route, wrong method), in the shape of all others."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class only
    body = NotFound(
        f"there is no {request.method} {request.url.path}", fix="GET /openapi.json lists what there is"
    ).body()
    return Response(msgspec.json.encode(body), error.status_code, media_type=_JSON)


async def _unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    body = TreadleError(
        f"the server stumbled: {error.__class__.__name__}: {error}",
        where=f"{request.method} {request.url.path}",
        fix="the server's log has the details; please report it",
    ).body()
    return Response(msgspec.json.encode(body), 500, media_type=_JSON)
