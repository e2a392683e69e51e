"""Checks from a script: of files, versions and frames, by the project's checks or others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import treadle
from treadle.kernel.config import ChecksConfig, DataCheck
from treadle.kernel.errors import InvalidInput, NotFound, Refused

TOML = """
[project]
name = "toy"
[data.rows]
path = "rows.parquet"
time = "at"
label = "late"
[train]
command = "true"
data = "rows"
features = ["hour"]
[checks.data]
min_rows = 10
"""
STRICT = ChecksConfig(data=DataCheck(min_rows=10, ranges={"hour": [0, 20]}))


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A project's rows, in its folder and as a frame."""
    at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(96)]
    frame = pd.DataFrame({"at": at, "hour": list(range(24)) * 4, "late": [i % 4 == 0 for i in range(96)]})
    (tmp_path / "treadle.toml").write_text(TOML)
    frame.to_parquet(tmp_path / "rows.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TREADLE_URL", raising=False)
    return frame


def test_the_projects_rows_are_checked_by_its_checks(rows):
    found = treadle.check()
    assert found.outcome == "pass"
    found.require()
    assert {one.check for one in found.verdicts} >= {"schema", "min_rows"}
    assert str(found).startswith("checks: pass")
    assert repr(found) == f"<Checked pass: {len(found.verdicts)} verdicts>"


def test_other_checks_may_be_given_and_a_failure_stops_a_script(rows):
    found = treadle.check(checks=STRICT)
    assert found.outcome == "fail"
    with pytest.raises(Refused, match="hour: 12 of 96 values lie outside") as refused:
        found.require()
    assert found.evaluations[0].id in refused.value.fix
    assert "fail: hour: 12 of 96" in str(found)


@pytest.mark.parametrize(
    "make", [lambda f: f, pl.from_pandas, pa.Table.from_pandas], ids=["pandas", "polars", "arrow"]
)
def test_a_frame_is_checked_like_a_file(rows, make):
    late = rows.assign(hour=rows["hour"].mask(rows["hour"] < 6))
    found = treadle.check(make(late), reference=make(rows), only=["data"])
    outcomes = {(one.check, one.subject): one.outcome for one in found.verdicts}
    assert outcomes["nulls", "hour"] == "fail"
    assert outcomes["null_increase", "hour"] == "fail"


def test_a_path_is_taken_from_where_the_script_runs(rows, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    rows.to_parquet(tmp_path / "notebooks" / "some.parquet")
    monkeypatch.chdir(tmp_path / "notebooks")
    assert treadle.check("some.parquet").outcome == "pass"


def test_a_notebook_shows_a_page_of_its_own(rows):
    shown = treadle.check()._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "&lt;!doctype html&gt;" in shown


def test_what_is_no_data_is_refused(rows):
    with pytest.raises(InvalidInput, match="int is no data"):
        treadle.check(3)
    with pytest.raises(NotFound, match="no dataset 'rose'"):
        treadle.check("rose")
