"""Requests straight into the ASGI application in this process: no server, the same API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from treadle.client.transport import Answer, Body
from treadle.kernel.errors import Unavailable

_AHEAD = 16
_PATIENCE = 5.0


class InProcessTransport:
    """Requests to the application of a workspace, run in a thread of its own.

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        from treadle.api import create_app

        self.name = str(root)
        self._app = create_app(root)
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="treadle-api", daemon=True)
        self._thread.start()

    def send(self, method: str, target: str, body: Body = b"", headers: Mapping[str, str] = {}) -> Answer:
        """Sends a request into the application; returns when its answer begins.

        Raises:
            Unavailable: If this transport was closed, or the application broke down.
        """
        if self._closed:
            raise Unavailable("this client was closed", where=self.name)
        exchange = _Exchange(body)
        task = asyncio.run_coroutine_threadsafe(
            exchange.run(self._app, _scope(method, target, headers)), self._loop
        )
        task.add_done_callback(exchange.ended)
        try:
            status = exchange.status.result()
        except CancelledError:
            raise Unavailable("this client was closed before the answer came", where=self.name) from None
        if exchange.unreadable:
            raise exchange.unreadable[0]
        return Answer(status, self._pieces(exchange, task), exchange.headers)

    def _pieces(self, exchange: _Exchange, task: Future[None]) -> Iterator[bytes]:
        try:
            while piece := exchange.pieces.get():
                self._loop.call_soon_threadsafe(exchange.room.release)
                yield piece
        finally:
            task.cancel()  # does nothing to one that is done
        if task.cancelled() or task.exception():
            raise Unavailable("the answer broke off", where=self.name)

    def close(self) -> None:
        """Ends what is under way, closes the workspace, ends the thread."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
        self._app.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Exchange:
    """One request and its answer, between the caller's thread and the application's.

    Args:
        body: The request's body, whole or in pieces.
    """

    def __init__(self, body: Body) -> None:
        self._body = body if not isinstance(body, bytes) else iter(())
        self._next: bytes | None = body if isinstance(body, bytes) else b""
        self._more = not isinstance(body, bytes)
        self.status: Future[int] = Future()
        self.headers: dict[str, str] = {}
        self.pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self.room = asyncio.Semaphore(_AHEAD)
        self.unreadable: list[Exception] = []

    async def run(self, app: Any, scope: dict[str, Any]) -> None:
        """Has the application answer."""
        await app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        """The next piece; the first of a body in pieces is empty, for such a body may have none."""
        piece = self._next
        if piece is None:
            await asyncio.Event().wait()
        self._next = None
        if self._more:
            try:
                self._next = await asyncio.to_thread(next, self._body, None)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's own
                self.unreadable.append(error)
                return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": self._next is not None}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            self.status.set_result(message["status"])
        elif piece := message.get("body"):
            await self.room.acquire()  # no faster than it is read
            self.pieces.put(piece)

    def ended(self, task: Future[None]) -> None:
        """Wakes who waits for the status or for the next piece."""
        self.pieces.put(None)
        if not self.status.done():
            error = None if task.cancelled() else task.exception()
            self.status.set_exception(error or CancelledError())


def _scope(method: str, target: str, headers: Mapping[str, str]) -> dict[str, Any]:
    from urllib.parse import unquote

    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": None,
        "server": None,
    }


async def _end_others() -> None:
    """Cancels what else this loop does; what can't be cancelled gets some seconds to end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_PATIENCE)
