"""Both ways to read a request must agree; what a request must be is tested over HTTP in test_infer.py."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.deploy.replica import protocol
from treadle.deploy.replica.manyrows import ManyRows
from treadle.deploy.replica.onerow import OneRow
from treadle.deploy.replica.rows import read_rows
from treadle.kernel.errors import InvalidInput
from treadle.registry import Field, Signature

SIGNATURE = Signature(
    (Field("hour", "float"), Field("carrier", "string"), Field("stops", "int"), Field("on", "bool")),
    "probability",
)
INPUTS = protocol.inputs_of(SIGNATURE, "id", "at")
ONE_ROW = OneRow(INPUTS)
MANY_ROWS = ManyRows(INPUTS)
COMPLETE = ManyRows(protocol.inputs_of(SIGNATURE, "id", "at", nullable=False))

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.sampled_from([0, 1, 1.5, "AA", "2013-01-01", 1e39, 2**63, -(2**63), 1e12]),
)
DATATYPES = st.sampled_from(["FP64", "FP32", "FP16", "INT64", "UINT8", "BOOL", "BYTES", "TEXT"])
SHAPES = st.sampled_from([[1], [1, 1], [1, 1, 1], [], [0], [2], [-1]])
GOOD = {
    "hour": ("FP64", [1.5]),
    "carrier": ("BYTES", ["AA"]),
    "stops": ("INT64", [2]),
    "on": ("BOOL", [True]),
    "id": ("BYTES", ["k"]),
    "at": ("FP64", [10.0]),
}


@st.composite
def requests(draw: st.DrawFn, most: int = 1) -> bytes:
    """Requests that are nearly right: each part is right, or anything."""
    inputs = []
    rows = draw(st.integers(1, most))
    for name in draw(st.permutations(list(GOOD))):
        if name in ("id", "at") and draw(st.booleans()):
            continue
        datatype, data = GOOD[name]
        spoil = draw(st.integers(0, 20))
        if spoil == 0:
            continue
        inputs.append(
            {
                "datatype": draw(DATATYPES) if spoil == 1 else datatype,
                "name": draw(st.sampled_from(["x", *GOOD])) if spoil == 2 else name,
                "shape": draw(SHAPES) if spoil == 3 else [rows],
                "data": draw(st.lists(VALUES, max_size=most + 1)) if spoil in (4, 5, 6) else data * rows,
                "parameters": {"any": 1},
            }
        )
    return json.dumps({"id": "r", "inputs": inputs}).encode()


@given(requests())
def test_what_is_read_fast_is_what_is_read_the_general_way(body):
    fast = ONE_ROW.read(body)
    try:
        rows = read_rows(protocol.decode(body), INPUTS, max_rows=10)
    except InvalidInput:
        assert fast is None
        return
    if fast:
        assert fast[0].id == "r"
        assert [[value] for value in fast[1].row] == [rows.columns[name] for name in INPUTS.features]
        assert (fast[1].count, fast[1].keys, fast[1].times) == (1, rows.keys, rows.times)


@given(requests(most=3), st.booleans())
def test_many_rows_are_read_fast_as_they_are_the_general_way(body, nullable):
    known = protocol.inputs_of(SIGNATURE, "id", "at", nullable=nullable)
    fast = (MANY_ROWS if nullable else COMPLETE).read(body, 2)
    try:
        rows = read_rows(protocol.decode(body), known, max_rows=2)
    except InvalidInput:
        assert fast is None
        return
    if fast:
        assert fast[0].id == "r"
        for name in known.features:
            found = fast[1].columns[name]
            plain = [None if value != value else value for value in list(found)]
            assert plain == rows.columns[name]
        assert (fast[1].count, fast[1].keys, fast[1].times) == (rows.count, rows.keys, rows.times)


@pytest.mark.parametrize("column", [[1.5, 2, None, -3e38], [1.5, 2.5, 3.5, 4.5]])
def test_columns_of_numbers_become_a_table(column):
    known = protocol.inputs_of(Signature((Field("a", "float"), Field("b", "float")), "value"), "id", "at")
    columns = {"b": [1.0, 2.0, 3.0, 4.0], "a": column}
    inputs = [{"name": n, "shape": [4, 1], "datatype": "FP64", "data": v} for n, v in columns.items()]
    named = {"name": "id", "shape": [4], "datatype": "BYTES", "data": list("wxyz")}
    _, rows = ManyRows(known).read(json.dumps({"inputs": [*inputs, named]}).encode(), 10)
    assert (rows.count, rows.keys, rows.times, rows.columns) == (4, list("wxyz"), None, {})
    wanted = np.array([columns["a"], columns["b"]], float).T
    np.testing.assert_array_equal(rows.table, wanted)
    assert ManyRows(known).read(json.dumps({"inputs": inputs}).encode(), 3) is None
    inputs[0]["shape"] = [2, 2]
    assert ManyRows(known).read(json.dumps({"inputs": inputs}).encode(), 10) is None


def test_the_common_request_is_read_fast():
    inputs = [{"name": n, "shape": [1, 1], "datatype": d, "data": v} for n, (d, v) in GOOD.items()]
    assert ONE_ROW.read(json.dumps({"inputs": inputs}).encode())[1].row == [1.5, "AA", 2, True]
    inputs[0]["data"] = [None]
    assert ONE_ROW.read(json.dumps({"inputs": inputs[:4]}).encode())[1].row == [None, "AA", 2, True]


def test_a_feature_named_as_the_key_is_a_feature():
    inputs = protocol.inputs_of(Signature((Field("id", "int"),), "value"), "id", None)
    assert inputs.roles == {"id": "int"}
    assert OneRow(inputs).read(b'{"inputs":[{"name":"id","shape":[1],"datatype":"INT64","data":[3]}]}')[
        1
    ].row == [3]
