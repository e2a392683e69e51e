"""Suites of Great Expectations: what both can say is said, the rest is listed."""

from __future__ import annotations

import json
import math
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from treadle.evaluate.data.check import check_data
from treadle.evaluate.data.expectations import import_expectations
from treadle.evaluate.data.imported import ImportedSuite
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.data.writing import as_toml
from treadle.kernel.config import DataCheck
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.errors import InvalidInput

# What Great Expectations 1.24 wrote, and found; see make.py there.
GX = Path(__file__).parents[2] / "fixtures" / "gx"
WRITTEN = json.loads((GX / "suite.json").read_text())["expectations"]
FOUND = json.loads((GX / "results.json").read_text())


def frame(rows: dict[str, list[Any]]) -> pl.DataFrame:
    return pl.DataFrame({**rows, "gone": pl.Series(rows["gone"], dtype=pl.Float64)}).with_columns(
        pl.col("day").str.to_datetime()
    )


UNSAID = [
    ("proportion_of_non_null_values_to_be_between", "said already, and otherwise"),
    ("values_to_be_in_set", "said already, and otherwise"),
    ("distinct_values_to_be_in_set", "said already, and otherwise"),
    ("values_to_match_regex", "said already, and otherwise"),
    ("values_to_be_between", "it is a warning there, and fails here"),
    ("to_exist", "no such check"),
    ("row_count_to_equal", "no such check"),
    ("min_to_be_between", "may not be bounded from above"),
    ("median_to_be_between", "no such check"),
    ("stdev_to_be_between", "no such check"),
    ("sum_to_be_between", "no such check"),
    ("quantile_values_to_be_between", "no such check"),
    ("unique_value_count_to_be_between", "no such check"),
    ("values_to_be_between", "some rows only"),
    ("columns_to_match_set", "in `types`"),
    ("columns_to_match_ordered_list", "in `types`"),
]


def alone(at: int) -> ImportedSuite:
    return import_expectations(json.dumps({"expectations": [WRITTEN[at]]}))


@pytest.mark.parametrize(
    "at",
    [at for at in range(len(WRITTEN)) if alone(at).checks != DataCheck()],
    ids=lambda at: f"{at} {WRITTEN[at]['type'][7:]}",
)
def test_rows_pass_and_fail_as_great_expectations_has_them(at: int) -> None:
    checks = alone(at).checks
    least = checks.min_rows if "row_count" in WRITTEN[at]["type"] else 1
    suite = Suite(checks=msgspec.structs.replace(checks, min_rows=least))
    for name in ("good", "bad"):
        rows, now = frame(FOUND[name]), datetime(2026, 1, 1, tzinfo=UTC)
        outcomes = {one.outcome for one in check_data(suite, rows, engine=DuckDBEngine(Path()), now=now)}
        if checks.means and "inconclusive" in outcomes:  # four rows tell little of a mean
            continue
        assert ("fail" not in outcomes) == FOUND["held"][at][name], name


def test_the_suite_as_a_whole() -> None:
    found = import_expectations((GX / "suite.json").read_text())
    assert len(found.unsaid) == len(UNSAID)
    for line, (kind, why) in zip(found.unsaid, UNSAID, strict=True):
        assert line.startswith((f"expect_column_{kind} (", f"expect_table_{kind} ("))
        assert why in line
    read = tomllib.loads(as_toml(found.checks))["checks"]["data"]
    assert msgspec.convert(read, DataCheck) == found.checks


def test_columns_are_said_by_their_types() -> None:
    listed = [
        ("expect_table_columns_to_match_ordered_list", {"column_list": ["b", "a"]}),
        ("expect_column_values_to_be_of_type", {"column": "a", "type_": "int64"}),
        (
            "expect_column_values_to_be_in_type_list",
            {"column": "b", "type_list": ["str", "TEXT", "StringType"]},
        ),
    ]
    checks = import_expectations(suite(*listed)).checks
    assert (list(checks.types.items()), checks.ordered) == ([("b", "text"), ("a", "integer")], True)
    assert checks.extra == "refuse"
    either = ("expect_column_values_to_be_in_type_list", {"column": "b", "type_list": ["str", "int64"]})
    [unsaid] = import_expectations(suite(either)).unsaid
    assert "integer or text" in unsaid


def suite(*listed: tuple[str, dict], key: str = "expectation_type") -> str:
    return json.dumps({"expectations": [{key: kind, "kwargs": given} for kind, given in listed]})


@pytest.mark.parametrize("key", ["expectation_type", "type"])
def test_what_can_be_said(key: str) -> None:
    found = import_expectations(
        suite(
            ("expect_column_values_to_not_be_null", {"column": "a", "mostly": 0.95}),
            ("expect_column_values_to_be_between", {"column": "a", "min_value": 0, "mostly": 0.99}),
            ("expect_column_values_to_be_in_set", {"column": "b", "value_set": ["x", 1]}),
            ("expect_column_values_to_match_regex", {"column": "c", "regex": "^[A-Z]+$"}),
            ("expect_column_values_to_match_regex", {"column": "d", "regex": "ab"}),
            ("expect_column_values_to_be_unique", {"column": "id"}),
            ("expect_compound_columns_to_be_unique", {"column_list": ["a", "b"]}),
            ("expect_column_values_to_be_of_type", {"column": "a", "type_": "float64"}),
            ("expect_column_mean_to_be_between", {"column": "a", "min_value": 1, "max_value": 2}),
            ("expect_table_row_count_to_be_between", {"min_value": 10}),
            ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "a", "column_B": "e"}),
            key=key,
        )
    )
    checks = found.checks
    assert found.unsaid == ()
    assert checks.max_null == {"a": 0.05}
    assert checks.ranges == {"a": [0, math.inf]}
    assert checks.max_violations == {"a": 0.01}
    assert checks.values == {"b": ["x", 1]}
    assert checks.patterns == {"c": "[A-Z]+", "d": r"(.|\n)*(ab)(.|\n)*"}
    assert checks.unique == ["id", ["a", "b"]]
    assert (checks.types, checks.means, checks.min_rows) == ({"a": "number"}, {"a": [1, 2]}, 10)
    assert checks.conditions == {"a over e": '"a" > "e"'}


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        ("expect_column_kl_divergence_to_be_less_than", {"column": "a"}, "no such check"),
        ("expect_column_mean_to_be_between", {"column": "a", "strict_min": True}, "ends are left out"),
        ("expect_column_mean_to_be_between", {"column": "a", "min_value": "2020"}, "no numbers"),
        (
            "expect_column_values_to_be_between",
            {"column": "a", "min_value": "much"},
            "neither number nor time",
        ),
        ("expect_column_values_to_match_regex", {"column": "a", "regex": "(?=x)"}, "engines don't agree"),
        ("expect_column_values_to_match_regex", {"column": "a", "regex": "^a|b$"}, "brackets"),
        ("expect_column_values_to_be_unique", {"column": "a", "mostly": 0.9}, "no exceptions"),
        ("expect_column_values_to_be_unique", {"column": "a", "row_condition": "b > 1"}, "some rows only"),
        ("expect_column_values_to_be_of_type", {"column": "a", "type_": "GEOMETRY"}, "isn't known"),
        ("expect_table_row_count_to_be_between", {"max_value": 5}, "no greatest number"),
        ("expect_column_values_to_be_unique", {}, "can't be read"),
        ("expect_column_values_to_not_be_null", {"column": "a", "mostly": "x"}, "can't be read"),
    ],
)
def test_what_can_not_be_said_is_listed(kind: str, given: dict, why: str) -> None:
    [unsaid] = import_expectations(suite((kind, given))).unsaid
    assert unsaid.startswith(kind)
    assert why in unsaid


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"expectations": 1}'])
def test_what_is_no_suite(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        import_expectations(text, "suite.json")
    assert caught.value.where == "suite.json"
