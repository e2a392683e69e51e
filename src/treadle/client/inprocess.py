"""Requests straight into the ASGI application in this process: no server, the same API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from treadle.client.transport import Answer, Body


class InProcessTransport:
    """Requests to the application of a workspace, run in a thread of its own.

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        from treadle.api import create_app

        self.name = str(root)
        self._app = create_app(root)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="treadle-api", daemon=True)
        self._thread.start()

    def send(self, method: str, target: str, body: Body = b"", headers: Mapping[str, str] = {}) -> Answer:
        """Sends a request into the application and waits for its answer."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": _unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": None,
            "server": None,
        }
        pieces = iter([body] if isinstance(body, bytes) else body)
        future = asyncio.run_coroutine_threadsafe(self._call(scope, pieces), self._loop)
        status, chunks = future.result()
        return Answer(status, iter(chunks))

    async def _call(self, scope: dict[str, Any], pieces: Iterator[bytes]) -> tuple[int, list[bytes]]:
        status, chunks = 500, list[bytes]()
        following = next(pieces, None)

        async def receive() -> dict[str, Any]:
            nonlocal following
            piece, following = following, next(pieces, None)
            if piece is None:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": piece, "more_body": following is not None}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                chunks.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status, chunks

    def close(self) -> None:
        """Closes the workspace and ends the thread."""
        self._app.state.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()


def _unquote(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)
