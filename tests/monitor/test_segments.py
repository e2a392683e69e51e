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


def test_a_table_and_names_that_count_on_become_rows():
    table = np.array([[1.5, 2.0], [np.nan, 4.0], [5.0, 6.0]], "f4")
    outputs, times = np.array([0.25, 0.5, 1.0]), [10.0] * 3
    records = [
        Answered("p_1-0000000099", times, 7, 1, ("x", "y"), outputs, times, kind)
        for kind in (table, np.asfortranarray(table), table.astype(">f8"))
    ]
    records[1].ids = "p_1-0000000102"
    records[2].ids = "p-7"
    encode = SegmentEncoder().encode
    batch = read_segment(b"".join(map(encode, records)), "s", 9)
    assert batch.ids == [*(f"p_1-{n:010d}" for n in range(99, 105)), "p-7", "p-8", "p-9"]
    assert batch.inputs == {"x": [1.5, None, 5.0] * 3, "y": [2.0, 4.0, 6.0] * 3}
    assert batch.outputs == [0.25, 0.5, 1.0] * 3
    assert records[0].columns()["y"] == (2.0, 4.0, 6.0)
    assert records[0].rows is table
    whole = msgspec.msgpack.decode(encode(records[0])[8:], ext_hook=lambda code, data: (code, bytes(data)))
    assert whole[-1] == (2, struct.pack(">I", 2) + b"\x03<f4" + table.tobytes())


def test_what_is_the_same_for_all_rows_is_written_once():
    record = Answered("p-1", 10.5, 7, 1, ("x", "y"), np.array([0.25, 0.5]), 1.25, np.ones((2, 2), "f4"))
    batch = read_segment(SegmentEncoder().encode(record, "s"), "s", 2)
    assert (batch.at, batch.latency_ms) == ([10.5, 10.5], [1.25, 1.25])


def _table(width: int, kind: bytes, values: bytes) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(2, struct.pack(">I", width) + bytes([len(kind)]) + kind + values)


@pytest.mark.parametrize(
    "record",
    [
        ["p-x", [1.0], 7, 1, ["x"], [0.5], [1.0], [[1]]],
        ["p", [1.0], 7, 1, ["x"], [0.5], [1.0], [[1]]],
        [["p"], [1.0], 7, 1, ["x"], ["a"], [1.0], [[1]]],
        [["p"], [1.0], 7, 1, ["x"], 5, [1.0], [[1]]],
        [["p"], [1.0], 7, 1, ["x"], [0.5], [1.0], 5],
        [["p"], [1.0], 7, 1, ["x"], [0.5], [1.0], ["a"]],
        [["p"], [1.0], 7, 1, ["x"], [0.5], [1.0], _table(0, b"<f4", bytes(4))],
        [["p"], [1.0], 7, 1, ["x"], [0.5], [1.0], _table(2, b"<f4", bytes(4))],
        [["p"], [1.0], 7, 1, ["x"], [0.5], [1.0], _table(1, b"|O", bytes(8))],
        [["p"], [1.0], 7, 1, ["x"], [0.5], [1.0], msgspec.msgpack.Ext(2, bytes(4))],
    ],
)
def test_a_record_whose_parts_are_none_of_the_journals_is_refused(record):
    with pytest.raises(InvalidInput, match="can't be read"):
        read_segment(framed(msgspec.msgpack.encode(record)), "s", 1)


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
