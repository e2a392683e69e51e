from __future__ import annotations

import struct
import zlib

import msgspec
import numpy as np
import pytest

from treadle.kernel.errors import InvalidInput
from treadle.monitor.segments import Answered, SegmentEncoder, read_segment


def framed(body: bytes) -> bytes:
    return struct.pack(">II", len(body), zlib.crc32(body)) + body


def answered(*ids: str, inputs, rows=None) -> Answered:
    n = len(ids)
    return Answered(list(ids), [10.0] * n, 7, 1, inputs, [0.5] * n, [1.25] * n, rows)


def test_columns_arrays_and_rows_become_one_batch():
    encode = SegmentEncoder().encode
    data = b"".join(
        (
            encode(answered("a", inputs={"hour": [1.5], "carrier": ["AA"]})),
            encode(answered("b", "c", inputs={"hour": np.array([2, np.nan], "f4"), "carrier": ["B", None]})),
            encode(answered("d", "e", inputs=("hour", "carrier"), rows=[[3.0, "C"], [None, "D"]])),
        )
    )
    batch = read_segment(data, "segment_1", 5)
    assert batch.batch == "segment_1"
    assert batch.ids == ["a", "b", "c", "d", "e"]
    assert batch.inputs == {"hour": [1.5, 2.0, None, 3.0, None], "carrier": ["AA", "B", None, "C", "D"]}
    assert batch.version == [7] * 5


def test_records_of_before_there_were_rows_are_read():
    body = msgspec.msgpack.encode([["a"], [10.0], 7, 1, {"hour": [1.5]}, [0.5], [1.25]])
    assert read_segment(framed(body), "s", 1).inputs == {"hour": [1.5]}


def _array(kind: bytes, values: bytes) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(1, bytes([len(kind)]) + kind + values)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "of its 1 predictions 0 can be read"),
        (b"what is this", "of its 1 predictions 0 can be read"),
        (framed(b"\xc1"), "can't be read"),
        (framed(msgspec.msgpack.encode({"ids": ["a"]})), "can't be read"),
        (
            framed(msgspec.msgpack.encode([["a"], [1.0], 7, 1, ["x", "y"], [0.5], [1.0], [[1]]])),
            "more or fewer",
        ),
        *(
            (
                framed(msgspec.msgpack.encode([["a"], [1.0], 7, 1, {"x": array}, [0.5], [1.0]])),
                "can't be read",
            )
            for array in (
                _array(b"|O", bytes(8)),
                _array(b"<f8", bytes(7)),
                _array(b"nonsense", bytes(8)),
                _array(b"", b""),
                msgspec.msgpack.Ext(9, b"x"),
                msgspec.msgpack.Ext(1, b""),
            )
        ),
    ],
)
def test_what_is_none_of_the_journals_is_refused(data, why):
    with pytest.raises(InvalidInput, match=why):
        read_segment(data, "segment_1", 1)


def test_a_segment_whose_middle_is_damaged_is_refused_whole():
    one = SegmentEncoder().encode(answered("a", inputs={"hour": [1.5]}))
    data = bytearray(one * 3)
    data[len(one) + 20] ^= 1
    with pytest.raises(InvalidInput, match="of its 3 predictions 1 can be read"):
        read_segment(bytes(data), "segment_1", 3)
