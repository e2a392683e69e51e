"""Files of versions, opened: read by ranges, or written to this machine's disk until they are closed."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile

if TYPE_CHECKING:
    from treadle.paths.filesystem import TreadleFileSystem
    from treadle.paths.places import Place


class ReadFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file of a version, read by ranges; the reader keeps blocks, so that nothing is read twice."""

    def __init__(self, fs: TreadleFileSystem, path: str, mode: str = "rb", **options: Any) -> None:
        options.pop("cache_type", None)  # the reader has blocks of its own
        options.pop("cache_options", None)
        super().__init__(fs, path, mode, cache_type="none", **options)
        self.details = fs.info(path)
        self._reader = fs.reader(path)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._reader.read(start, end)


class WriteFile(io.RawIOBase):
    """A file that becomes part of a branch when it is closed, or with the transaction it is written in.

    Until then it lies on this machine's disk. A file that is closed because an error passes, or that
    nobody closes, is dropped.

    Args:
        fs: The file system.
        place: Where it shall lie.
        begin: What it begins with, where something is appended.
        autocommit: Whether closing it makes the version.
    """

    def __init__(self, fs: TreadleFileSystem, place: Place, begin: bytes, autocommit: bool) -> None:
        super().__init__()
        self.fs = fs
        self.path = place.of(place.path)
        self.mode = "wb"
        self.autocommit = autocommit
        self.place = place
        self._passing = sys.exception()
        self._dropped = False
        descriptor, name = tempfile.mkstemp(prefix="treadle-")
        self._local = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._file.write(begin)

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No: what is written is in order."""
        return False

    def tell(self) -> int:
        """How many bytes were written."""
        return self._file.tell()

    def write(self, data: Any, /) -> int:
        """Writes some bytes."""
        if self.closed:
            raise ValueError("the file is closed")
        return self._file.write(data)

    def flush(self) -> None:
        """Nothing: what is written is seen when the file is closed."""

    def close(self) -> None:
        """Makes the version, unless a transaction does, or an error passes."""
        if self.closed:
            return
        failing = sys.exception()
        try:
            self._file.close()
            super().close()
            if failing is not None and failing is not self._passing:
                self._dropped = True
            if self._dropped:
                self.discard()
            elif self.autocommit or self.fs._intrans:  # noqa: SLF001 - in order with what else is done
                self.commit()
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Makes a version with this file; in a transaction, adds it to what that will make. Once."""
        try:
            if not self._dropped:
                self.fs.take(self.place, self._local)
        finally:
            self.discard()

    def discard(self) -> None:
        """Drops what was written."""
        self._dropped = True
        with contextlib.suppress(OSError):
            self._local.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._dropped = True
        self.close()

    def __del__(self) -> None:
        if not self.closed:
            self._dropped = True
            self.close()
