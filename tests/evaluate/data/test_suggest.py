"""Suggested checks: a file that can be read, that its own rows pass, and that says why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from treadle.evaluate.data.check import check_data
from treadle.evaluate.data.suggest import nice, suggest_suite
from treadle.evaluate.data.suite import Suite
from treadle.kernel.config import parse_config
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.errors import InvalidInput

ROWS = pl.DataFrame(
    {
        "id": range(1000, 1500),
        "price": np.linspace(3.25, 987.6, 500),
        "country": [["DE", "FR", 'N"L'][i % 3] for i in range(500)],
        "mail": [f"u{i}@example.org" for i in range(500)],
        "odd name": [None if i % 50 == 0 else float(i) for i in range(500)],
        "late": [i % 4 == 0 for i in range(500)],
        "tags": [[1]] * 500,
        "none": pl.Series([None] * 500, dtype=pl.Float64),
    }
)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", ""])
def test_a_suggestion_is_read_and_passed_by_its_own_rows(tmp_path: Path, name: str) -> None:
    engine, data = DuckDBEngine(tmp_path / "spill"), ROWS
    if name:
        data = tmp_path / name
        ROWS.write_parquet(data) if name.endswith("parquet") else ROWS.drop("tags", "none").write_csv(data)
    text = suggest_suite(data, engine=engine)
    checks = parse_config('[project]\nname = "x"\n' + text).checks.data
    assert checks.min_rows == 250
    assert checks.unique == ["id", "mail"]
    assert checks.drift
    assert checks.ranges["price"] == [0, 990]  # what nears zero may be zero
    assert checks.values == {"country": ["DE", "FR", 'N"L']}
    assert "@" in checks.patterns["mail"]
    assert checks.max_null["odd name"] == 0.03
    assert "10 of 500 are missing" in text
    verdicts = check_data(
        Suite(checks=checks), data, data, engine=engine, now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert {one.outcome for one in verdicts} == {"pass"}


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        suggest_suite(ROWS.head(0), engine=DuckDBEngine(tmp_path))


def test_numbers_are_rounded_outward() -> None:
    assert [nice(v, up=True) for v in (987.6, 0.0123, -987.6, 0, 100, 0.3)] == [990, 0.013, -980, 0, 100, 0.3]
    assert [nice(v, up=False) for v in (987.6, 0.0123, -987.6)] == [980, 0.012, -990]
