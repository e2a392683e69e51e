"""The ASGI application of lakeFS's protocol."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import msgspec

from treadle.api.exchange import ClientGone, Exchange, Headers, Receive, Send
from treadle.api.lakefs import branches, objects, refs, repositories, server, streams
from treadle.api.lakefs.errors import failure, to_wire
from treadle.api.lakefs.offered import explain
from treadle.api.lakefs.route import Ask, LakefsRoute
from treadle.api.rooms import Rooms
from treadle.kernel.errors import Refused, TreadleError

ROUTES: tuple[LakefsRoute, ...] = (
    *server.ROUTES,
    *repositories.ROUTES,
    *branches.ROUTES,
    *refs.ROUTES,
    *objects.ROUTES,
    *streams.ROUTES,
)

_log = logging.getLogger("treadle.api.lakefs")
_API = "/api/v1/"
_THREADS = 16
_JSON: Headers = [(b"content-type", b"application/json")]


class LakefsApp:
    """Answers lakeFS's clients from Treadle's rooms.

    Args:
        rooms: The services.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lakefs")
        self._routes = [(_pattern(route.path), route) for route in ROUTES]

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a path is of this protocol."""
        return path.startswith(_API)

    def close(self) -> None:
        """Lets go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        exchange = Exchange(receive, send, self._pool)
        try:
            try:
                await self._serve(scope, exchange)
            except ClientGone:
                return
            except TreadleError as error:
                if exchange.begun:
                    raise  # what was promised can't be sent: the connection breaks off
                await exchange.answer(*to_wire(error), _JSON)
            except Exception as error:
                _log.exception("%s %s", scope["method"], scope["path"])
                if exchange.begun:
                    raise
                text = f"the server stumbled: {error.__class__.__name__}: {error}"
                await exchange.answer(500, failure(text), _JSON)
        except ClientGone:
            return

    async def _serve(self, scope: Mapping[str, Any], exchange: Exchange) -> None:
        # A branch's name may have slashes, which are encoded in the path as it came.
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        path = raw.decode("latin-1").partition("?")[0].removeprefix(_API[:-1])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        _check_origin(headers)
        route, parts = self._route(scope["method"], path)
        if route is None:
            await exchange.answer(501, failure(explain(scope["method"], unquote(path))), _JSON)
            return
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        ask = Ask(self._rooms, scope["method"], parts, query, headers)
        if route.do is None:
            await streams.STREAMS[route.operation](ask, exchange)
            return
        do, whole = route.do, msgspec.structs.replace(ask, body=await exchange.body())
        reply = await exchange.run(do, whole)
        body = b"" if reply.body is None else msgspec.json.encode(reply.body)
        more = [(name.encode(), value.encode()) for name, value in reply.headers]
        await exchange.answer(reply.status, body, [*(_JSON if body else []), *more])

    def _route(self, method: str, path: str) -> tuple[LakefsRoute | None, Mapping[str, str]]:
        for pattern, route in self._routes:
            if route.method == method and (found := pattern.fullmatch(path)):
                return route, {name: unquote(part) for name, part in found.groupdict().items()}
        return None, {}


def _check_origin(headers: Mapping[str, str]) -> None:
    """Keeps web pages of other sites, open in a browser on this machine, away.

    Raises:
        Refused: If one asks.
    """
    origin = headers.get("origin", "")
    if origin and origin.partition("://")[2] != headers.get("host"):
        raise Refused("a web page of another site can't use this API", where=origin[:200])


def _pattern(path: str) -> re.Pattern[str]:
    """A path's pattern; a part named ``{…:path}`` may have slashes, which one client doesn't encode."""
    pattern = re.sub(r"{(\w+):path}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern))
