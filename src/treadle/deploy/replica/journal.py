"""The prediction journal: what was answered is written down before it is answered.

A record is handed to the operating system before its response is sent, so killing the
process loses nothing that was answered. What a power failure loses is chosen by
``[serve] journal_sync``: nothing if a record is forced to the disk before its response is sent,
the last moments otherwise.

A segment is a file of records (:mod:`treadle.monitor.segments`). The one being written is
``ID.open``; sealed ones are ``ID.ROWS.sealed`` and never change. A segment becomes one
batch whose identity is the segment's, so shipping it twice is shipping it once.

The file of a full segment that was shipped is used again, as ``ID.spare`` until then: making a file, its
pages and deleting it costs more than writing into one. When nothing was answered for a while, they go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from treadle.kernel.ids import Ids
from treadle.monitor import Answered, SegmentEncoder, read_records, seed_of

# What is sent at once is held in memory by the platform, as columns.
_SEGMENT = 1 << 20
# Bytes of files that are kept to be used again: what a busy replica writes between two shipments.
_SPARE = 64 << 20

Sync = Literal["system", "flush", "answer"]
"""When records are forced to the disk: when the system sees fit, with each segment, with each record."""


class Segment(msgspec.Struct, frozen=True, order=True):
    """A sealed segment: its identity (sortable by age), file, rows and bytes."""

    id: str
    path: Path
    rows: int
    size: int


class Journal:
    """Writes segments and hands them out for shipping. Safe to use from several threads.

    Args:
        folder: Where; segments that a killed process left there are sealed at once.
        ids: Makes the segments' identities.
        segment_size: Bytes from which a segment is sealed.
        sync: When records are forced to the disk.
    """

    def __init__(self, folder: Path, ids: Ids, segment_size: int = _SEGMENT, sync: Sync = "system") -> None:
        self._folder = folder
        self._ids = ids
        self._segment_size = segment_size
        self._sync = sync
        self._lock = threading.Lock()
        self._encoder = SegmentEncoder()
        self._file = -1
        self._path = folder
        self._size = self._rows = self._revision = 0
        self._texts: dict[str, bool] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._spares: deque[Path] = deque()
        self._sealed: dict[str, Segment] = {}
        self._seed = 0
        self._busy = False
        for spare in folder.glob("*.spare"):
            spare.unlink()
        for path in folder.glob("*.sealed"):
            name, rows, _ = path.name.split(".")
            self._sealed[name] = Segment(name, path, int(rows), path.stat().st_size)
        for left in sorted(folder.glob("*.open")):
            records = read_records(left.read_bytes(), left.stem)
            self._seal_file(left, sum(len(record.outputs) for record in records))

    def append(self, record: Answered) -> None:
        """Hands a record to the operating system, and to the disk where it is forced there.

        Raises:
            OSError: If it could not be written (a full disk); the journal stays whole.
        """
        with self._lock:
            if record.revision != self._revision:
                if self._clashes(record):
                    self._seal()
                self._revision = record.revision
            if self._file < 0:
                self._open()
            pieces, size = self._encoder.encode_here(record, self._seed)
            written = os.pwritev(self._file, pieces, self._size)
            if written != size:
                os.ftruncate(self._file, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            if self._sync == "answer":
                os.fdatasync(self._file)
            self._busy = True
            self._size += written
            self._rows += len(record.outputs)
            if self._size >= self._segment_size:
                self._seal()

    def _clashes(self, record: Answered) -> bool:
        """Whether an input is text where it is a number in the segment being written, or the reverse."""
        kinds = {name: _is_text(values) for name, values in record.columns().items()}
        texts = {name: text for name, text in kinds.items() if text is not None}
        clash = any(self._texts.get(name, text) != text for name, text in texts.items())
        self._texts = texts if clash else self._texts | texts
        return clash

    def _open(self) -> None:
        name = self._ids.new("segment")
        path = self._folder / f"{name}.open"
        if self._spares:
            self._spares.popleft().rename(path)
            self._file = os.open(path, os.O_WRONLY)
        else:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._path, self._seed, self._size, self._rows = path, seed_of(name), 0, 0
        if self._sync != "system":
            _sync_folder(self._folder)  # a file whose name is lost is lost

    def seal(self) -> None:
        """Ends the segment being written, if any: all that was appended can be shipped."""
        with self._lock:
            if not self._busy:
                self._let_go()
            self._busy = False
            self._seal()

    def close(self) -> None:
        """Ends the segment being written, and lets go of what is kept to be used again."""
        with self._lock:
            self._seal()
            self._let_go()

    def _let_go(self) -> None:
        while self._spares:
            self._spares.popleft().unlink(missing_ok=True)

    def _seal(self) -> None:
        if self._file >= 0:
            os.ftruncate(self._file, self._size)
            if self._sync == "flush":
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = -1
            self._seal_file(self._path, self._rows)

    def _seal_file(self, path: Path, rows: int) -> None:
        if not rows:
            path.unlink()
            return
        sealed = path.rename(path.with_suffix(f".{rows}.sealed"))
        self._sealed[path.stem] = Segment(path.stem, sealed, rows, sealed.stat().st_size)

    def sealed(self) -> list[Segment]:
        """The segments that wait for shipping, oldest first."""
        return sorted(self._sealed.copy().values())

    def backlog(self) -> int:
        """Bytes that have not been shipped."""
        return self._size * (self._file >= 0) + sum(segment.size for segment in self.sealed())

    def read(self, segment: Segment) -> bytes:
        """A segment's bytes, as they are sent."""
        return segment.path.read_bytes()

    def discard(self, segment: Segment) -> None:
        """Forgets a segment: it was acknowledged, or had to make room."""
        self._sealed.pop(segment.id, None)
        if segment.size >= self._segment_size:
            with self._lock, contextlib.suppress(FileNotFoundError):
                if (len(self._spares) + 1) * segment.size <= _SPARE:
                    self._spares.append(segment.path.rename(self._folder / f"{segment.id}.spare"))
                    return
        segment.path.unlink(missing_ok=True)

    def set_aside(self, segment: Segment) -> Path:
        """Keeps a segment that the platform refuses, out of the way; returns where."""
        self._sealed.pop(segment.id, None)
        return segment.path.rename(segment.path.with_suffix(".refused"))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_text(values: Sequence[Any]) -> bool | None:
    """Whether values are text; None if all of them are missing."""
    return next((isinstance(value, str) for value in values if value is not None), None)
