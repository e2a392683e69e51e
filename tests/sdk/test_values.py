from __future__ import annotations

import math

import numpy as np
import pytest

from treadle.kernel.errors import InvalidInput
from treadle.sdk.values import merged, number, scalars, text, texts, whole_step


@pytest.mark.parametrize(
    "value", [1, True, 0.5, np.float32(0.5), np.int64(3), np.array(2.0), math.nan, math.inf]
)
def test_numbers_of_every_make_are_metrics(value):
    assert number("a", value) == pytest.approx(float(value), nan_ok=True)
    assert type(number("a", value)) is float


@pytest.mark.parametrize("value", ["0.5", b"1", None, [1.0], {}, 1j, np.array([1.0, 2.0]), 10**400])
def test_everything_else_is_not(value):
    with pytest.raises(InvalidInput, match="metric 'a' must be a number"):
        number("a", value)


@pytest.mark.parametrize("step", [0, -5, np.int32(7), 2**63 - 1])
def test_whole_steps(step):
    assert whole_step(step) == int(step)


@pytest.mark.parametrize("step", [1.0, "1", True, 2**63, None])
def test_other_steps_are_refused(step):
    with pytest.raises(InvalidInput, match="`step`"):
        whole_step(step)


def test_parameters_become_plain_values():
    found = scalars(
        {
            "a": np.int64(3),
            "b": np.float64(0.5),
            "c": np.bool_(True),
            "d": np.str_("x"),
            "e": math.nan,
            "f": False,
        }
    )
    assert found == {"a": 3, "b": 0.5, "c": True, "d": "x", "e": "nan", "f": False}
    assert [type(value) for value in found.values()] == [int, float, bool, str, str, bool]


@pytest.mark.parametrize("value", [None, [1], {}, object(), 2**63])
def test_other_parameters_are_refused(value):
    with pytest.raises(InvalidInput, match="parameter 'p'"):
        scalars({"p": value})


def test_tags_become_text_that_can_be_written():
    assert texts({"n": 3, "s": "a\udcff"}) == {"n": "3", "s": "a?"}
    assert text("ä") == "ä"


def test_names_are_checked():
    for make in (scalars, texts):
        with pytest.raises(InvalidInput, match="can't be the name"):
            make({"a\nb": 1})


def test_a_mapping_and_keywords_are_merged():
    assert merged("run.log", {"a": 1, "b": 2}, {"b": 3}) == {"a": 1, "b": 3}
    with pytest.raises(InvalidInput, match=r"run\.log takes names and values, not 3"):
        merged("run.log", 3, {})
