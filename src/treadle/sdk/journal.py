"""The writing end of a run's journal: what ``append`` returned for survives the process.

The writer holds a lock on the file while it lives. So a second writer is refused, and
whoever finds the lock free knows that the writer is dead.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from treadle.experiment import Record, encode_line
from treadle.kernel.errors import Busy, StorageFull
from treadle.kernel.files import storage_errors

_PIECE = 1 << 16
_TRIES, _PAUSE = 6, 0.01


def is_written(path: Path) -> bool:
    """Whether a writer of the journal lives."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


class Journal:
    """A journal that this process writes.

    Args:
        path: The file; a torn last line of an earlier, dead writer is cut off.

    Raises:
        Busy: If another writer lives.
        StorageError: If the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._lock()
        self._cut_torn_line()

    @classmethod
    def adopt(cls, path: Path, descriptor: int) -> Self:
        """The journal that another process opened and locked, and left to this one."""
        adopted = cls.__new__(cls)
        adopted._path, adopted._file = path, descriptor  # noqa: SLF001 - this class's own
        return adopted

    @property
    def descriptor(self) -> int:
        """The open file, for a process that is to adopt it."""
        return self._file

    def _lock(self) -> None:
        for tries in range(_TRIES, 0, -1):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if tries > 1:  # somebody may only be asking whether it is written
                    time.sleep(_PAUSE)
                    continue
                os.close(self._file)
                raise Busy(
                    "this run is being written already",
                    where=str(self._path),
                    fix="one process starts a run; others write to it with treadle.attach(RUN)",
                ) from None
            return

    def append(self, record: Record) -> None:
        """Adds a record; it is with the operating system when this returns.

        Raises:
            StorageFull: If the disk is full; no half of the record stays.
            StorageError: If the file can't be written.
        """
        line = encode_line(record)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            with storage_errors(str(self._path)):
                raise error from None
        if written < len(line):
            os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_END) - written)
            raise StorageFull(
                "no space is left on the disk", where=str(self._path), fix="free some space; the run goes on"
            )

    def close(self) -> None:
        """Lets go of the file and its lock."""
        os.close(self._file)

    def _cut_torn_line(self) -> None:
        end = os.lseek(self._file, 0, os.SEEK_END)
        start = end
        while start > 0:
            piece_start = max(0, start - _PIECE)
            newline = os.pread(self._file, start - piece_start, piece_start).rfind(b"\n")
            if newline >= 0:
                start = piece_start + newline + 1
                break
            start = piece_start
        if start < end:
            os.ftruncate(self._file, start)
