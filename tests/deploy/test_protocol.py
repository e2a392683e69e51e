"""Both ways to read a request must agree; what a request must be is tested over HTTP in test_infer.py."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from treadle.deploy.replica import protocol
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
def requests(draw: st.DrawFn) -> bytes:
    """Requests that are nearly right: each part is right, or anything."""
    inputs = []
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
                "shape": draw(SHAPES) if spoil == 3 else [1],
                "data": draw(st.lists(VALUES, max_size=2)) if spoil in (4, 5, 6) else data,
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
