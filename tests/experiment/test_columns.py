from __future__ import annotations

import pytest

from treadle.experiment.columns import categories, columns, number_of


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0), (2.5, 2.5), ("3", 3.0), ("-1e-3", -0.001), (".5", 0.5), ("5.", 5.0), ("+7", 7.0),
        (True, None), ("true", None), ("", None), ("nan", None), ("inf", None), ("1e400", None),
        (float("nan"), None), ("0x10", None), ("1_000", None), (" 3", None), ("٣", None), (None, None),
    ],
)  # fmt: skip
def test_what_counts_as_a_number(value, number):
    assert number_of(value) == number


def test_a_parameter_is_a_number_only_if_all_that_have_it_wrote_one():
    found = {
        one.name: one for one in columns([{"a": "3", "b": 1, "c": 5}, {"a": 4.5, "b": "x", "c": 5}, {"a": 1}])
    }
    assert (found["a"].kind, found["a"].values) == ("number", (3.0, 4.5, 1.0))
    assert (found["b"].kind, found["b"].values) == ("category", ("1", "x", None))
    assert found["c"].values == (5.0, 5.0, None)


def test_what_is_the_same_everywhere_is_no_column():
    assert columns([{"a": 1, "b": True}, {"a": 1, "b": True}]) == []
    assert columns([]) == []


@pytest.mark.parametrize(
    ("values", "log"),
    [([1e-5, 1e-4, 1e-3, 1e-1], True), ([16, 32, 64, 128, 256], True), ([0, 1e-3, 1], False),
     ([0.01, 0.3, 0.5, 0.6], False), ([2, 3, 4, 5], False)],
)  # fmt: skip
def test_an_axis_is_logarithmic_where_that_shows_more(values, log):
    (column,) = columns([{"a": value} for value in values])
    assert column.log is log


def test_categories_come_by_how_frequent_they_are():
    (column,) = columns([{"a": v} for v in ("x", "y", "y", "z", "z")] + [{}])
    assert categories(column, 3) == ["y", "z", "not set"]
