"""Payloads of other servers: each of the protocol's ways to say the same, and what isn't said rightly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from treadle.deploy import answer_values, decode_answer, decode_request, request_columns
from treadle.kernel.errors import InvalidInput
from treadle.registry import Field, Signature

MIXED = Signature((Field("a", "float"), Field("n", "int"), Field("on", "bool")), "probability")
TEXTS = Signature((Field("a", "float"), Field("t", "string")), "value")
ONE = Signature((Field("a", "float"),), "value")


def columns(signature: Signature, *tensors: tuple[str, list[int], str, Any]) -> dict[str, list[Any]]:
    inputs = [{"name": n, "shape": s, "datatype": d, "data": v} for n, s, d, v in tensors]
    return request_columns(decode_request(json.dumps({"inputs": inputs}).encode()), signature)


def values(signature: Signature, *tensors: tuple[str, list[int], str, Any], output: str = "") -> list[float]:
    outputs = [{"name": n, "shape": s, "datatype": d, "data": v} for n, s, d, v in tensors]
    return answer_values(decode_answer(json.dumps({"outputs": outputs}).encode()), signature, output)


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
@pytest.mark.parametrize("nested", [True, False])
def test_one_matrix_in_the_order_of_the_signature(datatype: str, nested: bool) -> None:
    data: Any = [[0.5, 3.0, 1.0], [1.5, 4.0, 0.0]]
    found = columns(MIXED, ("input-0", [2, 3], datatype, data if nested else [*data[0], *data[1]]))
    assert found == {"a": [0.5, 1.5], "n": [3.0, 4.0], "on": [1.0, 0.0]}


def test_one_tensor_a_column_of_any_type_of_numbers() -> None:
    found = columns(
        MIXED,
        ("on", [2], "BOOL", [True, False]),
        ("n", [2, 1], "INT32", [3, 4]),
        ("a", [2], "FP32", [1.5, None]),
    )
    assert found == {"a": [1.5, None], "n": [3, 4], "on": [True, False]}
    assert columns(MIXED, ("x", [1, 3], "INT64", [1, 2, 0])) == {"a": [1], "n": [2], "on": [0]}
    assert columns(TEXTS, ("t", [1], "BYTES", ["x"]), ("a", [1], "UINT8", [7])) == {"a": [7], "t": ["x"]}
    assert columns(ONE, ("input-0", [2, 1], "FP64", [[1.0], [2.0]])) == {"a": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ([("a", [1], "FP64", [1.0])], "'t' is missing"),
        ([("a", [1], "FP64", [1.0]), ("t", [2], "BYTES", ["x", "y"])], "has 2 rows, those before it 1"),
        ([("a", [1], "FP64", [1.0]), ("t", [1], "FP64", [1.0])], "'t' has datatype FP64"),
        ([("a", [1], "FP64", ["1"]), ("t", [1], "BYTES", ["x"])], "is not a number"),
        ([("m", [1, 2], "FP64", [1.0, 2.0])], "columns of several types"),
        ([("m", [1, 3], "FP64", [1.0, 2.0, 3.0])], "no input 'm'"),
        ([("a", [0], "FP64", []), ("t", [0], "BYTES", [])], "no rows"),
        ([("a", [10_001], "FP64", [1.0] * 10_001), ("t", [1], "BYTES", ["x"])], "at most 10000"),
        ([("a", [1], "FP64", None), ("t", [1], "BYTES", ["x"])], "has no data"),
    ],
)
def test_requests_that_do_not_fit(tensors: list[Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        columns(TEXTS, *tensors)


def test_the_prediction_among_the_outputs() -> None:
    assert values(ONE, ("output-0", [2], "FP32", [1, 2.5])) == [1.0, 2.5]
    assert values(ONE, ("y", [2, 1], "INT64", [[1], [2]])) == [1.0, 2.0]
    assert values(MIXED, ("p", [2], "BOOL", [True, False])) == [1.0, 0.0]
    classes, both = ("predict", [2], "INT64", [1, 0]), ("predict_proba", [2, 2], "FP64", [0.2, 0.8, 0.9, 0.1])
    assert values(MIXED, classes, both, output="predict_proba") == [0.8, 0.1]
    assert values(MIXED, ("predict_proba", [1, 2], "FP64", [[0.2, 0.8]])) == [0.8]
    assert values(MIXED, classes, ("probability", [2], "FP64", [0.8, 0.1])) == [0.8, 0.1]


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ([], "no output 'value'; it has none"),
        ([("a", [1], "FP64", [1.0]), ("b", [1], "FP64", [1.0])], "no output 'value'; it has 'a', 'b'"),
        ([("a", [1], "BYTES", ["x"])], "datatype BYTES"),
        ([("a", [1], "FP64", ["x"])], '"x" is no number'),
        ([("a", [2], "FP64", [1.0])], "and 1 values"),
        ([("a", [1, 2], "FP64", [1.0, 2.0])], r"expected \[N\], \[N, 1\]$"),
        ([("a", [-1], "FP64", [])], "expected"),
        ([("a", [1], "FP64", None)], "has no data"),
        ([("a", [1], "FP64", [10**400])], "too large"),
    ],
)
def test_responses_that_do_not_fit(tensors: list[Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        values(ONE, *tensors)


def test_a_version_is_a_number_or_none() -> None:
    for told, number in (
        (None, None),
        ("3", 3),
        (4, 4),
        ("v3", None),
        ("٣", None),
        ("9" * 12, None),
        (-1, None),
    ):
        body = json.dumps({"outputs": [], "model_version": told}).encode()
        assert decode_answer(body).number() == number


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"outputs": 7}', b"\xff", b"[" * 100_000])
def test_bodies_that_are_none(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_answer(body)
    with pytest.raises(InvalidInput):
        decode_request(body)
