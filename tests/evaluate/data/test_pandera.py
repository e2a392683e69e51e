"""Schemas that Pandera wrote become checks that fail and pass where Pandera's do."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from treadle.evaluate import Suite, check_data, import_pandera
from treadle.evaluate.data.writing import as_toml
from treadle.kernel.config import DataCheck
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.errors import InvalidInput

NOW = datetime(2026, 2, 1, tzinfo=UTC)

# What `schema.to_yaml()` of Pandera 0.35 wrote.
SCHEMA = (Path(__file__).parents[2] / "fixtures" / "pandera_schema.yaml").read_text()


def test_what_pandera_says_is_said_and_the_rest_is_listed():
    found = import_pandera(SCHEMA)
    checks = found.checks
    assert (checks.ordered, checks.extra, checks.unique) == (True, "refuse", ["id", ["id", "country"]])
    assert checks.ranges["n"] == [0, 5]
    assert {name for name, share in checks.max_null.items() if share} == {"price"}
    assert checks.max_null.keys() == checks.types.keys()
    assert checks.values["country"] == ["DE", "FR"]  # noqa: PD011 - no frame
    assert checks.conditions["half < 1"] == '"half" < 1'
    assert [line.partition(":")[0] for line in found.unsaid] == ["mail", "kind"]


def frame(**changes):
    rows = {
        "id": [1, 2],
        "price": [1.0, None],
        "country": ["DE", "FR"],
        "note": ["abc", "xyz"],
        "n": [0, 5],
        "half": [0.0, 0.9],
        "len": ["a", "abcde"],
        "t": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        "b": [True, True],
        "code": ["A-1", "A-"],
    }
    return pd.DataFrame({**rows, **changes})


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, set()),
        ({"id": [1, 1]}, {"unique"}),
        ({"price": [10001.0, 1]}, {"ranges"}),
        ({"country": ["DE", "NL"]}, {"values"}),
        ({"note": ["abc", "x1"]}, {"patterns"}),
        ({"n": [3, 5]}, {"conditions"}),
        ({"half": [0.0, 1.0]}, {"conditions"}),
        ({"len": ["a", "abcdef"]}, {"patterns"}),
        ({"code": ["A-1", "B-1"]}, {"patterns"}),
        ({"b": [True, False]}, {"values"}),
        ({"more": [1, 2]}, {"schema"}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_rows_fail_where_pandera_fails_them(tmp_path, changes, fails):
    suite = Suite(checks=import_pandera(SCHEMA).checks)
    verdicts = check_data(suite, frame(**changes), engine=DuckDBEngine(tmp_path), now=NOW)
    assert {one.check for one in verdicts if one.outcome == "fail"} == fails


def test_older_schemas_have_their_checks_in_a_table_of_their_own():
    old = "columns:\n  a:\n    dtype: float64\n    checks:\n      greater_than_or_equal_to: 2\n"
    assert import_pandera(old).checks.ranges == {"a": [2, float("inf")]}
    check = {"value": 3, "options": {"check_name": "less_than"}}
    newer = json.dumps({"columns": {"a": {"dtype": "int64", "checks": [check]}}})
    assert import_pandera(newer).checks.conditions == {"a < 3": '"a" < 3'}


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "columns: 3"])
def test_what_is_no_schema_is_refused(text):
    with pytest.raises(InvalidInput, match=r"YAML|columns"):
        import_pandera(text)


def test_written_checks_are_read_as_they_were():
    checks = DataCheck(
        unique=["a b", ["c", 'd"e']],
        ranges={"a.b": [float("-inf"), 3]},
        patterns={"x": "(.|\n)*\\d\x7f"},
        values={"y": ["ü", 1, True, 0.5]},
        drift=True,
    )
    read = tomllib.loads(as_toml(checks))["checks"]["data"]
    assert msgspec.convert(read, DataCheck) == checks


# What Pandera 0.35 held to be true; see make.py there.
FOUND = json.loads((Path(__file__).parents[2] / "fixtures" / "pandera" / "results.json").read_text())


@pytest.mark.parametrize("case", FOUND["cases"], ids=lambda case: " ".join(case["schema"].split()[5:14]))
def test_rows_pass_and_fail_as_pandera_has_them(tmp_path, case):
    found = import_pandera(case["schema"])
    assert found.unsaid == ()
    for name in ("good", "bad"):
        rows = pd.DataFrame(FOUND[name]).assign(at=pd.to_datetime(FOUND[name]["at"]))
        verdicts = check_data(Suite(checks=found.checks), rows, engine=DuckDBEngine(tmp_path), now=NOW)
        failed = [one.sentence for one in verdicts if one.outcome == "fail"]
        assert (not failed) == case[name], failed
