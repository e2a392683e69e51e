"""Sharing a large checkout with a second process, which makes files while this one does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, TYPE_CHECKING

import msgspec

from treadle.data.storage.indexes import Located
from treadle.data.storage.packs import Kind
from treadle.data.tree.paths import pick
from treadle.data.tree.types import Entries
from treadle.data.work.chunks import Chunk, Chunks
from treadle.data.work.helper import LENGTH, Job, Stretch, read_frame
from treadle.kernel import progress
from treadle.kernel.errors import TreadleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AHEAD = 2
"""So many chunks are with the helper at once, so that it never waits for the next one."""


class Sharing:
    """Chunks of a checkout, which this process takes from the front and a helper from the end.

    So they meet somewhere in the middle and are seldom in one folder, which takes one new name at a time.
    Whatever goes wrong with the helper, or with a file that it was to make, is in ``left`` at the end: this
    process makes those files again, and tells why it can't. The helper ends with the block, or with this
    process.

    Args:
        base: The folder.
        target: What shall lie there.
        chunks: All of them.
        made: Told of what was made, also by another thread: rows of the target; and of each the time of its
            content's change, that of any change, and its inode; int64 of shape (n,) and (n, 3).
        lock: A descriptor that holds a lock, which the helper shall hold as well: it is free when both are
            gone.
    """

    def __init__(
        self,
        base: str,
        target: Entries,
        chunks: Chunks,
        made: Callable[[NDArray[np.int64], NDArray[np.int64]], None],
        lock: int | None = None,
    ) -> None:
        self._base, self._target, self._chunks = base, target, chunks
        self._made, self._lock = made, lock
        self.left: list[Chunk] = []

    def mine(self) -> Iterator[Chunk]:
        """The chunks that this process takes."""
        while chunk := self._chunks.first():
            yield chunk

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A helper takes chunks while the block runs; at its end all that it took is made, or left."""
        process: subprocess.Popen[bytes] | None = None
        try:
            # An interrupt in between would leave one that nobody ends, and that holds the lock.
            with _uninterrupted():
                process = _start(self._base, self._lock)
            if process is None:
                yield
                return
            thread = threading.Thread(target=self._feed, args=(process,), name="treadle-helper")
            try:
                thread.start()
                yield
                thread.join()
            finally:
                self._chunks.stop()
                process.terminate()
                thread.join()
        finally:
            if process is not None:
                process.terminate()
                process.wait()
                for stream in (process.stdin, process.stdout):
                    with contextlib.suppress(BrokenPipeError):
                        _open(stream).close()

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Gives chunks to the helper until there are none; what it leaves undone is in ``left``."""
        given: deque[tuple[Chunk, NDArray[np.int64]]] = deque()
        chunk: Chunk | None = None
        try:
            while True:
                while len(given) < _AHEAD and (chunk := self._chunks.last(wait=not given)):
                    job, order = self._job(chunk)
                    _send(_open(process.stdin), job)
                    given.append((chunk, order))
                    chunk = None
                if not given:
                    return
                frame = read_frame(_open(process.stdout))
                if frame is None:
                    return
                self._note(*given.popleft(), frame)
        except (OSError, TreadleError):  # who makes the files again finds out what it is
            pass
        finally:
            self.left += [one for one, _ in given]
            if chunk is not None:
                self.left.append(chunk)

    def _job(self, chunk: Chunk) -> tuple[Job, NDArray[np.int64]]:
        """What the helper is asked of a chunk, and which of its files that are."""
        import numpy as np

        stretches, order = [], [np.empty(0, np.int64)]
        for found, span in chunk.contents.located(self._target.digests[chunk.rows]):
            pack = chunk.contents.blobs.path(found.pack)
            if pack is not None:
                stretches.append(self._stretch(os.fsencode(pack), found, span, chunk))
                order.append(found.rows[span])
        return Job(stretches), np.concatenate(order)

    def _stretch(self, pack: bytes, found: Located, span: slice, chunk: Chunk) -> Stretch:
        import numpy as np

        target, rows = self._target, chunk.rows[found.rows[span]]
        begin = int(found.offsets[span.start])
        starts = found.offsets[span] - begin
        ends = starts + found.stored[span]
        return Stretch(
            pack,
            begin,
            int(ends[-1]),
            np.stack([starts, ends, found.lengths[span]]).tobytes(),
            (found.kinds[span] == Kind.ZSTD).tobytes(),
            target.digests[rows].tobytes(),
            pick(target.paths, rows),
            target.modes[rows].tobytes(),
            chunk.replace[found.rows[span]].tobytes(),
        )

    def _note(self, chunk: Chunk, order: NDArray[np.int64], frame: bytes) -> None:
        """Takes what the file system said of the files of a chunk that the helper made."""
        import numpy as np

        said = np.frombuffer(frame, np.int64).reshape(-1, 3)
        done = said[:, 2] != 0
        rows = chunk.rows[order[done]]
        self._made(rows, said[done])
        progress.tell(len(rows), int(self._target.sizes[rows].sum()))
        left = np.ones(len(chunk.rows), dtype=bool)
        left[order[done]] = False
        if left.any():
            self.left.append(Chunk(chunk.rows[left], chunk.replace[left], chunk.contents))


def can_share() -> bool:
    """Whether there is a processor for a second process, and a Python that it can run."""
    return (os.cpu_count() or 1) > 1 and bool(sys.executable)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Has Ctrl-C wait for the end of the block; only the main thread hears of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *what: came.append(what))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(*came[0])


def _start(base: str, lock: int | None) -> subprocess.Popen[bytes] | None:
    """A helper, in a group of its own: Ctrl-C in a terminal is for whoever started it, who then ends it."""
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "treadle.data.work.helper", base],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=() if lock is None else (lock,),
            process_group=0,
        )
    except OSError:  # no more processes, or no memory: it goes without
        return None


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - both are pipes
    return stream


def _send(stream: IO[bytes], job: Job) -> None:
    frame = msgspec.msgpack.encode(job)
    stream.write(LENGTH.pack(len(frame)) + frame)
    stream.flush()
