"""What is wrong with a request is told by the parameter and its value, as MLflow's clients know it."""

from __future__ import annotations

import msgspec
import pytest

from treadle.api.mlflow.route import Ask
from treadle.api.mlflow.wire import convert, required
from treadle.kernel.errors import InvalidInput


class Point(msgspec.Struct):
    key: str
    step: int = 0


class Batch(msgspec.Struct):
    run_id: str
    metrics: list[Point] = []


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied"),
        ({"run_id": "r", "metrics": "foo"}, "Invalid value \"foo\" for parameter 'metrics' supplied"),
        ({}, "Missing value for required parameter 'run_id'."),
        ({"run_id": None}, "Missing value for required parameter 'run_id'."),
        ({"run_id": "r", "metrics": [{"key": "a"}, {}]}, "required parameter 'metrics[1].key'."),
        (
            {"run_id": "r", "metrics": [{"key": "a", "step": [1]}]},
            "Invalid value [1] for parameter 'metrics[0].step'",
        ),
        ({"run_id": "r" * 9, "metrics": ["x" * 999]}, "…"),
        ([], "Invalid value [] supplied"),
    ],
)
def test_the_parameter_and_its_value_are_named(raw, text):
    with pytest.raises(InvalidInput) as refused:
        convert(raw, Batch)
    assert text in str(refused.value)
    assert len(str(refused.value)) < 400


def test_null_is_what_is_not_given_and_numbers_may_be_texts():
    raw = {"run_id": "r", "metrics": [{"key": "a", "step": "7", "unknown": None}]}
    assert convert(raw, Batch) == Batch("r", [Point("a", 7)])
    assert convert({"run_id": "r", "metrics": None}, Batch) == Batch("r")


def test_a_nul_goes_from_prose_and_is_refused_in_names():
    class Tag(msgspec.Struct):
        key: str = ""
        value: str = ""

    nul = r"a\u0000b"
    assert Ask(None, {}, b"", f'{{"value":"{nul}"}}'.encode()).read(Tag).value == "ab"  # type: ignore[arg-type]
    for ask in (Ask(None, {}, b"", f'{{"key":"{nul}"}}'.encode()), Ask(None, {}, b"key=a%00b", b"")):  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="for parameter 'key' supplied: it has the character NUL"):
            ask.read(Tag)


def test_what_must_be_given():
    assert required("a", "key") == "a"
    with pytest.raises(InvalidInput, match=r"Missing value for required parameter 'key'\."):
        required("", "key")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"run_id"', "not valid JSON"),
        (b'{"run_id":' + b"[" * 100_000, "nested too deeply"),
        (b'{"run_id":"\xff"}', "not valid JSON"),
        (b'{"run_id":' + b"9" * 5000 + b"}", "out of range"),
    ],
)
def test_what_is_no_json(body, text):
    with pytest.raises(InvalidInput, match=text):
        Ask(None, {}, b"", body).read(Batch)  # type: ignore[arg-type]
