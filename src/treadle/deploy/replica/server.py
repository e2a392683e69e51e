"""uvicorn as replicas use it: drains before it ends, and lets go of connections that hang."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Protocol

import uvicorn

from treadle.deploy.replica.shortway import Door, ShortWay

DRAIN = 5.0
"""Seconds that requests in hand have to end, once the server takes no new ones."""

# Seconds in which every caller that is at work gets an answer that closes its connection. Only then
# are idle connections cut, and with them hardly ever a request that was just on its way.
_LAST_CALL = 1.0
_QUIET = 0.1
# Seconds that a connection may idle between two requests.
_IDLE = 75


class Beside(Protocol):
    """Another server on the same event loop, which begins and ends with this one."""

    async def start(self) -> None:
        """Begins to answer."""

    def drain(self, seconds: float, /) -> None:
        """Takes no new requests; those in hand have so many seconds. Returns at once."""

    async def ended(self) -> None:
        """Returns once nothing is in hand."""


class Server(uvicorn.Server):
    """A uvicorn server.

    Args:
        config: uvicorn's.
        on_drain: Called once when the end begins.
        on_tick: Called ten times a second.
        patience: Seconds that a connection may take for a request's headers, and to take its answer.
        beside: Another server that begins and ends with this one.

    Attributes:
        failure: Why it could not begin.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_drain: Callable[[], None],
        on_tick: Callable[[], None],
        patience: float,
        beside: Beside | None = None,
    ) -> None:
        super().__init__(config)
        self._beside = beside
        self.failure: Exception | None = None
        self._on_drain = on_drain
        self._on_tick = on_tick
        self._connections = _Connections(patience)
        self._handing_over = False
        self._asked = threading.Event()
        self._draining_since: float | None = None
        self._deaf_since: float | None = None
        self._last_busy = 0.0
        self._last_total = 0

    def drain(self, *, handing_over: bool = False) -> None:
        """Asks for a graceful end; returns at once. Safe to call from any thread.

        Args:
            handing_over: Whether another process answers at the same socket next: new
                connections are left to it from now on, and wait for it.
        """
        self._handing_over = handing_over
        self._asked.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal: the first asks for a graceful end, a second one doesn't wait for callers."""
        if self._asked.is_set():
            super().handle_exit(sig, frame)
        self._asked.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        if self._beside:
            try:
                await self._beside.start()
            except Exception as error:  # noqa: BLE001 - raised again where the server was run
                self.failure, self.should_exit = error, True
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends, when what is in hand has ended."""
        await super().shutdown(sockets)
        if self._beside:
            await self._beside.ended()

    async def on_tick(self, counter: int) -> bool:
        """What is done ten times a second; True ends the server."""
        self._on_tick()
        if counter % 10 == 0:
            self._connections.sweep(self.server_state.connections, time.monotonic())
        if self._asked.is_set() and self._drained(time.monotonic()):
            self.should_exit = True
        return await super().on_tick(counter)

    def _drained(self, now: float) -> bool:
        """Begins to end; True once nobody has asked for a while, or has been told to go."""
        if self._draining_since is None:
            self._draining_since = self._last_busy = now
            self._last_total = self.server_state.total_requests
            self._on_drain()
            if self._beside:
                self._beside.drain(DRAIN)
            if self._handing_over:
                self._stop_listening(now)
        if self.server_state.tasks or self.server_state.total_requests != self._last_total:
            self._last_busy, self._last_total = now, self.server_state.total_requests
        quiet = now - self._last_busy >= _QUIET or now - self._draining_since >= _LAST_CALL
        if self._deaf_since is None:
            if quiet:
                self._stop_listening(now)
            # Without any connection nothing can be on its way.
            return quiet and not self.server_state.connections
        return quiet and now - self._deaf_since >= _QUIET

    def _stop_listening(self, now: float) -> None:
        """Takes no new connection; those just taken have yet to send their requests."""
        self._deaf_since = now
        for server in self.servers:
            server.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends gracefully on a signal, and does not raise it again afterwards: this was the answer."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {which: signal.signal(which, self.handle_exit) for which in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)


class _Connections:
    """Lets go of connections that send their headers too slowly, don't take their answer, or idle.

    uvicorn waits for the first two for ever. A request whose headers are there has its own limit.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        # Since when each has been without a request, and with the same bytes to be taken.
        self._asking: dict[Any, tuple[int, float]] = {}
        self._taking: dict[Any, tuple[int, float]] = {}

    def sweep(self, connections: set[Any], now: float) -> None:
        """Looks at every connection once."""
        asking, taking = {}, {}
        for connection in tuple(connections):
            transport, cycle = connection.transport, connection.cycle
            left = transport.get_write_buffer_size()
            if left:
                before, since = self._taking.get(connection, (left, now))
                since = since if before == left else now
                taking[connection] = (left, since)
                if now - since > self._patience:
                    transport.abort()
            elif connection.timeout_keep_alive_task is None and (cycle is None or cycle.response_complete):
                answered = getattr(connection, "answered", 0)
                before, since = self._asking.get(connection, (answered, now))
                since = since if before == answered else now
                asking[connection] = (answered, since)
                if now - since > (self._patience if getattr(connection, "reading", True) else _IDLE):
                    transport.close()
        self._asking, self._taking = asking, taking


def make_server(
    app: Callable[..., object],
    on_drain: Callable[[], None] = lambda: None,
    on_tick: Callable[[], None] = lambda: None,
    patience: float = 30.0,
    door: Door | None = None,
    beside: Beside | None = None,
) -> Server:
    """A server of an ASGI application, to be run on sockets; see :class:`Server` and :class:`Door`."""
    config = uvicorn.Config(
        app,
        http=type("Connection", (ShortWay,), {"door": door}) if door else "httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=int(DRAIN),
    )
    return Server(config, on_drain, on_tick, patience, beside)
