"""Suites by themselves, in Python: frames, classes, overlap, drift and plans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from treadle.evaluate.data.check import check_data, plan_data
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.types import Verdict
from treadle.kernel.config import DataCheck
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.errors import CorruptData, InvalidInput

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def check(suite: Suite, data: Any, reference: Any = None, **given: Any) -> dict[tuple[str, str], Verdict]:
    found = check_data(suite, data, reference, engine=DuckDBEngine(Path()), now=NOW, **given)
    return {(one.check, one.subject): one for one in found}


def suite(label: str | None = None, task: str = "binary", key: str | None = None, **checks: Any) -> Suite:
    return Suite(checks=DataCheck(min_rows=1, **checks), label=label, task=task, key=key)


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table, pd.DataFrame])
def test_frames_are_rows_too(frame: Any) -> None:
    rows = frame({"a": [1, 2, 3], "b": ["x", "y", "y"]})
    found = check(suite(ranges={"a": [1, 2]}, values={"b": ["x", "y"]}, unique=["b"]), rows)
    assert [one.outcome for one in found.values()] == ["pass", "fail", "fail", "pass"]
    assert found["ranges", "a"].sentence.endswith("such as 3.")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of Ibis
def test_tables_of_a_warehouse(tmp_path: Path) -> None:
    """By Ibis the verdicts are those of the same rows as a frame, drift's sample of all rows included."""
    ibis = pytest.importorskip("ibis", reason="Ibis isn't installed: pip install 'treadle[ibis]'")
    connection = ibis.duckdb.connect()
    rng = np.random.default_rng(5)
    rows = pl.DataFrame({
        "id": [*range(999), 5],
        "x": rng.normal(0, 1, 1000),
        "mail": [f"u{i}@example.org" if i % 10 else "none" for i in range(1000)],
        "at": [NOW - timedelta(hours=i) for i in range(1000)],
    })  # fmt: skip
    before = rows.head(500).with_columns(x=pl.Series(rng.normal(1, 1, 500)))
    made = Suite(
        checks=DataCheck(
            min_rows=1, unique=["id"], ranges={"x": [-2, 2]}, patterns={"mail": r"\w+@\w+\.org"}, drift=True,
            conditions={"young": "seconds_between(at, TIMESTAMP '2026-01-01') < 86400 * 30"}, freshness="1d",
            max_overlap=0.1, max_volume_change=0.5,
        ),
        key="id", time="at",
    )  # fmt: skip
    held = rows.tail(100)
    by_hand = check(made, rows, before, holdout=held)
    tables = []
    for i, one in enumerate((rows, before, held)):
        one.write_parquet(tmp_path / f"{i}.parquet")
        tables.append(connection.read_parquet(tmp_path / f"{i}.parquet"))
    found = check(made, tables[0], tables[1], holdout=tables[2])
    assert [(one.check, one.outcome, one.sentence) for one in found.values()] == [
        (one.check, one.outcome, one.sentence) for one in by_hand.values()
    ]
    assert {one.outcome for one in found.values()} >= {"pass", "fail"}
    with pytest.raises(InvalidInput, match="Ibis scans its own tables, not a DataFrame"):
        check(made, tables[0], holdout=held)


def test_csv_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "".join(f"{i},{'x' if i % 2 else ''}\n" for i in range(100)))
    found = check(suite(ranges={"a": [0, 99]}, max_null={"b": 0.4}, types={"a": "integer"}), path)
    assert found["ranges", "a"].outcome == found["types", "columns"].outcome == "pass"
    assert found["nulls", "b"].sentence == "b: 50 of 100 values (50 %) are missing; up to 40 % may be."
    path.write_text("a,b\n")
    assert {key: one.outcome for key, one in check(suite(), path).items()} == {("min_rows", "rows"): "fail"}
    path.write_text("")
    with pytest.raises(CorruptData, match="empty"):
        check(suite(), path)


def test_classes() -> None:
    rows = pl.DataFrame({"y": ["a"] * 500 + ["b"] * 460 + ["c"] * 40})
    found = check(suite("y", "classes", min_class_share=0.02), rows)
    assert found["label", "y"].sentence == "y: there are 3 classes."
    assert found["min_class_share", "y"].outcome == "pass"
    assert "the rarest of 3 classes, 'c', is 4 % of the labels" in found["min_class_share", "y"].sentence
    assert check(suite("y", "classes", min_class_share=0.1), rows)["min_class_share", "y"].outcome == "fail"
    unsure = check(suite("y", "classes", min_class_share=0.04), rows)["min_class_share", "y"]
    assert unsure.outcome == "inconclusive"
    one = check(suite("y", "classes"), pl.DataFrame({"y": [7] * 9}))["label", "y"]
    assert one.sentence == "y: all 9 labels are 7; there is nothing to learn."
    many = check(suite("y", "classes"), pl.DataFrame({"y": range(1001)}))["label", "y"]
    assert "more than 1,000 values" in many.sentence
    none = pl.DataFrame({"y": [None] * 3}, schema={"y": pl.String()})
    assert check(suite("y", "classes"), none)["label", "y"].outcome == "inconclusive"


def test_a_rare_class_fails_no_more_often_than_declared() -> None:
    """Each of eight classes at exactly the bound: the rarest of them is tested for all."""
    from treadle.evaluate.data.label import class_share
    from treadle.evaluate.data.part import decide

    rng, runs, made = np.random.default_rng(9), 2000, suite("y", "classes", min_class_share=0.125)
    fails = 0
    for counts in rng.multinomial(800, [0.125] * 8, runs):
        [verdict] = decide([class_share("y", "it", (int(counts.min()), 800), 0.125, made, 8)], made)
        fails += verdict.outcome == "fail"
    assert 0 < fails <= stats.binom.ppf(0.999, runs, 0.05)


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_held_out_rows_that_are_trained_on(tmp_path: Path, engine: str) -> None:
    train, hold = tmp_path / "train.parquet", tmp_path / "hold.parquet"
    pl.DataFrame({"id": range(100), "x": [i % 7 for i in range(100)]}).write_parquet(train)
    pl.DataFrame({"id": range(95, 145), "x": [0] * 50}).write_parquet(hold)
    found = check(suite(key="id", max_overlap=0.0, engine=engine), train, holdout=hold)["overlap", "id"]
    assert found.outcome == "fail"
    assert found.sentence == (
        "5 of 50 held-out rows (10 %) are among those trained on, by id, such as 95; none may be."
    )
    assert check(suite(key="id", max_overlap=0.1), train, holdout=hold)["overlap", "id"].outcome == "pass"
    both = suite(max_overlap=0.0, overlap_by=["id", "x"])
    assert check(both, train, holdout=hold)["overlap", "id, x"].estimate == 1 / 50  # 98, for x is 0 there
    assert ("overlap", "id") not in check(suite(key="id", max_overlap=0.0), train)
    with pytest.raises(InvalidInput, match="known again"):
        check(suite(max_overlap=0.0), train, holdout=hold)
    with pytest.raises(InvalidInput, match="no column 'idd'"):
        check(suite(max_overlap=0.0, overlap_by=["idd"]), train, holdout=hold)
    pl.DataFrame({"id": []}, schema={"id": pl.Int64()}).write_parquet(hold)
    none = check(suite(key="id", max_overlap=0.0), train, holdout=hold)["overlap", "id"]
    assert none.outcome == "inconclusive"


def moved(rows: int, by: float, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    share = np.array([0.5, 0.3, 0.2]) if not by else np.array([0.2, 0.3, 0.5])
    return pl.DataFrame(
        {
            "x": rng.normal(by, 1, rows),
            "few": rng.integers(0, 3, rows) + (by > 0),
            "c": rng.choice(["a", "b", "c"], rows, p=share),
            "flag": rng.random(rows) < 0.3 + 0.4 * (by > 0),
            "id": np.arange(rows),
            "constant": np.ones(rows),
            "none": pl.Series([None] * rows, dtype=pl.Float64),
        }
    )


def test_drift_beside_a_reference() -> None:
    made = suite(drift=True, max_null={"none": 1.0})
    same = check(made, moved(4000, 0, 1), moved(5000, 0, 2))
    drift = {subject: one for (name, subject), one in same.items() if name == "drift"}
    assert set(drift) == {"x", "few", "c", "flag", "id", "constant", "none"}
    assert {one.outcome for subject, one in drift.items() if subject != "id"} == {"pass"}
    far = check(made, moved(4000, 1, 1), moved(5000, 0, 2))
    fails = {subject for (name, subject), one in far.items() if name == "drift" and one.outcome == "fail"}
    assert fails == {"x", "few", "c", "flag", "id"}
    few = check(made, moved(40, 0, 3), moved(5000, 0, 2))["drift", "x"]
    assert few.outcome == "inconclusive"
    assert few.sentence == "x: 40 rows are too few to compare 10 bins; 50 would do."
    unsure = [check(made, moved(60, 0, seed), moved(5000, 0, 2))["drift", "x"] for seed in range(3, 9)]
    assert {one.outcome for one in unsure} == {"pass", "inconclusive"}
    assert any("60 rows can't tell that from chance" in one.sentence for one in unsure)
    assert not [key for key in check(suite(), moved(100, 0, 1), moved(100, 0, 2)) if key[0] == "drift"]


def test_drift_does_not_depend_on_the_engine(tmp_path: Path) -> None:
    now, then = tmp_path / "now.parquet", tmp_path / "then.parquet"
    moved(3000, 1, 1).write_parquet(now)
    moved(3000, 0, 2).write_parquet(then)
    one, two = (
        check(suite(drift=True, max_null={"none": 1.0}, engine=name), now, then)
        for name in ("duckdb", "polars")
    )
    assert {key: (a.outcome, a.estimate) for key, a in one.items()} == {
        key: (b.outcome, pytest.approx(b.estimate)) for key, b in two.items()
    }


def test_a_plan_says_what_will_be_tested_and_what_can_be_told(tmp_path: Path) -> None:
    rows = moved(4000, 0, 1).with_columns(y=pl.Series(np.arange(4000) % 5 == 0), at=pl.lit(NOW))
    made = Suite(
        checks=DataCheck(
            drift=True, min_class_share=0.1, max_feature_auc=0.95, freshness="2d", max_volume_change=0.3,
            unique=["id"], ranges={"x": [-9, 9]}, means={"x": [-1, 1]}, types={"id": "integer"},
        ),
        columns=("x", "c"), label="y", time="at",
    )  # fmt: skip
    for before, enough in ((5000, True), (40, False)):
        found = plan_data(made, rows, rows.head(before), engine=DuckDBEngine(tmp_path), now=NOW)
        by_check = {(one.check, one.subject): one for one in found}
        assert by_check["drift", "x"].enough is enough
        assert by_check["null_increase", "c"].enough is enough
    assert [one.check for one in found] == [
        "schema", "min_rows", "nulls", "nulls", "nulls", "unique", "ranges", "means", "freshness", "volume",
        "min_class_share", "leakage", "leakage", "null_increase", "null_increase", "null_increase", "drift",
        "drift",
    ]  # fmt: skip
    assert by_check["min_class_share", "y"].enough
    assert by_check["leakage", "x"].detectable == pytest.approx(0.013, abs=0.005)
    assert all(one.sentence.endswith(".") and one.n == 4000 for one in found)


def test_what_a_plan_can_detect_is_detected() -> None:
    """An increase of missing values of the size that a plan names is found nine times in ten."""
    from treadle.evaluate.data.missing import detectable_increase
    from treadle.evaluate.rules import share_increase

    rng, runs = np.random.default_rng(10), 3000
    for usual, n, m, alpha in ((0.05, 2000, 5000, 0.01), (0.3, 800, 800, 0.001)):
        growth = detectable_increase(usual, n, m, alpha)
        now, then = rng.binomial(n, usual + growth, runs), rng.binomial(m, usual, runs)
        found = sum(
            share_increase((int(x), n), (int(y), m))[2] <= alpha for x, y in zip(now, then, strict=True)
        )
        assert abs(found / runs - 0.9) < 0.03
