"""The prediction journal's format: records that a replica wrote down, and the batch they become.

A segment is record after record: the record's length and CRC-32 (both u32, big-endian), then the
record in MessagePack. The CRC goes on from that of the segment's name, so that what is left of another
segment, whose file was used again, isn't taken for a record of this one; what was written before that
was so has a CRC of its own. Extension 1 is an array: the length of its type's name (u8), the name as NumPy
writes it, and its values. Extension 2 is a table: its number of columns (u32, big-endian), then an
array that has its values row by row. A record that is torn can only be the last: it was never answered.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from treadle.kernel.errors import InvalidInput
from treadle.monitor.types import PredictionBatch

_HEADER = struct.Struct(">II")
_ARRAY, _TABLE = 1, 2
# MessagePack's `ext 32`: its mark, the length of the data (u32) and its type (i8).
_EXTENSION = struct.Struct(">BIb")
_EXT32 = 0xC9
_WIDTH = struct.Struct(">I")
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
        ids: Each row's prediction; or the first row's, which ends in a number from which the others count on.
        at: When each was asked for, in seconds since 1970; or when all were.
        version: The model version that answered.
        revision: The deployment revision that answered.
        inputs: Each feature's values; or only the features' names, where the values are in ``rows``.
        outputs: What was predicted, a list or an array.
        latency_ms: How long the request took that each was part of; or that all were.
        rows: The values row by row, each in the order of the names; a list, or an array of rows and columns.
    """

    ids: list[str] | str
    at: list[float] | float
    version: int
    revision: int
    inputs: dict[str, Any] | tuple[str, ...]
    outputs: Any
    latency_ms: list[float] | float
    rows: Any = None

    def names(self) -> list[str]:
        """Each row's prediction.

        Raises:
            ValueError: If the first one's doesn't end in a number.
        """
        if not isinstance(self.ids, str):
            return self.ids
        prefix, _, number = self.ids.rpartition("-")
        first = int(number)
        return [f"{prefix}-{first + row:0{len(number)}d}" for row in range(len(self.outputs))]

    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Each feature's values.

        Raises:
            ValueError: If a row has more or fewer values than there are names.
        """
        if isinstance(self.inputs, dict):
            return self.inputs
        rows = self.rows.tolist() if hasattr(self.rows, "tolist") else self.rows or []
        if type(rows) is not list or any(type(row) is not list for row in rows):
            raise ValueError("rows are lists of values")
        if any(len(row) != len(self.inputs) for row in rows):
            raise ValueError("a row has more or fewer values than there are features")
        return dict(zip(self.inputs, zip(*rows, strict=True), strict=True))


class SegmentEncoder:
    """Makes records; one for each thread that writes."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_pack)

    def encode(self, record: Answered, segment: str = "") -> bytes:
        """A record, ready to be put behind the others of a segment."""
        pieces, _ = self.encode_here(record, seed_of(segment))
        return b"".join(pieces)

    def encode_here(self, record: Answered, seed: int) -> tuple[tuple[Any, ...], int]:
        """The same in pieces, to be written one after the other, and how many bytes they have.

        A table is a piece of its own, the last, in the memory that it is in: copying it would cost as
        much as writing it.

        Args:
            record: The record.
            seed: Of the segment, from :func:`seed_of`.
        """
        table = record.rows
        if type(table) is list or not _is_plain_table(table):
            body = self._encoder.encode(record)
            return (_HEADER.pack(len(body), zlib.crc32(body, seed)), body), _HEADER.size + len(body)
        kind = _kind(table)
        about = _WIDTH.pack(table.shape[1]) + kind
        # The rows come last, so they begin where nothing (one byte) stands for them.
        before = self._encoder.encode(replace(record, rows=None))[:-1]
        body = before + _EXTENSION.pack(_EXT32, len(about) + table.nbytes, _TABLE) + about
        checksum = zlib.crc32(table.data, zlib.crc32(body, seed))
        size = len(body) + table.nbytes
        return (_HEADER.pack(size, checksum), body, table.data), _HEADER.size + size


def seed_of(segment: str) -> int:
    """What the CRCs of a segment's records go on from."""
    return zlib.crc32(segment.encode())


def read_records(data: bytes, segment: str) -> Iterator[Answered]:
    """The whole records of a segment, up to the first that is torn or damaged.

    Args:
        data: Its bytes.
        segment: Its name.

    Raises:
        ValueError: If a whole record isn't one of this format.
    """
    decoder = msgspec.msgpack.Decoder(Answered, ext_hook=_unpack)
    start = 0
    seeds: tuple[int, ...] = (seed_of(segment), 0)
    while start + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, start)
        start += _HEADER.size
        body = memoryview(data)[start : start + length]
        if len(body) != length or not length:
            return
        # All records of a segment were written by one rule.
        seeds = tuple(seed for seed in seeds if zlib.crc32(body, seed) == checksum)
        if not seeds:
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
        for record in read_records(data, name):
            _add(batch, record)
    except ValueError as error:  # MessagePack's and msgspec's own errors are among them
        raise InvalidInput(f"the segment can't be read: {error}", where=name) from None
    if len(batch.ids) != rows:
        raise InvalidInput(
            f"the segment is damaged: of its {rows:,} predictions {len(batch.ids):,} can be read", where=name
        )
    return batch


def _add(batch: PredictionBatch, record: Answered) -> None:
    outputs = record.outputs
    if type(outputs) is not list or not set(map(type, outputs)) <= {float, int}:
        raise ValueError("what was predicted are no numbers")
    rows = len(outputs)
    batch.ids.extend(record.names())
    batch.at.extend(_each(record.at, rows))
    batch.version.extend([record.version] * rows)
    batch.revision.extend([record.revision] * rows)
    # Revisions that take turns may take other inputs: what one doesn't take is empty in its rows.
    before, columns = len(batch.outputs), record.columns()
    for name in columns.keys() - batch.inputs.keys():
        batch.inputs[name] = [None] * before
    for name, values in batch.inputs.items():
        values.extend(columns.get(name) or [None] * rows)
    batch.outputs.extend(outputs)
    batch.latency_ms.extend(_each(record.latency_ms, rows))


def _each(values: list[float] | float, rows: int) -> list[float]:
    return values if isinstance(values, list) else [values] * rows


def _is_plain_table(values: Any) -> bool:
    """Whether values are a table whose memory can be written as it is."""
    return (
        values is not None
        and not isinstance(values, list)
        and values.ndim == 2
        and values.flags.c_contiguous
        and values.dtype.isnative
    )


def _kind(values: Any) -> bytes:
    """The type of an array's values, as it stands before them."""
    kind: bytes = values.dtype.str.encode()
    return bytes([len(kind)]) + kind


def _pack(values: Any) -> msgspec.msgpack.Ext:
    """An array or table as its type and its bytes: making lists of it can wait until it is read."""
    head = _kind(values)
    plain = values.data if values.flags.c_contiguous and values.dtype.isnative else values.tobytes()
    if values.ndim == 1:
        return msgspec.msgpack.Ext(_ARRAY, b"".join((head, plain)))
    return msgspec.msgpack.Ext(_TABLE, b"".join((_WIDTH.pack(values.shape[1]), head, plain)))


def _unpack(code: int, data: memoryview) -> list[Any]:
    """The values of an array, or the rows of a table."""
    if code == _ARRAY and data:
        return _values(data)
    if code != _TABLE or len(data) <= _WIDTH.size:
        raise ValueError(f"extension {code} is none of the journal's")
    (width,) = _WIDTH.unpack_from(data)
    values = _values(data[_WIDTH.size :])
    if not width or len(values) % width:
        raise ValueError(f"{len(values)} values are no table of {width} columns")
    return [values[start : start + width] for start in range(0, len(values), width)]


def _values(data: memoryview) -> list[Any]:
    """The values of an array; NaN is what stands for a missing number."""
    import numpy as np

    size = data[0]
    kind = bytes(data[1 : 1 + size]).decode()
    if kind not in _KINDS:
        raise ValueError(f"an array of {kind!r} is none of the journal's")
    values = np.frombuffer(data[1 + size :], kind)
    found: list[Any] = values.tolist()
    if values.dtype.kind == "f" and np.isnan(values).any():
        return [None if math.isnan(value) else value for value in found]
    return found
