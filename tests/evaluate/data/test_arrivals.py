"""How many rows came, where labels come later."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from treadle.evaluate.data.arrivals import Arrivals, Whole, count_arrivals
from treadle.evaluate.data.check import check_data
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.types import Verdict
from treadle.kernel.config import DataCheck
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.scan.columns import Column

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=60, hours=6)
DAY = timedelta(days=1)
SUITE = Suite(
    checks=DataCheck(min_rows=1, freshness="2d", max_volume_change=0.3),
    label="late",
    time="at",
    label_time="known_at",
)


def orders(days: int = 60) -> pl.DataFrame:
    """48 a day, whose labels become known one to nine days later."""
    at = [START + i * DAY / 48 for i in range(days * 48 + 12)]
    known = [one + timedelta(days=1 + i % 9) for i, one in enumerate(at)]
    return pl.DataFrame({"at": at, "late": [i % 3 == 0 for i in range(len(at))], "known_at": known})


def verdicts(tmp_path: Path, whole: pl.DataFrame | None, until: datetime | None = NOW) -> dict[str, Verdict]:
    """Of the rows whose label is known, as a cycle checks them."""
    data = orders() if whole is None else whole
    known = data.filter(pl.col("known_at") <= NOW, pl.col("at") < NOW)
    asked = None
    if whole is not None:
        whole.write_parquet(path := tmp_path / "whole.parquet")
        asked = Whole(path, until)
    found = check_data(SUITE, known, engine=DuckDBEngine(tmp_path), now=NOW, whole=asked)
    return {one.check: one for one in found}


def test_rows_that_wait_for_their_label_have_come(tmp_path: Path) -> None:
    alone, found = verdicts(tmp_path, None), verdicts(tmp_path, orders())
    assert alone["volume"].outcome == "fail"  # without the others the newest days look empty
    assert found["volume"].outcome == "pass"
    assert found["volume"].sentence.startswith(
        "at: Sunday 2026-03-01 has 48 rows, as many as the 48 expected"
    )
    assert found["freshness"].outcome == "pass"
    assert "the newest row is of 2026-03-02 05:30" in found["freshness"].sentence


def test_a_day_that_lost_rows_is_found_before_its_labels_come(tmp_path: Path) -> None:
    lost = pl.col("at").is_between(NOW - 0.75 * DAY, NOW - 0.25 * DAY, closed="left")
    assert verdicts(tmp_path, orders().filter(~lost))["volume"].outcome == "fail"


def test_rows_that_come_with_their_label_are_counted_once_all_have(tmp_path: Path) -> None:
    """The newest days have lost nothing, though most of their rows aren't here yet."""
    found = verdicts(tmp_path, orders().filter(pl.col("known_at") <= NOW))["volume"]
    assert found.outcome == "pass"
    assert found.sentence.startswith("at: Friday 2026-02-20 has 48 rows, as many as the 48 expected")


def test_what_happens_later_is_not_known_yet_in_a_replay(tmp_path: Path) -> None:
    later = orders(90)
    found = verdicts(tmp_path, later)
    assert (found["volume"].outcome, found["freshness"].outcome) == ("pass", "pass")
    told = verdicts(tmp_path, later, until=None)["freshness"]
    assert (told.outcome, "lies in the future" in told.sentence) == ("fail", True)


@pytest.mark.parametrize("label", ["late", None])
def test_days_without_times_and_rows_without_labels(tmp_path: Path, label: str | None) -> None:
    rows = pl.DataFrame(
        {"at": [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2), None], "late": [1, 0, None, 1]}
    )
    rows.write_parquet(path := tmp_path / "rows.parquet")
    columns = {"at": Column("at", "date", "date"), "late": Column("late", "integer", "int64")}
    suite = Suite(label=label, time="at", label_time="known_at")  # a column that isn't there
    found = count_arrivals(DuckDBEngine(tmp_path), Whole(path), suite, columns, NOW)
    assert found == Arrivals(date(2026, 1, 2), {date(2026, 1, 1): 2, date(2026, 1, 2): 1}, NOW)
