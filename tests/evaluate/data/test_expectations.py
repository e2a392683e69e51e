"""Suites of Great Expectations: what both can say is said, the rest is listed."""

from __future__ import annotations

import json
import math

import pytest

from treadle.evaluate.data.expectations import import_expectations
from treadle.kernel.errors import InvalidInput


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
        ("expect_column_values_to_be_between", {"column": "a", "strict_min": True}, "ends are left out"),
        ("expect_column_values_to_be_between", {"column": "a", "min_value": "2020"}, "no numbers"),
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
