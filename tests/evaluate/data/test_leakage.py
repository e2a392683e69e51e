"""Features that give the label away: the area against scikit-learn, error rates by simulation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from treadle.evaluate.data.check import check_data
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.data.univariate import _area, separation
from treadle.evaluate.rules import hanley_mcneil
from treadle.evaluate.types import Verdict
from treadle.kernel.config import DataCheck
from treadle.kernel.engine import DuckDBEngine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(tmp_path: Any, rows: dict[str, Any], bound: float = 0.95, **suite: Any) -> dict[str, Verdict]:
    checks = DataCheck(min_rows=1, max_feature_auc=bound)
    made = Suite(checks=checks, columns=tuple(name for name in rows if name != "y"), label="y", **suite)
    found = check_data(made, pl.DataFrame(rows), engine=DuckDBEngine(tmp_path), now=NOW)
    return {one.subject: one for one in found if one.check == "leakage"}


def test_the_area_of_cells_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        score, label = rng.integers(0, 9, 300), rng.random(300) < 0.4
        true, false = np.bincount(score[label], minlength=9), np.bincount(score[~label], minlength=9)
        assert _area(true, false)[0] == pytest.approx(roc_auc_score(label, score))


def test_the_variance_is_that_of_samples() -> None:
    """DeLong's variance against the spread of areas over samples."""
    rng, areas, variances = np.random.default_rng(2), [], []
    for _ in range(600):
        true = np.bincount(rng.binomial(8, 0.7, 120), minlength=9)
        false = np.bincount(rng.binomial(8, 0.5, 200), minlength=9)
        area, variance = _area(true, false)
        areas.append(area)
        variances.append(variance)
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.15)


def test_a_standard_error_by_hanley_and_mcneil() -> None:
    """The example of their paper: an area of 0.893 from 51 abnormal and 58 normal images."""
    assert hanley_mcneil(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)


def test_an_area_is_found_whatever_the_shape_of_the_relation() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=20_000)
    for truth in (x > 1, x < -1, abs(x) > 1.5, np.sin(4 * x) > 0.5):
        found = separation(x, truth)
        assert found is not None
        assert found.area > 0.97
    noisy = rng.random(20_000) < 1 / (1 + np.exp(-2 * x))
    found = separation(x, noisy)
    assert found is not None
    low, high = found.interval(0.01)
    assert low < roc_auc_score(noisy, x) < high


def test_identifiers_and_noise_tell_nothing() -> None:
    """An order learnt and tested on the same rows would reach an area of 1 for the identifier."""
    rng = np.random.default_rng(4)
    label = rng.random(5000) < 0.2
    for values in (
        np.array([f"id{i}" for i in range(5000)], dtype=object),
        rng.integers(0, 150, 5000).astype(str).astype(object),
        rng.normal(size=5000),
        np.full(5000, np.nan),
        np.ones(5000),
    ):
        found = separation(values, label)
        assert found is not None
        assert abs(found.area - 0.5) < 0.03


def test_false_alarms_are_no_more_than_the_level() -> None:
    """A feature whose true area is the bound is found to be above it at most as often as stated."""
    rng, runs, alarms, areas = np.random.default_rng(5), 400, 0, []
    true = stats.norm.cdf(1.5 / np.sqrt(2))  # of two normals 1.5 standard deviations apart
    for _ in range(runs):
        label = rng.random(2000) < 0.3
        found = separation(rng.normal(size=2000) + 1.5 * label, label)
        assert found is not None
        alarms += stats.norm.sf(found.statistic(true)) <= 0.05
        areas.append(found.area)
    assert alarms <= stats.binom.ppf(0.999, runs, 0.05)
    assert true - 0.012 < np.mean(areas) < true  # bins cost a little of the area


@pytest.mark.parametrize(("apart", "outcome"), [(1.0, "pass"), (2.2, "inconclusive"), (4.0, "fail")])
def test_a_feature_is_held_to_the_bound_by_its_interval(tmp_path: Any, apart: float, outcome: str) -> None:
    rng = np.random.default_rng(6)
    label = np.arange(1000) % 2 == 0
    found = run(tmp_path, {"x": rng.normal(size=1000) + apart * label, "y": label}, bound=0.93)["x"]
    assert found.outcome == outcome
    assert found.low is not None
    assert found.high is not None
    assert found.low < (found.estimate or 0) < found.high


def test_the_label_itself_is_named(tmp_path: Any) -> None:
    rng = np.random.default_rng(7)
    label = rng.integers(0, 2, 500)
    found = run(
        tmp_path,
        {"same": label, "float": label * 1.0, "inverse": 1 - label, "text": label.astype(str), "y": label},
    )
    assert found["same"].sentence == "same is the label: the two are equal in all 500 rows."
    assert {one.outcome for one in found.values()} == {"fail"}
    assert found["float"].estimate == 1.0


def test_classes_and_numbers_have_leaks_too(tmp_path: Any) -> None:
    rng = np.random.default_rng(8)
    kind = rng.choice(["a", "b", "c"], 3000)
    rows = {"x": rng.normal(size=3000), "code": (kind == "c") * 1.0 + rng.normal(0, 0.01, 3000), "y": kind}
    found = run(tmp_path, rows, task="classes")
    assert (found["x"].outcome, found["code"].outcome) == ("pass", "fail")
    price = rng.gamma(2, 10, 3000)
    rows = {"x": rng.normal(size=3000), "tax": price * 0.19 + rng.normal(0, 0.01, 3000), "y": price}
    found = run(tmp_path, rows, task="regression")
    assert (found["x"].outcome, found["tax"].outcome) == ("pass", "fail")


def test_what_can_not_be_told(tmp_path: Any) -> None:
    found = run(tmp_path, {"x": [1.0, 2.0, 3.0], "y": [1, 1, 1]})["x"]
    assert found.outcome == "inconclusive"
    assert "too few labels of two classes" in found.sentence
    rows = pl.DataFrame({"x": [1.0], "y": [None]}, schema={"x": pl.Float64(), "y": pl.Int64()})
    checks = DataCheck(min_rows=1, max_feature_auc=0.9, max_null={"y": 1.0})
    suite = Suite(checks=checks, columns=("x",), label="y")
    verdicts = check_data(suite, rows, engine=DuckDBEngine(tmp_path), now=NOW)
    assert [one.outcome for one in verdicts if one.check == "leakage"] == ["inconclusive"]
