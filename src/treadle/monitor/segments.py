"""The prediction journal's format: records that a replica wrote down, and the batch they become.

A segment is record after record: the record's length and CRC-32 (both u32, big-endian), then the
record in MessagePack. Extension 1 is an array: the length of its type's name (u8), the name as NumPy
writes it, and its values. A record that is torn can only be the last: it was never answered.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from treadle.kernel.errors import InvalidInput
from treadle.monitor.types import PredictionBatch

_HEADER = struct.Struct(">II")
_ARRAY = 1
_KINDS = frozenset(
    (
        "|b1",
        "|i1",
        "|u1",
        *(
            f"{order}{kind}"
            for order in "<>"
            for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8")
        ),
    )
)


class Answered(msgspec.Struct, array_like=True, gc=False):
    """Rows that one model answered together, as they are written down.

    Attributes:
        ids: Each row's prediction.
        at: When each was asked for, in seconds since 1970.
        version: The model version that answered.
        revision: The deployment revision that answered.
        inputs: Each feature's values; or only the features' names, where the values are in ``rows``.
        outputs: What was predicted.
        latency_ms: How long the request took that each was part of.
        rows: The values row by row, each in the order of the names.
    """

    ids: list[str]
    at: list[float]
    version: int
    revision: int
    inputs: dict[str, Any] | tuple[str, ...]
    outputs: list[float]
    latency_ms: list[float]
    rows: list[list[Any]] | None = None

    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Each feature's values.

        Raises:
            ValueError: If a row has more or fewer values than there are names.
        """
        if isinstance(self.inputs, dict):
            return self.inputs
        if any(len(row) != len(self.inputs) for row in self.rows or ()):
            raise ValueError("a row has more or fewer values than there are features")
        return dict(zip(self.inputs, zip(*self.rows or (), strict=True), strict=True))


class SegmentEncoder:
    """Makes records; one for each thread that writes."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_pack)

    def encode(self, record: Answered) -> bytes:
        """A record, ready to be put behind the others."""
        body = self._encoder.encode(record)
        return _HEADER.pack(len(body), zlib.crc32(body)) + body


def read_records(data: bytes) -> Iterator[Answered]:
    """The whole records of a segment, up to the first that is torn or damaged.

    Raises:
        ValueError: If a whole record isn't one of this format.
    """
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


def read_segment(data: bytes, name: str, rows: int) -> PredictionBatch:
    """A segment as a batch of predictions.

    Args:
        data: Its bytes.
        name: The segment's, which becomes the batch's.
        rows: How many predictions it holds, as who wrote it counted.

    Raises:
        InvalidInput: If it is damaged.
    """
    batch = PredictionBatch(
        batch=name, ids=[], at=[], version=[], revision=[], inputs={}, outputs=[], latency_ms=[]
    )
    try:
        for record in read_records(data):
            _add(batch, record)
    except ValueError as error:  # MessagePack's and msgspec's own errors are among them
        raise InvalidInput(f"the segment can't be read: {error}", where=name) from None
    if len(batch.ids) != rows:
        raise InvalidInput(
            f"the segment is damaged: of its {rows:,} predictions {len(batch.ids):,} can be read", where=name
        )
    return batch


def _add(batch: PredictionBatch, record: Answered) -> None:
    rows = len(record.outputs)
    batch.ids.extend(record.ids)
    batch.at.extend(record.at)
    batch.version.extend([record.version] * rows)
    batch.revision.extend([record.revision] * rows)
    # Revisions that take turns may take other inputs: what one doesn't take is empty in its rows.
    before, columns = len(batch.outputs), record.columns()
    for name in columns.keys() - batch.inputs.keys():
        batch.inputs[name] = [None] * before
    for name, values in batch.inputs.items():
        values.extend(columns.get(name) or [None] * rows)
    batch.outputs.extend(record.outputs)
    batch.latency_ms.extend(record.latency_ms)


def _pack(values: Any) -> msgspec.msgpack.Ext:
    """An array as its type and its bytes: making a list of it can wait until it is read."""
    kind = values.dtype.str.encode()
    return msgspec.msgpack.Ext(_ARRAY, bytes([len(kind)]) + kind + values.tobytes())


def _unpack(code: int, data: memoryview) -> list[Any]:
    """The values of an array; NaN is what stands for a missing number."""
    import numpy as np

    if code != _ARRAY or not data:
        raise ValueError(f"extension {code} is none of the journal's")
    size = data[0]
    kind = bytes(data[1 : 1 + size]).decode()
    if kind not in _KINDS:
        raise ValueError(f"an array of {kind!r} is none of the journal's")
    values = np.frombuffer(data[1 + size :], kind)
    found: list[Any] = values.tolist()
    if values.dtype.kind == "f" and np.isnan(values).any():
        return [None if math.isnan(value) else value for value in found]
    return found
