"""Moving blobs from one store to another: in parallel, by pieces, checked from end to end.

Whatever moves is in memory only in pieces of 16 MiB, of which there are a few at a time. Each
piece is tried several times; a blob that came damaged is brought again. A process that is killed
leaves what it has brought (see :mod:`treadle.kernel.parts`), and the next one goes on from there.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import msgspec

from treadle.data.remotes.pace import Pace
from treadle.kernel import progress
from treadle.kernel.blobs import BlobStore
from treadle.kernel.errors import CorruptData, NotFound, StorageError, StorageFull, TreadleError
from treadle.kernel.ids import new_digest
from treadle.kernel.parts import Part

PIECES_AT_ONCE = 5
"""So many pieces are in memory at most."""

_BLOBS_AT_ONCE = 4
_ASKED_AT_ONCE = 16
_TRIES = 5
_FIRST_WAIT = 0.2
_WHOLE_TRIES = 3
_LARGE = 1 << 20

T = TypeVar("T")


class Item(msgspec.Struct, frozen=True):
    """A blob that shall be moved.

    Attributes:
        digest: Which.
        what: What people call it, such as ``a pack of flights@v3``.
        size: In bytes; asked of the source when None.
    """

    digest: str
    what: str
    size: int | None = None


class Failed(msgspec.Struct, frozen=True):
    """A blob that couldn't be moved.

    Attributes:
        item: Which.
        error: Why: it is missing or damaged at its source.
    """

    item: Item
    error: TreadleError


class Moved(msgspec.Struct, frozen=True):
    """What a transfer did.

    Attributes:
        blobs: How many blobs were moved.
        bytes: How many bytes they have.
        there: How many were there already.
        failed: Those that are missing or damaged at their source.
    """

    blobs: int = 0
    bytes: int = 0
    there: int = 0
    failed: tuple[Failed, ...] = ()


class Mover:
    """Moves blobs from one store to another.

    Args:
        source: Where they are.
        target: Where they shall be.
        pace: Counts and holds back.
        jitter: Between 0 and 1; spreads out what is tried again.
    """

    def __init__(
        self,
        source: BlobStore,
        target: BlobStore,
        pace: Pace,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source, self._target, self._pace, self._jitter = source, target, pace, jitter
        self._slots = threading.BoundedSemaphore(PIECES_AT_ONCE)
        self._buffers: deque[bytearray] = deque()

    def move(
        self,
        items: Iterable[Item],
        *,
        again: bool = False,
        arrived: Callable[[str], object] = lambda _: None,
    ) -> Moved:
        """Moves what the target doesn't have.

        Args:
            items: The blobs; one that is named twice is moved once.
            again: Whether to move also what is there, because it is damaged.
            arrived: Told of each blob, on any thread, as soon as it is there.

        Raises:
            StorageFull: If the target is full.
            StorageError: If a store fails again and again.
            Conflict: If it was stopped.
        """
        wanted = list({item.digest: item for item in items}.values())
        with ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="treadle-ask") as pool:
            there = [False] * len(wanted) if again else list(pool.map(self._there, wanted))
            missing = [item for item, is_there in zip(wanted, there, strict=True) if not is_there]
            for item, is_there in zip(wanted, there, strict=True):
                if is_there:
                    arrived(item.digest)
            sized = list(pool.map(self._sized, missing))
        failed = [one for one in sized if isinstance(one, Failed)]
        ready = [one for one in sized if isinstance(one, Item)]
        progress.expect(len(ready), sum(item.size or 0 for item in ready))
        failed += self._move_all(ready, arrived)
        lost = {one.item.digest for one in failed}
        moved = [item for item in ready if item.digest not in lost]
        return Moved(
            len(moved), sum(item.size or 0 for item in moved), len(wanted) - len(missing), tuple(failed)
        )

    def _there(self, item: Item) -> bool:
        return self._patiently(lambda: self._target.claim(item.digest))

    def _sized(self, item: Item) -> Item | Failed:
        if item.size is not None:
            return item
        try:
            size = self._patiently(lambda: self._source.size(item.digest))
        except (NotFound, CorruptData) as error:
            return Failed(item, error)
        return msgspec.structs.replace(item, size=size)

    def _move_all(self, items: Sequence[Item], arrived: Callable[[str], object]) -> list[Failed]:
        failed: list[Failed] = []
        pieces = ThreadPoolExecutor(PIECES_AT_ONCE, thread_name_prefix="treadle-piece")
        blobs = ThreadPoolExecutor(_BLOBS_AT_ONCE, thread_name_prefix="treadle-blob")

        def one(item: Item) -> None:
            try:
                self._move_one(item, pieces)
                arrived(item.digest)
            except (NotFound, CorruptData) as error:
                failed.append(Failed(item, error))
            except StorageError as error:
                where = f"{item.what} ({error.where})" if error.where else item.what
                fix = error.fix or "run the same command again: it goes on where it was"
                raise type(error)(error.message, where=where, fix=fix) from error

        try:
            # Large ones first: at the end nobody waits for the one that was begun last.
            for future in [blobs.submit(one, i) for i in sorted(items, key=lambda item: -(item.size or 0))]:
                future.result()
        except BaseException:
            self._pace.stop()
            raise
        finally:
            blobs.shutdown(cancel_futures=True)
            pieces.shutdown(cancel_futures=True)
        return failed

    def _move_one(self, item: Item, pool: ThreadPoolExecutor) -> None:
        for tried in range(1, _WHOLE_TRIES + 1):
            try:
                while not self._bring(item, pool, tried):
                    self._pace.check()
            except CorruptData:
                # Damaged on the way, or at its source: only trying again tells. Pieces that are
                # found to be whole aren't brought again.
                if tried == _WHOLE_TRIES:
                    raise
                self._pace.wait(_FIRST_WAIT * self._jitter())
                continue
            progress.tell(1, 0)
            return

    def _bring(self, item: Item, pool: ThreadPoolExecutor, tried: int) -> bool:
        """Brings a blob, from a file at once where that goes; returns whether it is there."""
        part = self._patiently(lambda: self._target.part(item.digest, item.size or 0))
        counted = 0

        def count(size: int) -> None:
            nonlocal counted
            counted += size
            progress.tell(0, size)

        try:
            digest = self._copy(item, part, count, anew=tried > 1)
            if digest is None:
                digest = self._pieces(item, pool, part, count, doubt=tried > 1)
            count((item.size or 0) - counted)  # what was there already
            try:
                return self._patiently(lambda: part.finish(digest))
            except CorruptData:
                if tried == _WHOLE_TRIES:
                    part.drop()
                raise
        except BaseException:
            progress.tell(0, -counted)
            raise
        finally:
            part.close()

    def _copy(self, item: Item, part: Part, count: Callable[[int], None], *, anew: bool) -> str | None:
        """Copies a large blob from folder to folder, within the kernel; None if it isn't one."""
        source = self._source.path(item.digest) if (item.size or 0) >= _LARGE else None

        def copied(size: int) -> None:
            self._pace.take(size)
            count(size)

        return part.copy(source, copied, anew=anew) if source else None

    def _pieces(
        self, item: Item, pool: ThreadPoolExecutor, part: Part, count: Callable[[int], None], *, doubt: bool
    ) -> str:
        """Brings a blob piece by piece, and hashes the pieces in their order; also each once that failed."""
        size = item.size or 0
        hasher = new_digest()
        pending: deque[tuple[Future[memoryview], bytearray]] = deque()
        number = 0
        try:
            while pending or number < part.count:
                # Never wait for a slot while holding one: somebody else may be waiting, too.
                if number < part.count and self._slots.acquire(blocking=not pending):
                    length = min(part.piece, size - number * part.piece)
                    buffer = self._buffer(length)
                    view = memoryview(buffer)[:length]
                    pending.append((pool.submit(self._piece, part, item.digest, number, view, doubt), buffer))
                    number += 1
                    continue
                future, buffer = pending.popleft()
                try:
                    data = future.result()
                    hasher.update(data)
                    self._buffers.append(buffer)
                finally:
                    self._slots.release()
                count(len(data))
            return str(hasher.hexdigest())
        finally:
            for future, _ in pending:
                future.cancel()
                self._slots.release()

    def _buffer(self, length: int) -> bytearray:
        """A buffer of a piece that is over: a new one's pages would cost as much as its bytes."""
        try:
            found = self._buffers.pop()
        except IndexError:
            found = bytearray()
        return found if len(found) >= length else bytearray(length)

    def _piece(self, part: Part, digest: str, number: int, buffer: memoryview, doubt: bool) -> memoryview:
        start, filled = number * part.piece, 0

        def fill() -> None:
            nonlocal filled
            for count in self._source.fill(digest, start + filled, buffer[filled:]):
                self._pace.take(count)
                filled += count
            if filled != len(buffer):
                if self._source.size(digest) < start + len(buffer):
                    raise CorruptData("it is shorter than what was stored", where=f"blob {digest[:12]}")
                raise StorageError("a blob ended too early", where=f"blob {digest[:12]}")

        if not part.kept(number, buffer) or (doubt and not self._source.fits(digest, start, buffer)):
            if buffer:
                self._patiently(fill)
            if doubt and self._source.fits(digest, start, buffer) is False:
                raise CorruptData(f"a piece of blob {digest[:12]} isn't what was stored")
            self._patiently(lambda: part.write(number, buffer))
        return buffer

    def _patiently(self, do: Callable[[], T]) -> T:
        """Does something that may fail for a while: a network, a server that is starting."""
        wait = _FIRST_WAIT
        for _ in range(_TRIES - 1):
            self._pace.check()
            try:
                return do()
            except StorageFull:
                raise
            except StorageError:
                self._pace.wait(wait * (0.5 + self._jitter()))
                wait *= 2
        return do()
