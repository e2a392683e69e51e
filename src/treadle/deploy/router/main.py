"""The router's process: takes connections at a socket that somebody else keeps, until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from treadle.deploy.router.front import Front, Limits
from treadle.deploy.router.pool import Pool

if TYPE_CHECKING:
    from treadle.deploy.router.calls import Calls

_TICK = 0.25
_DRAIN = 5.0
# Replicas give up by themselves; the router, only if they don't.
_LONGER = 5.0


class RouterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a router is run.

    Attributes:
        replicas: Host and port of each replica.
        max_body: The largest body, in bytes.
        max_waiting: How many requests may wait while no replica answers.
        timeout: Seconds in which replicas answer.
        grpc: Host and port at which calls over gRPC are taken; None for none.
        grpc_replicas: Host and port at which each replica takes them, in the order of ``replicas``.
    """

    replicas: tuple[tuple[str, int], ...]
    max_body: int = 32 << 20
    max_waiting: int = 1024
    timeout: float = 30.0
    grpc: tuple[str, int] | None = None
    grpc_replicas: tuple[tuple[str, int], ...] = ()


class Router:
    """Serves at a socket until :meth:`stop`.

    Args:
        options: How to run.
        listening: A socket that listens.
    """

    def __init__(self, options: RouterOptions, listening: socket.socket) -> None:
        self._options = options
        self._listening = listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Asks it to end gracefully; returns at once. Safe to call from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def run(self) -> None:
        """Routes until it is asked to end; then answers what it has in hand."""
        options, everyone = self._options, set[Front]()
        self._loop = asyncio.get_running_loop()
        pool = Pool(options.replicas, options.max_waiting)
        limits = Limits(options.max_body, options.timeout, options.timeout + _LONGER)
        server = await self._loop.create_server(
            lambda: Front(pool, limits, everyone), sock=self._listening, backlog=2048
        )
        sweeping = self._loop.create_task(self._sweep(pool, everyone))
        calls = await self._calls(pool)
        try:
            await self._stopping.wait()
            server.close()
            await asyncio.gather(self._drained(everyone), *([calls.close(_DRAIN)] if calls else []))
        finally:
            sweeping.cancel()
            pool.close()

    async def _calls(self, pool: Pool) -> Calls | None:
        options = self._options
        if options.grpc is None:
            return None
        from treadle.deploy.router.calls import Calls

        calls = Calls(pool, options.grpc_replicas, options.max_body, options.timeout + _LONGER)
        await calls.start(*options.grpc)
        return calls

    async def _sweep(self, pool: Pool, everyone: set[Front]) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = asyncio.get_running_loop().time()
            for asked in pool.late(now):
                for front in tuple(everyone):
                    if front.owns(asked):
                        pool.drop(asked)
                        front.late()
            for front in tuple(everyone):
                front.sweep(now)

    async def _drained(self, everyone: set[Front]) -> None:
        for front in everyone:
            front.draining = True
        deadline = asyncio.get_running_loop().time() + _DRAIN
        while everyone and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - they go singly
            await asyncio.sleep(_TICK / 5)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m treadle.deploy.router``: a router as a process of its own."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m treadle.deploy.router", description=__doc__)
    parser.add_argument(
        "--options", required=True, type=lambda text: msgspec.json.decode(text, type=RouterOptions)
    )
    parser.add_argument("--listening", type=int, required=True, metavar="FD", help="a socket that listens")
    given = parser.parse_args(arguments)

    async def run() -> None:
        router = Router(given.options, socket.socket(fileno=given.listening))
        for which in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(which, router.stop)
        threading.Thread(target=_leash, args=(router,), daemon=True).start()
        gc.set_threshold(50_000, 20, 50)
        await router.run()

    uvloop.run(run())
    return 0


def _leash(router: Router) -> None:
    """Ends the router when the process that started it is gone, however it went."""
    try:
        while os.read(0, 1024):
            pass
    except OSError:
        pass
    router.stop()
