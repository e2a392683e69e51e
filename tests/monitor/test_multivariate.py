"""Drift of whole rows: how seldom it is chance, what it sees, and where its reference comes from."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from treadle.data import Datasets
from treadle.data.types import SliceSpec
from treadle.kernel.clock import ManualClock
from treadle.kernel.config import MonitorConfig, MultivariateConfig
from treadle.kernel.workspace import Workspace
from treadle.monitor import CategoryProfile, Monitors, NumericProfile, PredictionLog
from treadle.monitor.findings import Window
from treadle.monitor.multivariate import _cross, encode, misfit, multivariate_results, separation

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
WINDOW = Window(model="toy", version=1, since=START, until=START + WEEK)
SHAPES = {name: NumericProfile([], [1], 0, 0.0, 1.0) for name in "abc"}


def rows(rng: np.random.Generator, n: int, together: float = 0.8) -> dict[str, np.ndarray]:
    a, b, c = rng.normal(size=(3, n))
    return {"a": a, "b": together * a + math.sqrt(1 - together**2) * b, "c": c}


def test_what_goes_together_no_longer_is_found_although_no_column_changed() -> None:
    rng = np.random.default_rng(1)
    before = rows(rng, 2000)
    calm = multivariate_results(WINDOW, SHAPES, before, rows(rng, 2000), MonitorConfig())
    assert [(r.kind, r.subject, r.statistic, r.state) for r in calm] == [
        ("multivariate", "rows", "auc", "ok"), ("multivariate", "rows", "pca", "ok"),
    ]  # fmt: skip
    found = multivariate_results(WINDOW, SHAPES, before, rows(rng, 2000, 0.0), MonitorConfig())
    assert [r.state for r in found] == ["alert", "alert"]
    assert found[0].value > 0.7
    assert "most by" in found[0].sentence
    told = found[0].sentence.split("most by ")[1].split(" (")[0].split(", ")
    assert set(told[:2]) == {"a", "b"}
    assert "further from the principal components" in found[1].sentence
    loose = MonitorConfig(multivariate=MultivariateConfig(auc=0.95, reconstruction=5))
    assert {r.state for r in multivariate_results(WINDOW, SHAPES, before, rows(rng, 900, 0.0), loose)} == {
        "ok"
    }


def test_few_rows_and_one_column_say_nothing() -> None:
    rng = np.random.default_rng(2)
    assert multivariate_results(WINDOW, SHAPES, rows(rng, 2000), rows(rng, 100), MonitorConfig()) == []
    one = {"a": SHAPES["a"]}
    assert multivariate_results(WINDOW, one, rows(rng, 900), rows(rng, 900), MonitorConfig()) == []


def test_the_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    y, half = rng.integers(0, 2, 500).astype(float), rng.random(500) < 0.5
    features = np.round(rng.normal(size=(500, 3)) + y[:, None], 1)  # with ties
    weights = [np.array([1.0, 0, 0]), np.array([0, 1.0, 0])]
    expected = (
        roc_auc_score(y[~half], features[~half] @ weights[1])
        + roc_auc_score(y[half], features[half] @ weights[0])
    ) / 2
    assert _cross(features, y, half, weights) == pytest.approx(expected, abs=1e-12)


def _alarms(runs: int, alpha: float) -> tuple[int, int]:
    rng = np.random.default_rng(4)
    auc = pca = 0
    for _ in range(runs):
        before, after = (encode(SHAPES, rows(rng, n)) for n in (800, 500))
        told = separation(before, after, alpha)
        auc += told.auc > told.chance
        stacked = [np.hstack(list(side.values())) for side in (before, after)]
        fit = misfit(stacked[0], stacked[1], alpha)
        pca += abs(fit.effect) > fit.chance
        assert (told.p_value < alpha) == (told.auc > told.chance)
        assert (fit.p_value < alpha) == (abs(fit.effect) > fit.chance)
    return auc, pca


@pytest.mark.parametrize("runs", [6, pytest.param(600, marks=pytest.mark.soak)])
def test_false_alarms_are_no_more_than_stated(runs: int) -> None:
    for alarms in _alarms(runs, 0.05):
        assert alarms <= runs * 0.05 + 3 * math.sqrt(runs * 0.05 * 0.95)


def test_texts_and_missing_values_are_compared_too() -> None:
    rng = np.random.default_rng(5)
    shapes = {"t": CategoryProfile({"u": 5, "v": 5}, 0, 0), "x": SHAPES["a"]}
    n = 2000

    def made(same: bool) -> dict[str, Any]:
        text = rng.choice(["u", "v"], n).astype(object)
        hides = (text == "u") if same else rng.random(n) < 0.5
        return {"t": text, "x": np.ma.array(rng.normal(size=n), mask=hides)}

    # Half of the numbers are missing either way; where, is another matter.
    found = multivariate_results(WINDOW, shapes, made(True), made(False), MonitorConfig())
    assert found[0].state == "alert"
    assert not np.isnan(np.hstack(list(encode(shapes, made(True)).values()))).any()


@pytest.fixture
def trained(project: Path, world: Any) -> Any:
    """A world whose training rows are in the project's data: the hour goes with the carrier."""
    rng = np.random.default_rng(6)
    n = 4000
    seconds = (START - timedelta(days=30)).timestamp() + np.arange(n)
    (project / "data").mkdir()
    workspace = Workspace.open(project, clock=ManualClock(START - timedelta(days=1)))
    workspace.engine.write_parquet(
        project / "data" / "rows.parquet",
        "SELECT id, to_timestamp(s) AS at, to_timestamp(s) AS known_at, hour, carrier, 1.0 AS late FROM t",
        (),
        {"t": {"id": np.arange(n), "s": seconds, **joined(rng, n)}},
    )
    made = type(world)(workspace)
    made.train = lambda: project / "data" / "rows.parquet"
    made.spec = SliceSpec(dataset="rows", version=Datasets(workspace).snapshot("rows", "me").digest)
    yield made
    workspace.close()


def joined(rng: np.random.Generator, n: int, together: bool = True) -> dict[str, Any]:
    hour = rng.normal(12, 3, n)
    late = hour > 12 if together else rng.random(n) < 0.5
    return {"hour": hour, "carrier": np.where(late, "AA", "UA").astype(object)}


def test_whole_rows_are_held_against_those_of_training(trained: Any, project: Path) -> None:
    trained.register(spec=trained.spec)
    log, rng = PredictionLog(trained.workspace), np.random.default_rng(7)
    for week, together in enumerate((True, False)):
        predictions, _ = trained.traffic(7 * week, 200, days=7)
        inputs = {name: values.tolist() for name, values in joined(rng, 1400, together).items()}
        log.append("toy", msgspec.structs.replace(predictions, inputs=inputs))
    found = [
        r for r in Monitors(trained.workspace).evaluate("toy", START + 2 * WEEK) if r.kind != "performance"
    ]
    whole = [(r.until, r.statistic, r.state) for r in found if r.kind == "multivariate"]
    assert whole[0] == (START + WEEK, "auc", "ok")
    assert (START + 2 * WEEK, "auc", "alert") in whole
    assert {r.state for r in found if r.kind == "input"} == {"ok"}
    assert "multivariate" in {alert.kind for alert in Monitors(trained.workspace).alerts("toy")}


def test_without_training_rows_whole_rows_are_passed_over(world: Any) -> None:
    world.register()
    predictions, _ = world.traffic(0, 300, days=7)
    PredictionLog(world.workspace).append("toy", predictions)
    found = Monitors(world.workspace).evaluate("toy", START + WEEK)
    assert "multivariate" not in {r.kind for r in found}
