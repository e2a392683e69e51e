"""The ASGI application of lakeFS's protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import msgspec

from treadle.api.exchange import Exchange, ExchangeApp, Headers, check_origin
from treadle.api.lakefs import branches, objects, refs, repositories, server, streams
from treadle.api.lakefs.errors import failure, to_wire
from treadle.api.lakefs.offered import explain
from treadle.api.lakefs.route import Ask, LakefsRoute
from treadle.api.rooms import Rooms
from treadle.kernel.errors import TreadleError

ROUTES: tuple[LakefsRoute, ...] = (
    *server.ROUTES,
    *repositories.ROUTES,
    *branches.ROUTES,
    *refs.ROUTES,
    *objects.ROUTES,
    *streams.ROUTES,
)

_API = "/api/v1/"
_JSON: Headers = [(b"content-type", b"application/json")]


class LakefsApp(ExchangeApp):
    """Answers lakeFS's clients from Treadle's rooms.

    Args:
        rooms: The services.
    """

    def __init__(self, rooms: Rooms) -> None:
        super().__init__("lakefs")
        self._rooms = rooms
        self._routes = [(_pattern(route.path), route) for route in ROUTES]

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a path is of this protocol."""
        return path.startswith(_API)

    def failure(self, error: TreadleError) -> tuple[int, bytes]:
        """Status and body for an error."""
        return to_wire(error)

    async def serve(self, scope: Mapping[str, Any], exchange: Exchange) -> None:
        """Answers a request."""
        # A branch's name may have slashes, which are encoded in the path as it came.
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        path = raw.decode("latin-1").partition("?")[0].removeprefix(_API[:-1])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        check_origin(headers)
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


def _pattern(path: str) -> re.Pattern[str]:
    """A path's pattern; a part named ``{…:path}`` may have slashes, which one client doesn't encode."""
    pattern = re.sub(r"{(\w+):path}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern))
