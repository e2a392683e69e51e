"""Sends requests when they are due, whatever has become of those before them (an open loop).

The time of a request counts from when it was to be sent, not from when it could be: a server that
stands still for a second has kept all those waiting that would have come in that second, which a
caller that waits for each answer would not notice ("coordinated omission", Gil Tene 2013,
https://www.infoq.com/presentations/latency-response-time/).

A process of its own: ``python -m treadle.deploy.loadtest.generator FILE FD`` reads a :class:`Load` from its
standard input and writes a :class:`Sent` into the file, as MessagePack. Not to its standard output, which
whatever it imports may write to. It says five times a second how far it is, a line of JSON at a time, at the
file descriptor; when nobody reads there any more, it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeAlias, cast

import httptools
import msgspec

from treadle.deploy.loadtest.arrivals import arrivals
from treadle.deploy.loadtest.types import Load, LoadProgress, Sent
from treadle.deploy.loadtest.watching import Watch
from treadle.kernel.errors import JobFailed

# So many requests are on their way at most; what comes then waits here, and its time runs.
_CONNECTIONS = 512
_LEAD = 0.2
_TICK = 0.1
_LEAST_PAUSE = 0.001
_GOOD, _WRONG, _ERROR, _BUSY = 200, 400, 500, 429
_SAID = 300
_RECENT = 1000
_TOLD_EVERY = 2
_LOOK = 0.1

Tell: TypeAlias = Callable[[LoadProgress], None]


class Generator:
    """Sends a load once.

    Args:
        load: What to send.
        tell: Is told how far it is.
    """

    def __init__(self, load: Load, tell: Tell = lambda _: None) -> None:
        self._load = load
        self._tell = tell
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._failed = 0
        self._due = arrivals(load.arrivals, load.rate, load.seconds, load.warmup, load.seed).tolist()
        self._requests = [_request(load, body) for body in load.bodies]
        self._seconds = [math.inf] * len(self._due)
        self._lag = [0.0] * len(self._due)
        self._statuses: Counter[int] = Counter()
        self._waiting: deque[int] = deque()
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._next = self._settled = self._opened = 0
        self._began = 0.0
        self._refused = ""
        self._done = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> Sent:
        """Sends all of it; returns once each is answered or has waited for too long."""
        cpu, self._began = time.process_time(), time.perf_counter() + self._load.warmup + _LEAD
        if self._due:
            self._loop.call_soon(self._send_due)
            watch = asyncio.create_task(self._watch())
            await self._done.wait()
            watch.cancel()
        for connection in tuple(self._open):
            connection.abort()
        return self._sent(time.process_time() - cpu)

    def _sent(self, cpu: float) -> Sent:
        first = next((place for place, due in enumerate(self._due) if due >= 0), len(self._due))
        unanswered = len(self._due) - first - sum(self._statuses.values())
        statuses = dict(self._statuses) | ({0: self._statuses[0] + unanswered} if unanswered else {})
        return Sent(
            at=self._due[first:],
            seconds=self._seconds[first:],
            lag=self._lag[first:],
            statuses=statuses,
            refused=self._refused,
            cpu=cpu / max(time.perf_counter() - self._began + self._load.warmup, 1e-9),
        )

    def _send_due(self) -> None:
        """Sends what is due, and comes again for the next."""
        now = time.perf_counter() - self._began
        due, place = self._due, self._next
        while place < len(due) and due[place] <= now:
            self._lag[place] = now - due[place]
            self._send(place)
            place += 1
            now = time.perf_counter() - self._began
        self._next = place
        if place < len(due) and not self._refused:
            # uvloop's timers are of whole milliseconds. Waiting for less by turning round and round
            # would take a core from the server; what comes a little late is a little late.
            self._loop.call_later(max(due[place] - now, _LEAST_PAUSE), self._send_due)

    def _send(self, place: int) -> None:
        if self._idle:
            self._idle.pop().send(place, self._requests[place % len(self._requests)])
            return
        self._waiting.append(place)
        self._open_more()

    def _open_more(self) -> None:
        if len(self._open) + len(self._opening) < _CONNECTIONS:
            task = self._loop.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        addresses = self._load.addresses
        host, port = addresses[self._opened % len(addresses)]
        self._opened += 1
        try:
            await self._loop.create_connection(lambda: _Connection(self), host, port)
        except OSError:
            if self._waiting:
                self.ended(self._waiting.popleft(), 0)

    async def _watch(self) -> None:
        """Gives up what was not answered in time, and ends when nothing can come any more."""
        ticks = 0
        while not self._refused:
            await asyncio.sleep(_TICK)
            ticks += 1
            if ticks % _TOLD_EVERY == 0:
                self._tell(self._progress())
            late = time.perf_counter() - self._began - self._load.timeout
            while self._waiting and self._due[self._waiting[0]] < late:
                self.ended(self._waiting.popleft(), 0)
            for connection in tuple(self._open):
                if connection.place is not None and self._due[connection.place] < late:
                    connection.abort()
        self._done.set()

    def _progress(self) -> LoadProgress:
        recent = sorted(self._recent)
        return LoadProgress(
            step="sending",
            due=len(self._due),
            sent=self._next,
            answered=self._settled,
            failed=self._failed,
            p99_ms=round(1000 * recent[math.ceil(0.99 * len(recent)) - 1], 3) if recent else None,
            left=max(0.0, self._due[-1] - (time.perf_counter() - self._began)),
        )

    # ── told by connections ──────────────────────────────────────────────

    def opened(self, connection: _Connection) -> None:
        """A connection can take a request."""
        self._open.add(connection)
        self.free(connection)

    def free(self, connection: _Connection) -> None:
        """A connection can take another request."""
        if self._waiting:
            place = self._waiting.popleft()
            connection.send(place, self._requests[place % len(self._requests)])
        else:
            self._idle.append(connection)

    def closed(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        if self._waiting:
            self._open_more()

    def ended(self, place: int, status: int, body: bytes = b"") -> None:
        """A request was answered, or (0) can't be any more."""
        if _WRONG <= status < _ERROR and status != _BUSY:
            self._refused = self._refused or f"{status}: {body[:_SAID].decode(errors='replace')}"
        if _GOOD <= status < _WRONG:
            self._seconds[place] = taken = time.perf_counter() - self._began - self._due[place]
            self._recent.append(taken)
        else:
            self._failed += 1
        if self._due[place] >= 0:
            self._statuses[status] += 1
        self._settled += 1
        if self._settled == len(self._due):
            self._done.set()


class _Connection(asyncio.Protocol):
    """One connection, with one request on it at a time."""

    def __init__(self, owner: Generator) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body = b""
        self.place: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._owner.opened(self)

    def send(self, place: int, request: bytes) -> None:
        """Sends a request."""
        self.place, self._body = place, b""
        if self._transport is not None:
            self._transport.write(request)

    def abort(self) -> None:
        """Lets go of it, and of the request on it."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_body(self, body: bytes) -> None:
        """A piece of an answer."""
        self._body += body

    def on_message_complete(self) -> None:
        """An answer is all here."""
        place, self.place = self.place, None
        kept = self._parser.should_keep_alive()
        if place is not None:
            self._owner.ended(place, self._parser.get_status_code(), self._body)
        if kept:
            self._owner.free(self)
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        self._owner.closed(self)
        if self.place is not None:
            self._owner.ended(self.place, 0)


def _request(load: Load, body: bytes) -> bytes:
    host, port = load.addresses[0]
    named = {"host": f"{host}:{port}", "content-type": "application/json", **load.headers}
    lines = [f"POST {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


async def send(load: Load, tell: Tell = lambda _: None) -> Sent:
    """Sends a load; see :class:`Generator`."""
    return await Generator(load, tell).run()


def generate(load: Load, watch: Watch | None = None) -> Sent:
    """Sends a load from a process of its own, so that nothing else here delays it.

    Args:
        load: What to send.
        watch: Is told how far it is, and may stop it.

    Raises:
        JobFailed: If the process fails, or takes a minute longer than the load can take.
        Cancelled: If it was stopped; the process is gone then.
    """
    watch = watch or Watch()
    with (
        tempfile.TemporaryDirectory(prefix="treadle-load-") as folder,
        tempfile.TemporaryFile() as said,
        _process(Path(folder) / "sent", said) as (process, reading),
    ):
        with contextlib.suppress(BrokenPipeError):  # it has failed then, and has said why
            assert process.stdin is not None  # noqa: S101 - it was asked for
            process.stdin.write(msgspec.msgpack.encode(load))
            process.stdin.close()
        try:
            _follow(process, reading, watch, load.warmup + load.seconds + load.timeout + 60)
            if process.returncode == 0:
                return msgspec.msgpack.decode((Path(folder) / "sent").read_bytes(), type=Sent)
        except (OSError, msgspec.DecodeError) as error:
            raise JobFailed(f"what the load generator wrote can't be read: {error}") from None
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
        raise JobFailed(f"the load generator failed: {lines[-1] if lines else process.returncode}")


@contextlib.contextmanager
def _process(out: Path, said: IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A generator, and where it says how far it is; killed at the end if it hasn't ended."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        command = [sys.executable, "-m", "treadle.deploy.loadtest.generator", os.fspath(out), str(writing)]
        # In a session of its own: Ctrl-C in a terminal is for whoever asked, who then stops it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        try:
            yield process, reading
        finally:
            process.kill()
            process.wait()
            if process.stdin and not process.stdin.closed:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
    finally:
        os.close(reading)


def _follow(process: subprocess.Popen[bytes], reading: int, watch: Watch, longest: float) -> None:
    """Waits until a generator has ended, and says how far it is."""
    until, text, more = time.monotonic() + longest, b"", b"?"
    while process.poll() is None:
        watch.look()
        if time.monotonic() > until:
            raise JobFailed(f"the load generator has not ended after {longest:,.0f} seconds")
        if not more:
            time.sleep(_LOOK)
        elif select.select([reading], [], [], _LOOK)[0]:
            more = os.read(reading, 1 << 16)
            *lines, text = (text + more).split(b"\n")
            if lines:
                watch.tell(msgspec.json.decode(lines[-1], type=LoadProgress))
    watch.look()


def _teller(descriptor: int) -> Tell:
    """Says how far it is at a file descriptor, as long as somebody reads there."""

    def tell(progress: LoadProgress) -> None:
        try:
            os.write(descriptor, msgspec.json.encode(progress) + b"\n")
        except BlockingIOError:
            return  # whoever reads is slow: the next time
        except BrokenPipeError:
            os._exit(1)  # whoever asked is gone

    return tell


def main() -> None:
    """Reads a load from standard input, sends it and writes what came of it into a file."""
    import uvloop

    load = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Load)
    # Nothing here makes cycles, and looking for them stops the clock.
    gc.disable()
    found = uvloop.run(send(load, _teller(int(sys.argv[2]))))
    Path(sys.argv[1]).write_bytes(msgspec.msgpack.encode(found))


if __name__ == "__main__":
    main()
