"""The ASGI application of MLflow's protocol: bare, because a training waits for every call."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

import msgspec

from treadle.api.mlflow import artifacts, experiments, logged_models, metrics, registry, runs
from treadle.api.mlflow.artifacts import ArtifactsApp
from treadle.api.mlflow.errors import answer, to_wire
from treadle.api.mlflow.offered import explain
from treadle.api.mlflow.route import Ask, MlflowRoute, Written
from treadle.api.mlflow.turns import Turns
from treadle.api.rooms import Rooms
from treadle.kernel.errors import InvalidInput, TreadleError

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

ROUTES: tuple[MlflowRoute, ...] = (
    *experiments.ROUTES,
    *runs.ROUTES,
    *metrics.ROUTES,
    *artifacts.ROUTES,
    *logged_models.ROUTES,
    *registry.ROUTES,
)

_log = logging.getLogger("treadle.api.mlflow")
_PREFIX = re.compile(r"/(?:ajax-)?api/[23]\.0/mlflow(/.*)")
_MOST = 64 << 20
_THREADS = 16
_encode = msgspec.json.Encoder().encode
_HEADERS = (b"content-type", b"application/json")


class MlflowApp:
    """Answers MLflow's clients from Treadle's rooms.

    Args:
        rooms: The services.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._artifacts = ArtifactsApp(rooms)
        self._turns = Turns(rooms.metrics)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlflow")
        self._exact: dict[tuple[str, str], MlflowRoute] = {
            (route.method, route.path): route for route in ROUTES if "{" not in route.path
        }
        self._others = [(_pattern(route.path), route) for route in ROUTES if "{" in route.path]

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a path is of this protocol."""
        known = _PREFIX.fullmatch(path) is not None or path in ("/version", "/health")
        return known or ArtifactsApp.owns(path)

    def close(self) -> None:
        """Lets go of the threads."""
        self._artifacts.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        if ArtifactsApp.owns(scope["path"]):
            await self._artifacts(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return  # whoever asked has gone
        status, raw = await self._answer(scope, body)
        length = (b"content-length", b"%d" % len(raw))
        await send({"type": "http.response.start", "status": status, "headers": [_HEADERS, length]})
        await send({"type": "http.response.body", "body": raw})

    async def _answer(self, scope: Mapping[str, Any], body: bytes) -> tuple[int, bytes]:
        found = _PREFIX.fullmatch(scope["path"])
        if found is None:
            return explain(scope["path"])
        method, path = scope["method"], found[1]
        route, parts = self._route("GET" if method == "HEAD" else method, path)
        if route is None:
            return explain(path, method)
        if _foreign(scope["headers"]):
            return answer("PERMISSION_DENIED", "a web page of another site can't use this API")
        ask = Ask(self._rooms, parts, scope["query_string"], body)
        try:
            result = route.do(ask) if route.quick else partial(route.do, ask)
            if isinstance(result, Written):
                result = result.make(await self._turns.write(result.write, scope.get("client")))
            elif callable(result):
                result = await asyncio.get_running_loop().run_in_executor(self._pool, result)
            return 200, _encode(result)
        except TreadleError as error:
            return to_wire(error)
        except Exception as error:  # noqa: BLE001 - a client must be answered, whatever happened
            _log.exception("%s %s", method, path)
            return answer("INTERNAL_ERROR", f"the server stumbled: {error.__class__.__name__}: {error}")

    def _route(self, method: str, path: str) -> tuple[MlflowRoute | None, Mapping[str, str]]:
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, {}
        for pattern, route in self._others:
            if route.method == method and (found := pattern.fullmatch(path)):
                return route, found.groupdict()
        return None, {}


def _foreign(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a web page of another site, open in a browser on this machine, asks."""
    origin = host = b""
    for name, value in headers:
        if name == b"origin":
            origin = value
        elif name == b"host":
            host = value
    return bool(origin) and origin.partition(b"://")[2] != host


def _pattern(path: str) -> re.Pattern[str]:
    """A path's pattern; a part named ``{…:path}`` may have slashes, as a tag's name may."""
    pattern = re.sub(r"{(\w+):path}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern), re.DOTALL)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if the client has gone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    first: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return first
    raw = bytearray(first)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        raw += message.get("body", b"")
        if len(raw) > _MOST:
            raise InvalidInput(f"the body is larger than {_MOST >> 20} MiB", fix="send it in parts")
    return bytes(raw)
