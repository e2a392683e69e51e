"""Freshness and volume as verdicts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from treadle.evaluate.data.check import check_data
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.types import Verdict
from treadle.kernel.config import DataCheck
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.errors import InvalidInput

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(tmp_path: Any, rows: pl.DataFrame, now: datetime, **given: Any) -> dict[tuple[str, str], Verdict]:
    checks, rest = DataCheck(min_rows=1, **given.pop("checks")), given
    suite = Suite(checks=checks, time=rest.pop("time", "at"))
    found = check_data(suite, rows, engine=DuckDBEngine(tmp_path), now=now, **rest)
    return {(one.check, one.subject): one for one in found}


def hourly(days: int, a_day: int = 48) -> pl.DataFrame:
    step = timedelta(days=1) / a_day
    return pl.DataFrame({"at": [START + i * step for i in range(days * a_day)]})


@pytest.mark.parametrize(
    ("later", "outcome", "says"),
    [
        (timedelta(hours=1), "pass", "the newest row is of 2026-01-02 23:30, 1h 30m ago; 1d is allowed."),
        (timedelta(hours=30), "fail", "1d 6h ago"),
        (-timedelta(days=3), "fail", "lies in the future"),
    ],
)
def test_freshness(tmp_path: Any, later: timedelta, outcome: str, says: str) -> None:
    found = run(tmp_path, hourly(2), START + timedelta(days=2) + later, checks={"freshness": "1d"})
    verdict = found["freshness", "at"]
    assert verdict.outcome == outcome
    assert says in verdict.sentence


def test_freshness_is_that_of_the_held_out_rows(tmp_path: Any) -> None:
    """A model is trained on older rows than it is judged on."""
    rows, now = hourly(40), START + timedelta(days=40)
    old, new = rows.head(20 * 48), rows.tail(20 * 48)
    assert run(tmp_path, old, now, checks={"freshness": "1d"})["freshness", "at"].outcome == "fail"
    found = run(tmp_path, old, now, holdout=new, checks={"freshness": "1d", "max_volume_change": 0.2})
    assert found["freshness", "at"].outcome == "pass"
    assert found["volume", "rows"].outcome == "pass"
    told = found["volume", "rows"].sentence
    assert told.startswith(
        "at: Monday 2026-02-09 has 48 rows, as many as the 48 expected from 5 earlier ones;"
    )


def test_no_row_has_a_time(tmp_path: Any) -> None:
    rows = pl.DataFrame({"at": [None, None]}, schema={"at": pl.Datetime("us")})
    found = run(tmp_path, rows, START, checks={"freshness": "1d", "max_volume_change": 0.2})
    assert {one.outcome for key, one in found.items() if key[0] in {"freshness", "volume"}} == {
        "inconclusive"
    }


@pytest.mark.parametrize(("share", "outcome"), [(1.0, "pass"), (0.3, "fail"), (0.85, "warn"), (2.0, "fail")])
def test_volume_of_the_newest_day(tmp_path: Any, share: float, outcome: str) -> None:
    rng, frames = np.random.default_rng(1), []
    for day in range(57):
        count = int(rng.poisson(2000 if day % 7 < 5 else 400) * (share if day == 56 else 1))
        at = [START + timedelta(days=day, seconds=86399 * i / count) for i in range(count)]
        frames.append(pl.DataFrame({"at": at}))
    rows = pl.concat(frames)
    now = START + timedelta(days=57, hours=1)
    verdict = run(tmp_path, rows, now, checks={"max_volume_change": 0.25})["volume", "rows"]
    assert verdict.outcome == outcome
    assert verdict.sentence.startswith("at: Thursday 2026-02-26 has ")
    assert (verdict.unit, verdict.n) == ("days", 8)
    if outcome == "fail":
        assert verdict.adjusted is not None
        assert verdict.adjusted < 0.05
        assert abs(verdict.estimate or 0) > 0.25


def test_volume_beside_earlier_versions(tmp_path: Any) -> None:
    rows, now = pl.DataFrame({"a": range(600)}), START + timedelta(days=70)
    history = {date(2026, 1, 1) + timedelta(days=i): 1000 + i % 3 for i in range(70)}
    given = {"checks": {"max_volume_change": 0.25}, "time": None}
    verdict = run(tmp_path, rows, now, history=history, **given)["volume", "rows"]
    assert verdict.outcome == "fail"
    assert "has 600 rows, 40.1 % less than the 1,001 expected from 8 earlier ones;" in verdict.sentence
    few = dict(list(history.items())[-3:])
    verdict = run(tmp_path, rows, now, history=few, **given)["volume", "rows"]
    assert verdict.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("time", "says"),
    [(None, "when a row happened"), ("att", "no column 'att'"), ("a", "neither date nor timestamp")],
)
@pytest.mark.parametrize("key", ["freshness", "max_volume_change"])
def test_a_time_that_can_not_be_used(tmp_path: Any, time: str | None, says: str, key: str) -> None:
    checks = {key: "1d" if key == "freshness" else 0.5}
    with pytest.raises(InvalidInput, match=says) as caught:
        run(tmp_path, pl.DataFrame({"a": [1], "at": [START]}), START, checks=checks, time=time)
    assert caught.value.where == f"treadle.toml [checks.data] {key}"
