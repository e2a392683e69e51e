"""Bodies that are too large to be held: from a request into the blob store, and back."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias, TypeVar

from treadle.kernel.errors import InvalidInput, Refused, TreadleError

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]
T = TypeVar("T")

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")
_PIECE = 4 << 20
_MOST = 4 << 20
_THREADS = 16
_JSON: Headers = [(b"content-type", b"application/json")]


class Taker(Protocol):
    """Takes bytes, such as an upload."""

    def write(self, data: bytes) -> None:
        """Takes some bytes; called in a thread."""


class ClientGone(Exception):
    """Whoever asked has hung up."""


class Exchange:
    """One request and its answer, piece by piece.

    At most two pieces of 4 MiB are held: one that is written or sent, and one that comes.

    Args:
        receive: Gives the request's messages.
        send: Takes the answer's.
        pool: Where what blocks runs.

    Attributes:
        begun: Whether the answer has begun.
    """

    def __init__(self, receive: Receive, send: Send, pool: Executor) -> None:
        self._receive = receive
        self._send = send
        self._pool = pool
        self._more = True
        self.begun = False

    async def run(self, do: Callable[..., T], *args: Any) -> T:
        """Does what blocks, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, do, *args)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._more = message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def body(self) -> bytes:
        """The whole body, of a request that is never large.

        Raises:
            InvalidInput: If it is.
        """
        raw = bytearray()
        while self._more:
            raw += await self._next()
            if len(raw) > _MOST:
                raise InvalidInput(f"the body is larger than {_MOST >> 20} MiB")
        return bytes(raw)

    async def into(self, upload: Taker) -> None:
        """Writes the body to an upload as it comes.

        Raises:
            ClientGone: If it ends before its end.
        """
        writing: asyncio.Future[None] | None = None
        try:
            while self._more:
                pieces, size = [], 0
                while self._more and size < _PIECE:
                    piece = await self._next()
                    pieces.append(piece)
                    size += len(piece)
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(self.run(upload.write, b"".join(pieces)))
            if writing is not None:
                await writing
        finally:
            if writing is not None:
                await asyncio.wait([writing])

    async def answer(self, status: int, body: bytes, headers: Headers) -> None:
        """Sends a whole answer, once the request has been read: who still sends would miss it."""
        while self._more:
            await self._next()
        await self._start(status, len(body), headers)
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, length: int, headers: Headers) -> None:
        self.begun = True
        headers = [*headers, (b"content-length", b"%d" % length)]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def stream(self, status: int, length: int, headers: Headers, pieces: Iterator[bytes]) -> None:
        """Sends bytes as they are read; the next piece is read while one is sent.

        Nothing is sent before the first piece was read, so that what is lost is an error and no
        answer that breaks off.

        Raises:
            ClientGone: If whoever asked hangs up.
        """
        while self._more:
            await self._next()
        piece = await self.run(next, pieces, None)
        gone = asyncio.ensure_future(self._receive())
        reading: asyncio.Future[bytes | None] | None = None
        try:
            await self._start(status, length, headers)
            while piece is not None:
                reading = asyncio.ensure_future(self.run(next, pieces, None))
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await reading
                if gone.done():
                    raise ClientGone
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            if reading is not None:
                await asyncio.wait([reading])


class ExchangeApp:
    """An ASGI application whose requests are exchanges: what all of them have in common.

    Args:
        name: What its threads are called; the last part of its logger's name.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)
        self._log = logging.getLogger(f"treadle.api.{name}")

    def close(self) -> None:
        """Lets go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def serve(self, scope: Mapping[str, Any], exchange: Exchange) -> None:
        """Answers a request, or raises what is told of it."""
        raise NotImplementedError

    def failure(self, error: TreadleError) -> tuple[int, bytes]:
        """Status and body for an error."""
        raise NotImplementedError

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        exchange = Exchange(receive, send, self._pool)
        try:
            try:
                await self.serve(scope, exchange)
            except ClientGone:
                return
            except Exception as error:
                if not isinstance(error, TreadleError):
                    self._log.exception("%s %s", scope["method"], scope["path"])
                    error = TreadleError(f"the server stumbled: {error.__class__.__name__}: {error}")
                if exchange.begun:
                    raise  # what was promised can't be sent: the connection breaks off
                await exchange.answer(*self.failure(error), _JSON)
        except ClientGone:
            return


def check_origin(headers: Mapping[str, str]) -> None:
    """Keeps web pages of other sites, open in a browser on this machine, away.

    Raises:
        Refused: If one asks.
    """
    origin = headers.get("origin", "")
    if origin and origin.partition("://")[2] != headers.get("host"):
        raise Refused("a web page of another site can't use this API", where=origin[:200])


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes asked for, from the first to before the last; None for all of them.

    What isn't one plain range is passed over, as HTTP has it.

    Raises:
        IndexError: If there are no such bytes.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size:
        raise IndexError
    return start, end
