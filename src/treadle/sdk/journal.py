"""The writing end of a run's journal: what ``append`` returned for survives the process.

The writer holds a lock on the file while it lives. So a second writer is refused, and
whoever finds the lock free knows that the writer is dead.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from treadle.experiment import Record, encode_line
from treadle.kernel.errors import Busy, StorageFull
from treadle.kernel.files import storage_errors

_PIECE = 1 << 16


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
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise Busy(
                "this run is being written already",
                where=str(path),
                fix="one process of a job (rank 0) starts the run, once; the others leave it alone",
            ) from None
        self._cut_torn_line()

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
