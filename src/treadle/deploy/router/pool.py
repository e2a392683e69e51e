"""The replicas behind a router: which of them a request goes to, and what is done when one dies.

Of two replicas drawn at random the one with fewer requests in hand gets it (Mitzenmacher, *The Power of
Two Choices*, 2001): nearly as good as the best of all, and nobody is stormed who has just come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import httptools
import msgspec

from treadle.deploy.router.message import Header

_EVERY, _SOON = 1.0, 0.1
_PATIENCE = 1.0
TRIES = 2
"""How many replicas a request is sent to, at most."""
_PROBE = b"GET /v2/health/ready HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n"
_SLOW, _HANGS = -1, -2
# Probes in a row without an answer after which what was asked of a replica is asked of another.
_MISSED = 3


class Asked:
    """A request in hand.

    Attributes:
        data: What is sent.
        done: Is given status, headers, body, and the length that was told; or status 0 and why not.
        again: Whether it may be sent twice.
        head: Whether its answer has no body, whatever length it tells.
        due: When it is given up, by the loop's clock.
        tried: The replicas that it was sent to.
        line: The connection that it is on.
    """

    __slots__ = ("again", "data", "done", "due", "head", "line", "tried")

    def __init__(
        self,
        data: bytes,
        done: Callable[[int, list[Header], bytes, int | None], None],
        due: float,
        *,
        again: bool,
        head: bool = False,
    ) -> None:
        self.data, self.done, self.due, self.again, self.head = data, done, due, again, head
        self.tried: list[Backend] = []
        self.line: Line | None = None


class Backend:
    """One replica.

    Attributes:
        address: Host and port.
        alive: Whether it answers at all.
        ready: Whether it has what it is to answer with.
        hand: Requests that it has in hand.
        lines: Its connections.
        missed: Probes in a row that took too long.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.alive = self.ready = False
        self.hand = self.missed = 0
        self.lines: set[Line] = set()
        self.idle: list[Line] = []
        self.look = asyncio.Event()


class Line(asyncio.Protocol):
    """A connection to a replica, with one request on it at a time.

    Attributes:
        proven: Whether anything has ever come back on it.
        asked: The request on it.
    """

    def __init__(self, pool: Pool, backend: Backend, asked: Asked) -> None:
        self._pool, self._backend = pool, backend
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self.proven = False
        self.asked: Asked | None = asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open, and sends what it was opened for."""
        self._transport = cast("asyncio.Transport", transport)
        self._backend.lines.add(self)
        if self.asked is None:  # it was given up meanwhile
            self._transport.close()
        else:
            self.send(self.asked)

    def send(self, asked: Asked) -> None:
        """Sends a request."""
        self.asked, asked.line = asked, self
        if self._transport is not None:
            self._transport.write(asked.data)

    def abort(self) -> None:
        """Lets go of the connection; the request on it is not told."""
        self.asked = None
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """A piece of an answer."""
        self.proven = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_message_begin(self) -> None:
        """An answer begins."""
        self._headers, self._body = [], []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """All headers are there; of an answer to HEAD there is no more."""
        asked = self.asked
        if asked is not None and asked.head:
            told = next((value for name, value in self._headers if name == b"content-length"), b"0")
            self.asked = None
            status = self._parser.get_status_code()
            self._pool.answered(self._backend, asked, status, self._headers, b"", int(told))
            if self._transport is not None:
                self._transport.abort()  # the parser waits for a body that doesn't come

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """An answer is all here."""
        status = self._parser.get_status_code()
        asked, self.asked = self.asked, None
        if asked is None or status < 200:
            self.asked = asked
            return
        if self._parser.should_keep_alive():
            self._backend.idle.append(self)
        elif self._transport is not None:
            self._transport.close()
        self._pool.answered(self._backend, asked, status, self._headers, b"".join(self._body), None)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """It is gone, and with it the answer that was to come on it."""
        self._backend.lines.discard(self)
        with contextlib.suppress(ValueError):
            self._backend.idle.remove(self)
        asked, self.asked = self.asked, None
        if asked is not None:
            self._pool.broke(self._backend, asked)


class Pool:
    """All replicas.

    Args:
        addresses: Host and port of each.
        most_waiting: How many requests may wait while none answers.

    Attributes:
        retried: Requests that were sent a second time.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]], most_waiting: int) -> None:
        self.backends = [Backend(address) for address in addresses]
        self.retried = 0
        self._closed = False
        self._most_waiting = most_waiting
        self._waiting: deque[Asked] = deque()
        self._hoping: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        self._tasks = {self._loop.create_task(self._watch(one)) for one in self.backends}

    def close(self) -> None:
        """Lets go of all connections."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        for backend in self.backends:
            for line in tuple(backend.lines):
                line.abort()

    # ── requests ─────────────────────────────────────────────────────────

    def ask(self, asked: Asked) -> None:
        """Sends a request to a replica; as soon as one answers, if none does."""
        backend = self._pick(asked.tried)
        if backend is None:
            if len(self._waiting) + len(self._hoping) >= self._most_waiting:
                asked.done(0, [], b"no replica answers, and too many requests wait for one", 503)
            else:
                self._waiting.append(asked)
            return
        asked.tried.append(backend)
        backend.hand += 1
        if backend.idle:
            backend.idle.pop().send(asked)
        else:
            task = self._loop.create_task(self._connect(backend, asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def found(self, tried: Sequence[Backend], usable: Callable[[Backend], bool]) -> Backend | None:
        """The replica for a request that somebody else sends; waits for one while none answers.

        Args:
            tried: Where it was sent before.
            usable: Whether a replica can be sent to now.

        Returns:
            None if too many wait already.
        """
        while (backend := self._pick(tried, usable)) is None:
            if len(self._waiting) + len(self._hoping) >= self._most_waiting:
                return None
            hope: asyncio.Future[None] = self._loop.create_future()
            self._hoping.append(hope)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SOON):  # nobody tells when one can be used
                        await hope
            finally:
                self._hoping.remove(hope)
        return backend

    def gone(self, backend: Backend) -> None:
        """A replica broke off what it was asked: it isn't asked again until it has been looked at."""
        backend.alive = backend.ready = False
        backend.look.set()

    def drop(self, asked: Asked) -> None:
        """Gives a request up: its caller is gone, or it took too long."""
        if asked.line is not None and asked.line.asked is asked:
            asked.line.abort()
            asked.tried[-1].hand -= 1
        with contextlib.suppress(ValueError):
            self._waiting.remove(asked)

    def _pick(
        self, tried: Sequence[Backend], usable: Callable[[Backend], bool] = lambda _: True
    ) -> Backend | None:
        alive = [one for one in self.backends if one.alive and usable(one)]
        found = [one for one in alive if one.ready] or alive
        others = [one for one in found if one not in tried] if tried else found
        if not (others or found):
            return None
        two = others or found
        if len(two) > 2:
            two = random.sample(two, 2)
        elif len(two) == 2 and two[0].hand == two[1].hand:
            return two[random.getrandbits(1)]
        return min(two, key=lambda one: one.hand)

    async def _connect(self, backend: Backend, asked: Asked) -> None:
        line = Line(self, backend, asked)
        asked.line = line
        try:
            await self._loop.create_connection(lambda: line, *backend.address)
        except OSError:
            if line.asked is not None:
                line.asked = None
                self.broke(backend, asked)

    def answered(
        self,
        backend: Backend,
        asked: Asked,
        status: int,
        headers: list[Header],
        body: bytes,
        length: int | None,
    ) -> None:
        """A replica has answered."""
        backend.hand -= 1
        asked.done(status, headers, body, length)

    def broke(self, backend: Backend, asked: Asked) -> None:
        """A connection ended before the answer of the request on it."""
        backend.hand -= 1
        self.gone(backend)
        self._again(asked)

    def _again(self, asked: Asked) -> None:
        """Sends a request to another replica, if it may be and has not been."""
        if asked.again and len(asked.tried) < TRIES:
            self.retried += 1
            self.ask(asked)
        else:
            asked.done(0, [], b"the replica that was asked died", 502)

    # ── health ───────────────────────────────────────────────────────────

    async def _watch(self, backend: Backend) -> None:
        """Looks whether a replica answers: every second, and at once when a connection to it broke."""
        while not self._closed:
            backend.look.clear()
            status = await self._probe(backend)
            backend.ready = status == 200
            backend.missed = backend.missed + 1 if status == _SLOW else 0
            if status not in (_SLOW, _HANGS):
                backend.alive = status > 0
            elif any(one.ready for one in self.backends):
                self._abandon(backend, hangs=status == _HANGS or backend.missed >= _MISSED)
            if backend.alive and (self._waiting or self._hoping):
                self._resume()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY if backend.ready else _SOON):
                    await backend.look.wait()

    async def _probe(self, backend: Backend) -> int:
        """The status of its readiness; 0 if its connection breaks, _SLOW if that takes too long.

        _HANGS if a prediction does, by what it says itself.
        """
        found: asyncio.Future[int] = self._loop.create_future()

        def done(status: int, headers: list[Header], body: bytes, length: int | None) -> None:  # noqa: ARG001
            if not found.done():
                found.set_result(_HANGS if b'"hangs"' in body else status)

        asked = Asked(_PROBE, done, 0.0, again=False)
        asked.tried.append(backend)
        backend.hand += 1
        connecting = self._loop.create_task(self._connect(backend, asked))
        try:
            async with asyncio.timeout(_PATIENCE):
                return await found
        except TimeoutError:
            return _SLOW
        finally:
            connecting.cancel()
            self.drop(asked)

    def _abandon(self, backend: Backend, *, hangs: bool) -> None:
        """It is slow, or nobody takes its connections: what was sent on new ones is sent to another.

        A process that died has broken those that it had taken. Those that nobody has taken yet wait
        at its socket, which outlives it, for the next one. One that hangs, or isn't there for longer than
        any load explains, loses all that may be sent again; the rest waits for what becomes of it.
        """
        for line in list(backend.lines):
            asked = line.asked
            again = asked is None or (asked.again and len(asked.tried) < TRIES)
            if line.proven and not (hangs and again):
                continue
            line.abort()
            if asked is not None:
                backend.hand -= 1
                self._again(asked)

    def _resume(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for asked in waiting:
            self.ask(asked)
        for hope in self._hoping:
            if not hope.done():
                hope.set_result(None)

    def late(self, now: float) -> list[Asked]:
        """Requests that are over their time."""
        lines = [line.asked for backend in self.backends for line in backend.lines]
        return [one for one in (*lines, *self._waiting) if one is not None and 0 < one.due < now]

    def status(self) -> bytes:
        """How the replicas are, as JSON."""
        replicas = [
            {"address": f"{one.address[0]}:{one.address[1]}", "ready": one.ready, "in_hand": one.hand}
            for one in self.backends
        ]
        told = {
            "replicas": replicas,
            "waiting": len(self._waiting) + len(self._hoping),
            "retried": self.retried,
        }
        return msgspec.json.encode(told)
