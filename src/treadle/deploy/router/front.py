"""A caller's connection to the router."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools
import msgspec

from treadle.deploy.router.message import Header, answer, may_repeat, request, trouble
from treadle.deploy.router.pool import Asked, Pool

_MOST_QUEUED = 16
_IDLE = 75.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS = b"/treadle/router"
# What a request may bring beside its body.
_HEADERS = 64 << 10


class Limits(msgspec.Struct, frozen=True):
    """What the router takes.

    Attributes:
        body: The largest body, in bytes.
        timeout: Seconds for a request to arrive whole.
        answer: Seconds from then to its answer.
    """

    body: int
    timeout: float
    answer: float


class Front(asyncio.Protocol):
    """A caller's connection: its requests are answered in order, one at a time.

    Args:
        pool: The replicas.
        limits: What is taken.
        everyone: All such connections; it adds itself, and goes.

    Attributes:
        draining: Whether the router ends: an answer is the connection's last.
        since: When its last request began or, between two, ended, by the loop's clock.
    """

    draining = False

    def __init__(self, pool: Pool, limits: Limits, everyone: set[Front]) -> None:
        self._pool, self._limits, self._everyone = pool, limits, everyone
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[tuple[Asked, bool]] = deque()
        self._now: Asked | None = None
        self._target = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._size = 0
        self._reading = self._closing = self._paused = False
        self._keep = True
        self.since = 0.0

    @property
    def busy(self) -> bool:
        """Whether a request of it is in hand."""
        return self._now is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has come."""
        self._transport = cast("asyncio.Transport", transport)
        self._everyone.add(self)
        self.since = self._loop.time()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """The caller is gone; what it asked is given up."""
        self._everyone.discard(self)
        self._transport = None
        asked, self._now = self._now, None
        self._queue.clear()
        if asked is not None:
            self._pool.drop(asked)

    def sweep(self, now: float) -> None:
        """Lets go of it if it idles, or doesn't bring what it began."""
        if self._transport is None or self._now is not None:
            return
        if self._reading and now - self.since > self._limits.timeout:
            self._refuse(408, f"the request did not arrive within {self._limits.timeout:g} s")
        elif not self._reading and (self.draining or now - self.since > _IDLE):
            self._transport.close()

    # ── reading ──────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """A piece of a request, or of several."""
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "connections can't be upgraded here")
        except httptools.HttpParserError:
            self._refuse(400, "that is no HTTP request")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reading = True
        self.since = self._loop.time()
        self._target, self._headers, self._body, self._size = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._target += url
        self._grown(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers.append((name.lower(), value))
        self._grown(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Its headers are there; whoever waits to be asked for the body is."""
        self._size = 0
        if self._transport is not None and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers
        ):
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._size += len(body)
        if self._size > self._limits.body:
            self._refuse(413, f"the body is larger than {self._limits.body:,} bytes")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """It is all here."""
        self._reading = False
        if self._closing:
            return
        method, keep = self._parser.get_method(), self._parser.should_keep_alive()
        asked = Asked(
            request(method, self._target, self._headers, b"".join(self._body)),
            self._answered,
            self._loop.time() + self._limits.answer,
            again=may_repeat(method, self._target),
            head=method == b"HEAD",
        )
        if self._target == _STATUS:
            asked.data = b""
        if self._now is not None:
            self._queue.append((asked, keep))
            if len(self._queue) >= _MOST_QUEUED and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        else:
            self._ask(asked, keep)

    def _grown(self, by: int) -> None:
        self._size += by
        if self._size > _HEADERS:
            self._refuse(431, f"the headers are longer than {_HEADERS:,} bytes")

    # ── answering ────────────────────────────────────────────────────────

    def _ask(self, asked: Asked, keep: bool) -> None:
        self._now, self._keep = asked, keep
        if asked.data:
            self._pool.ask(asked)
        else:
            self._answered(200, [(b"content-type", b"application/json")], self._pool.status(), None)

    def _answered(self, status: int, headers: list[Header], body: bytes, length: int | None) -> None:
        """The request in hand has its answer; status 0 tells that there is none, and why."""
        self._now = None
        self.since = self._loop.time()
        if self._transport is None:
            return
        close = self.draining or not self._keep
        if status:
            self._transport.write(answer(status, headers, body, close=close, length=length))
        else:
            again = 1 if length == 503 else None
            self._transport.write(trouble(length or 502, body.decode(), close=close, retry_after=again))
        if close:
            self._closing = True
            self._transport.close()
        elif self._queue:
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._ask(*self._queue.popleft())

    def late(self) -> None:
        """The request in hand has taken too long."""
        self._answered(0, [], b"no replica answered in time", 504)

    def owns(self, asked: Asked) -> bool:
        """Whether a request is the one in hand."""
        return self._now is asked

    def _refuse(self, status: int, message: str) -> None:
        """Answers for the last time, unless an answer before it is still to come."""
        if self._closing or self._transport is None:
            return
        self._closing, self._keep = True, False
        self._queue.clear()
        if self._now is None:
            self._transport.write(trouble(status, message, close=True))
            self._transport.close()
