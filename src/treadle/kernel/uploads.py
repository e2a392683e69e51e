"""Bytes on their way into the blob store: whole under their digest at the end, or gone."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from treadle.kernel.errors import Conflict
from treadle.kernel.files import storage_errors

_STALE = 86_400.0


class BlobUpload:
    """Takes bytes piece by piece, in a file that vanishes unless it is finished.

    Its methods may be called from any thread, one at a time or not.

    Args:
        folder: Where the file is while it grows; what a killed process left there is swept away.
        keep: Publishes the file under its digest in one step, and may move it.
    """

    def __init__(self, folder: Path, keep: Callable[[Path, str], None]) -> None:
        from blake3 import blake3

        self._path = folder / f"{secrets.token_hex(16)}.upload"
        self._keep = keep
        self._lock = threading.Lock()
        self._hasher = blake3()
        self.size = 0
        with storage_errors(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            self._file = self._path.open("xb", buffering=0)

    def write(self, data: bytes | memoryview) -> None:
        """Adds some bytes.

        Raises:
            StorageFull: If no space is left.
            StorageError: If they can't be written.
            Conflict: If the upload has ended.
        """
        with self._lock, storage_errors(str(self._path.parent)):
            if self._file.closed:
                raise Conflict("the upload has ended", fix="begin another one")
            self._hasher.update(data)
            self.size += len(data)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]

    def finish(self) -> str:
        """Publishes the bytes, durably; returns their digest.

        Raises:
            StorageFull: If no space is left; nothing half-written stays.
            StorageError: If the store can't be written.
            Conflict: If the upload has ended.
        """
        with self._lock, storage_errors(str(self._path.parent)):
            if self._file.closed:
                raise Conflict("the upload has ended", fix="begin another one")
            digest = self._hasher.hexdigest()
            os.fsync(self._file.fileno())
            self._file.close()
            self._keep(self._path, digest)
        self.close()
        return digest

    def close(self) -> None:
        """Drops what was not published."""
        with self._lock, contextlib.suppress(OSError):
            self._file.close()
            self._path.unlink()

    def __enter__(self) -> Self:
        """The upload; what isn't finished when the block ends is dropped."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drops what was not published."""
        self.close()


def _sweep(folder: Path) -> None:
    """Removes files that nobody has written to for a day: their process was killed."""
    oldest = time.time() - _STALE
    for path in folder.glob("*.upload"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
