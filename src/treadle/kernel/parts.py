"""Blobs of a known digest on their way into a store, piece by piece in any order.

What a killed process has brought is there for the next one: in a folder a file beside a record
of the pieces that it has, in a bucket the pieces themselves (see :mod:`treadle.kernel.pieces`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from treadle.kernel.copying import begin_writing, copy_pieces, reflink
from treadle.kernel.errors import CorruptData
from treadle.kernel.files import storage_errors
from treadle.kernel.ids import digest_bytes
from treadle.kernel.pieces import PieceList, Pieces, piece_size

_STALE = 7 * 86_400.0
_NUMBER = 8


class Part(Protocol):
    """A blob that is on its way. :meth:`write` and :meth:`kept` may be called from several threads.

    Attributes:
        piece: How large its pieces are, but for the last; in bytes.
        count: How many pieces it has.
    """

    piece: int
    count: int

    def kept(self, number: int, buffer: memoryview) -> bool:
        """Whether an earlier process brought a piece and the buffer now has it."""

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Keeps a piece.

        Raises:
            StorageFull: If no space is left.
            StorageError: If the store can't be written.
        """

    def copy(self, source: Path, copied: Callable[[int], None], *, anew: bool = False) -> str | None:
        """Takes all pieces from a file, where that is faster than one by one.

        Args:
            source: The file.
            copied: Called after each piece with how many bytes it has.
            anew: Whether to take again what an earlier process brought.

        Returns:
            The digest of all of them, for :meth:`finish`; None where nothing was done.

        Raises:
            StorageFull: If no space is left.
            StorageError: If the file can't be read, or the store can't be written.
        """

    def finish(self, digest: str) -> bool:
        """Publishes the blob when all its pieces are written.

        Args:
            digest: That of all pieces one after another, as they were written.

        Returns:
            Whether it is there; if not, a collector took pieces meanwhile: begin again.

        Raises:
            CorruptData: If that isn't the blob's digest; what came stays, for some of it may be right.
        """

    def drop(self) -> None:
        """Forgets what came."""

    def close(self) -> None:
        """Lets go of it; what was brought stays for the next one."""


class FilePart:
    """A blob on its way into a folder. Two processes that bring the same one take turns.

    Args:
        folder: Where files grow.
        digest: The blob's.
        size: Its size in bytes.
        keep: Publishes the file under the digest, and may move it.
    """

    def __init__(self, folder: Path, digest: str, size: int, keep: Callable[[Path, str], None]) -> None:
        self.piece = piece_size(size)
        self.count = max(1, -(-size // self.piece))
        self._digest, self._size, self._keep = digest, size, keep
        self._placed = False
        self._path = folder / f"{digest}.part"
        self._record = folder / f"{digest}.pieces"
        with storage_errors(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            self._file = self._locked()
            self._have = self._recorded()
            os.ftruncate(self._file, size)
            self._log = os.open(self._record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _locked(self) -> int:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), self._path.stat()):
                    return file
            os.close(file)  # whoever held it has placed it meanwhile

    def _recorded(self) -> set[int]:
        """The pieces that are in the file; none if the record isn't of this file."""
        try:
            record = self._record.read_bytes()
        except FileNotFoundError:
            return set()
        if os.fstat(self._file).st_size != self._size:
            self._record.unlink()
            return set()
        whole = len(record) // _NUMBER * _NUMBER
        if whole != len(record):  # its process was killed while it wrote
            os.truncate(self._record, whole)
        found = {int.from_bytes(record[at : at + _NUMBER], "little") for at in range(0, whole, _NUMBER)}
        return found & set(range(self.count))

    def kept(self, number: int, buffer: memoryview) -> bool:
        """Whether an earlier process brought a piece and the buffer now has it; the whole is checked."""
        if number not in self._have:
            return False
        with storage_errors(str(self._path)):
            return os.preadv(self._file, [buffer], number * self.piece) == len(buffer)

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Keeps a piece.

        Raises:
            StorageFull: If no space is left.
            StorageError: If it can't be written.
        """
        with storage_errors(str(self._path.parent.parent)):
            view, at = memoryview(data), number * self.piece
            while view:
                done = os.pwrite(self._file, view, at)
                view, at = view[done:], at + done
            begin_writing(self._file, number * self.piece, len(data))
            self._write_down(number)

    def copy(self, source: Path, copied: Callable[[int], None], *, anew: bool = False) -> str | None:
        """Takes all pieces from a file, sharing its blocks where the file system can; returns their digest.

        Raises:
            StorageFull: If no space is left.
            StorageError: If the file can't be read, or it can't be written.
        """

        def note(number: int, count: int) -> None:
            self._write_down(number)
            copied(count)

        with storage_errors(str(source)):
            file = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with storage_errors(str(self._path.parent.parent)):
                have = set() if anew else self._have
                if not have and os.fstat(file).st_size == self._size and reflink(file, self._file):
                    have = set(range(self.count))
                return copy_pieces(file, self._file, self._size, self.piece, have, note)
        finally:
            os.close(file)

    def _write_down(self, number: int) -> None:
        if self.count > 1:
            os.write(self._log, number.to_bytes(_NUMBER, "little"))

    def finish(self, digest: str) -> bool:
        """Publishes the blob, durably.

        Raises:
            CorruptData: If what was written has another digest; it stays, for some of it may be right.
            StorageError: If it can't be written.
        """
        try:
            if digest != self._digest:
                raise CorruptData(f"what came as blob {self._digest[:12]} is something else")
            self._record.unlink(missing_ok=True)
            with storage_errors(str(self._path.parent.parent)):
                os.fsync(self._file)
                os.utime(self._file)  # it may have been begun long ago; a collector looks at its age
                self._keep(self._path, digest)
                self._placed = True
        finally:
            if self._placed:
                self.close()
        return True

    def drop(self) -> None:
        """Forgets what came."""
        self._record.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets go of it; what was brought stays for the next one, but for what is small."""
        if self._file < 0:
            return
        if self.count == 1 and not self._placed:
            self._path.unlink(missing_ok=True)
            self._record.unlink(missing_ok=True)
        os.close(self._log)
        os.close(self._file)
        self._file = -1


class ObjectPart:
    """A blob on its way into a bucket, in one piece.

    Args:
        pieces: The bucket's.
        key: The blob's key.
        digest: Its digest.
        safe: Says whether what was put is there and stays.
    """

    count = 1

    def __init__(self, pieces: Pieces, key: str, digest: str, size: int, safe: Callable[[str], bool]) -> None:
        self.piece = piece_size(size)
        self._pieces, self._key, self._digest, self._safe = pieces, key, digest, safe

    def kept(self, number: int, buffer: memoryview) -> bool:
        """No: the blob is there, or it isn't."""
        del number, buffer
        return False

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Puts it.

        Raises:
            CorruptData: If it isn't the blob; it isn't put.
            StorageError: If the store can't be written.
        """
        del number
        if digest_bytes(data) != self._digest:
            raise CorruptData(f"what came as blob {self._digest[:12]} is something else")
        self._pieces.put_checked(self._key, data, self._digest)

    def copy(self, source: Path, copied: Callable[[int], None], *, anew: bool = False) -> str | None:
        """Nothing: a bucket takes pieces one by one."""
        del source, copied, anew
        return None

    def finish(self, digest: str) -> bool:
        """Whether it stays."""
        del digest
        return self._safe(self._key)

    def drop(self) -> None:
        """Nothing is kept that could be taken for the blob."""

    def close(self) -> None:
        """Nothing is held."""


class PiecePart:
    """A blob on its way into a bucket in several pieces; those that are there aren't sent again.

    Args:
        pieces: The bucket's.
        key: The blob's key.
        digest: Its digest.
        size: Its size in bytes.
    """

    def __init__(self, pieces: Pieces, key: str, digest: str, size: int) -> None:
        self.piece = piece_size(size)
        self.count = -(-size // self.piece)
        self._pieces, self._key, self._digest, self._size = pieces, key, digest, size
        self._there = pieces.there(key)
        self._digests = [""] * self.count

    def kept(self, number: int, buffer: memoryview) -> bool:
        """No: what is there is known by its digest when it is written again."""
        del number, buffer
        return False

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Puts a piece, unless it is there.

        Raises:
            StorageError: If the store can't be written.
        """
        digest = digest_bytes(data)
        if digest not in self._there:
            self._pieces.put(self._key, data, digest)
        self._digests[number] = digest

    def copy(self, source: Path, copied: Callable[[int], None], *, anew: bool = False) -> str | None:
        """Nothing: a bucket takes pieces one by one."""
        del source, copied, anew
        return None

    def finish(self, digest: str) -> bool:
        """Writes the list of the pieces, which makes the blob be there.

        Raises:
            CorruptData: If the pieces are of something else.
        """
        if digest != self._digest:
            raise CorruptData(f"what came as blob {self._digest[:12]} is something else")
        return self._pieces.seal(self._key, PieceList(self._size, self.piece, tuple(self._digests)))

    def drop(self) -> None:
        """Nothing is kept that could be taken for the blob."""

    def close(self) -> None:
        """Nothing is held."""


def _sweep(folder: Path) -> None:
    """Removes what nobody has gone on with for a week."""
    oldest = time.time() - _STALE
    for path in (*folder.glob("*.part"), *folder.glob("*.pieces")):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
