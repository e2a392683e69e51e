"""The ASGI application: decodes, calls a service in a thread, encodes; maps errors to answers."""

from __future__ import annotations

import contextlib
import logging
import zlib
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from treadle.api.exchange import check_origin
from treadle.api.lakefs import LakefsApp
from treadle.api.mlflow import MlflowApp
from treadle.api.openapi import document
from treadle.api.raw import RAW_ROUTES
from treadle.api.rooms import Rooms
from treadle.api.route import Call, Endpoint, RouteSpec
from treadle.api.routes import ROUTES
from treadle.kernel.errors import InvalidInput, NotFound, TreadleError

_log = logging.getLogger("treadle.api")
_MOST = 64 << 20
_JSON = "application/json"


class Api:
    """All that a workspace answers: its own API, and over the same rooms MLflow's and lakeFS's protocols.

    Args:
        rooms: The services.
        rest: The workspace's own API.

    Attributes:
        rooms: The services.
        rest: The workspace's own API.
    """

    def __init__(self, rooms: Rooms, rest: Starlette) -> None:
        self.rooms = rooms
        self.rest = rest
        self._mlflow = MlflowApp(rooms)
        self._lakefs = LakefsApp(rooms)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        app: ASGIApp = self.rest
        if scope["type"] == "http":
            if MlflowApp.owns(scope["path"]):
                app = self._mlflow
            elif LakefsApp.owns(scope["path"]):
                app = self._lakefs
        await app(scope, receive, send)

    def close(self) -> None:
        """Lets go of the wheel and the stores."""
        self._lakefs.close()
        self._mlflow.close()
        self.rooms.close()


def create_app(root: Path, doing: str = "treadle run", url: str | None = None) -> Api:
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
    page = msgspec.json.encode(document(ROUTES, RAW_ROUTES))

    async def openapi(_: Request) -> Response:
        return Response(page, media_type=_JSON)

    paths: dict[str, dict[str, Endpoint]] = {"/openapi.json": {"GET": openapi}}
    for spec in ROUTES:
        paths.setdefault(spec.path, {})[spec.method] = _endpoint(spec)
    for raw in RAW_ROUTES:
        paths.setdefault(raw.path, {})[raw.method] = raw.endpoint
    app = Starlette(
        routes=[_route(path, endpoints) for path, endpoints in paths.items()],
        exception_handlers={HTTPException: _http},
    )
    app.router.redirect_slashes = False  # a name that is empty by mistake must not list everything
    app.state.rooms = rooms
    return Api(rooms, app)


def _route(path: str, endpoints: dict[str, Endpoint]) -> Route:
    """One route a path, so that a wrong method is answered with all that there are."""

    async def handle(request: Request) -> Response:
        endpoint = endpoints["GET" if request.method == "HEAD" else request.method]
        try:
            check_origin(request.headers)
            return await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=499)
        except TreadleError as error:
            answer = _answer(error, error.status)
        except HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - Starlette would answer it too, but then raise it again
            answer = _unexpected(request, error)
        # Who still sends a body would miss an answer that comes before its end.
        with contextlib.suppress(ClientDisconnect, RuntimeError):
            async for _ in request.stream():
                pass
        return answer

    return Route(path, handle, methods=list(endpoints))


def _endpoint(spec: RouteSpec) -> Endpoint:
    decoder = msgspec.json.Decoder(spec.body) if spec.body is not None else None
    required = [one.name for one in spec.query if one.required]

    async def handle(request: Request) -> Response:
        raw = await _read(request) if decoder else b""

        def work() -> bytes:
            call = Call(request.app.state.rooms, request.path_params, request.query_params, None)
            for name in required:
                call.need(name)
            if decoder:
                call = msgspec.structs.replace(call, body=decode(decoder, raw))
            return msgspec.json.encode(spec.do(call))

        return Response(await run_in_threadpool(work), media_type=_JSON)

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
    except RecursionError:
        raise InvalidInput("the body can't be used: it is nested too deeply") from None


async def _read(request: Request) -> bytes:
    """The body, unpacked and read to its end even if it is too large: who still sends would miss the answer.

    What a packed body unpacks to is limited like any other, and never unpacked beyond that.
    """
    unpack = _unpacker(request.headers.get("content-encoding", "").strip().lower())
    raw, size = bytearray(), 0
    async for piece in request.stream():
        size += len(piece)
        if size <= _MOST and len(raw) <= _MOST:
            try:
                raw += unpack.decompress(piece, _MOST + 1 - len(raw)) if unpack else piece
            except zlib.error as error:
                raise InvalidInput(f"the body can't be unpacked: {error}") from None
    if size > _MOST or len(raw) > _MOST:
        raise HTTPException(413)
    if unpack and (not unpack.eof or unpack.unused_data):
        raise InvalidInput("the body can't be unpacked: it is cut off, or goes on after its end")
    return bytes(raw)


def _unpacker(encoding: str) -> Any:
    if encoding in {"", "identity"}:
        return None
    if encoding not in {"deflate", "gzip"}:
        raise HTTPException(415)
    return zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)


def _answer(error: TreadleError, status: int) -> Response:
    return Response(msgspec.json.encode(error.body()), status, media_type=_JSON)


async def _http(request: Request, error: Exception) -> Response:
    """What HTTP itself refuses (no such route, wrong method, too large), in the shape of all errors."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class only
    if error.status_code == 413:
        return _answer(
            InvalidInput(f"the body is larger than {_MOST >> 20} MiB", fix="send it in parts"), 413
        )
    if error.status_code == 415:
        return _answer(
            InvalidInput("the body's encoding isn't known", fix="send it as deflate, gzip or plain"), 415
        )
    missing = NotFound(
        f"there is no {request.method} {request.url.path}", fix="GET /openapi.json lists what there is"
    )
    answer = _answer(missing, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    stumbled = TreadleError(
        f"the server stumbled: {error.__class__.__name__}: {error}",
        where=f"{request.method} {request.url.path}",
        fix="the server's log has the details; please report it",
    )
    return _answer(stumbled, 500)
