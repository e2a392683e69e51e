"""Replicas that do as they are told, and a router before them, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from treadle.deploy import listen
from treadle.deploy.router.main import Router, RouterOptions

READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Fake:
    """A replica that is ready, and does with each request what it is told."""

    def __init__(self, name: str, does: Callable[[bytes], bytes | None] | None = None) -> None:
        self.name, self.asked = name, []
        self.ready: bytes | None = READY
        self.does = does or (lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + name.encode())

    async def start(self) -> tuple[str, int]:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[:2]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"/v2/health/ready" in head:
                    if self.ready is None:
                        await reader.read()
                    writer.write(self.ready or b"")
                    break
                length = next(
                    (int(x[15:]) for x in head.split(b"\r\n") if x.startswith(b"content-length:")), 0
                )
                self.asked.append(head + await reader.readexactly(length))
                answer = self.does(head)
                if answer is None:
                    break
                if answer == b"never":
                    await reader.read()
                    break
                writer.write(answer.removeprefix(b"!"))
                if answer.startswith(b"!"):
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def routed(
    *fakes: Fake, count: int | None = None, **changes
) -> AsyncIterator[Callable[..., Awaitable[bytes]]]:
    """A router before them; sends bytes on a connection of their own and gives all that comes back.

    It waits until so many are ready: all, unless told.
    """
    addresses = tuple([await fake.start() for fake in fakes])
    listening = listen("127.0.0.1", 0)
    router = Router(RouterOptions(replicas=addresses, **changes), listening)
    running = asyncio.create_task(router.run())

    async def send(data: bytes, close: bool = True) -> bytes:
        reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        writer.write(data.replace(b"\r\nhost:", b"\r\nconnection: close\r\nhost:") if close else data)
        found = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return found

    async with asyncio.timeout(20):
        while (await status(send)).count(True) < (len(fakes) if count is None else count):  # noqa: ASYNC110 - another's state
            await asyncio.sleep(0.01)
        try:
            yield send
        finally:
            router.stop()
            await running
            for fake in fakes:
                fake.server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait(others, timeout=2) if others else None


async def status(send: Callable[..., Awaitable[bytes]]) -> list[bool]:
    said = await send(b"GET /treadle/router HTTP/1.1\r\nhost: x\r\n\r\n")
    return [one["ready"] for one in json.loads(said.partition(b"\r\n\r\n")[2])["replicas"]]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())
