"""The prediction journal: what was answered is written down before it is answered.

A record is handed to the operating system before its response is sent, so killing the
process loses nothing that was answered. A power failure can lose the last moments: the
journal is not forced to the disk.

A segment is a file of records, each with its length and CRC-32. The one being written is
``ID.open``; sealed ones are ``ID.ROWS.sealed`` and never change. A segment becomes one
batch whose identity is the segment's, so shipping it twice is shipping it once.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from treadle.kernel.ids import Ids
from treadle.monitor.types import PredictionBatch

_HEADER = struct.Struct(">II")
_ARRAY = 1


class Answered(msgspec.Struct, array_like=True, gc=False):
    """Rows that one model answered together, as they are written down."""

    ids: list[str]
    at: list[float]
    version: int
    revision: int
    inputs: dict[str, Any]
    outputs: list[float]
    latency_ms: list[float]


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
    """

    def __init__(self, folder: Path, ids: Ids, segment_size: int = 1 << 20) -> None:
        self._folder = folder
        self._ids = ids
        self._segment_size = segment_size
        self._lock = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_pack)
        self._file = -1
        self._path = folder
        self._size = self._rows = self._revision = 0
        self._texts: dict[str, bool] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for left in sorted(folder.glob("*.open")):
            self._seal_file(left, sum(len(record.outputs) for record in _records(left)))

    def append(self, record: Answered) -> None:
        """Hands a record to the operating system.

        Raises:
            OSError: If it could not be written (a full disk); the journal stays whole.
        """
        body = self._encoder.encode(record)
        data = _HEADER.pack(len(body), zlib.crc32(body)) + body
        with self._lock:
            if record.revision != self._revision:
                if self._clashes(record):
                    self._seal()
                self._revision = record.revision
            if self._file < 0:
                self._open()
            written = os.write(self._file, data)
            if written != len(data):
                os.ftruncate(self._file, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            self._size += written
            self._rows += len(record.outputs)
            if self._size >= self._segment_size:
                self._seal()

    def _clashes(self, record: Answered) -> bool:
        """Whether an input is text where it is a number in the segment being written, or the reverse."""
        kinds = {name: _is_text(values) for name, values in record.inputs.items()}
        texts = {name: text for name, text in kinds.items() if text is not None}
        clash = any(self._texts.get(name, text) != text for name, text in texts.items())
        self._texts = texts if clash else self._texts | texts
        return clash

    def _open(self) -> None:
        path = self._folder / f"{self._ids.new('segment')}.open"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._path, self._size, self._rows = path, 0, 0

    def seal(self) -> None:
        """Ends the segment being written, if any: all that was appended can be shipped."""
        with self._lock:
            self._seal()

    def _seal(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._seal_file(self._path, self._rows)

    @staticmethod
    def _seal_file(path: Path, rows: int) -> None:
        if rows:
            path.rename(path.with_suffix(f".{rows}.sealed"))
        else:
            path.unlink()

    def sealed(self) -> list[Segment]:
        """The segments that wait for shipping, oldest first."""
        found = []
        for path in self._folder.glob("*.sealed"):
            with contextlib.suppress(FileNotFoundError):
                name, rows, _ = path.name.split(".")
                found.append(Segment(name, path, int(rows), path.stat().st_size))
        return sorted(found)

    def backlog(self) -> int:
        """Bytes that have not been shipped."""
        return self._size * (self._file >= 0) + sum(segment.size for segment in self.sealed())

    def read(self, segment: Segment) -> PredictionBatch:
        """A segment as the batch that is sent."""
        batch = PredictionBatch(
            batch=segment.id, ids=[], at=[], version=[], revision=[], inputs={}, outputs=[], latency_ms=[]
        )
        for record in _records(segment.path):
            rows = len(record.outputs)
            batch.ids.extend(record.ids)
            batch.at.extend(record.at)
            batch.version.extend([record.version] * rows)
            batch.revision.extend([record.revision] * rows)
            # Revisions that take turns may take other inputs: what one doesn't take is empty in its rows.
            before = len(batch.outputs)
            for name in record.inputs.keys() - batch.inputs.keys():
                batch.inputs[name] = [None] * before
            for name, values in batch.inputs.items():
                values.extend(record.inputs.get(name) or [None] * rows)
            batch.outputs.extend(record.outputs)
            batch.latency_ms.extend(record.latency_ms)
        return batch

    def discard(self, segment: Segment) -> None:
        """Forgets a segment: it was acknowledged, or had to make room."""
        segment.path.unlink(missing_ok=True)

    def set_aside(self, segment: Segment) -> Path:
        """Keeps a segment that the platform refuses, out of the way; returns where."""
        return segment.path.rename(segment.path.with_suffix(".refused"))


def _pack(values: Any) -> msgspec.msgpack.Ext:
    """An array as its type and its bytes: making a list of it can wait until it is shipped."""
    kind = values.dtype.str.encode()
    return msgspec.msgpack.Ext(_ARRAY, bytes([len(kind)]) + kind + values.tobytes())


def _unpack(code: int, data: memoryview) -> list[Any]:
    """The values of an array; NaN is what stands for a missing number."""
    if code != _ARRAY:
        raise ValueError(f"extension {code} is none of the journal's")
    size = data[0]
    values = np.frombuffer(data[1 + size :], bytes(data[1 : 1 + size]).decode())
    found: list[Any] = values.tolist()
    if values.dtype.kind == "f" and np.isnan(values).any():
        return [None if math.isnan(value) else value for value in found]
    return found


def _is_text(values: list[Any]) -> bool | None:
    """Whether values are text; None if all of them are missing."""
    return next((isinstance(value, str) for value in values if value is not None), None)


def _records(path: Path) -> Iterator[Answered]:
    """The whole records of a segment; a torn one at the end was never answered."""
    data = path.read_bytes()
    decoder = msgspec.msgpack.Decoder(Answered, ext_hook=_unpack)
    start = 0
    while start + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, start)
        start += _HEADER.size
        body = memoryview(data)[start : start + length]
        if len(body) != length or zlib.crc32(body) != checksum or not length:
            return
        yield decoder.decode(body)
        start += length
