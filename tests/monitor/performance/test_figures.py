"""Performance through the log and the database: estimated, realised when mature, one against the other."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from monitor.conftest import START, World, rows
from treadle.evaluate import Measure, estimate
from treadle.kernel.config.monitor import MonitorConfig
from treadle.monitor import Monitors, WindowResult, build_profile, with_estimates
from treadle.monitor.performance.results import GAP

WEEK = timedelta(days=7)


@pytest.fixture
def estimating(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose versions' profiles have a calibrator."""

    def profile(metric: str = "roc_auc", value: float | None = None, drift: float = 0.0) -> bytes:
        held = rows(world.rng, 5000, drift)
        reached = estimate(metric, held["label"], held["output"]).value if value is None else value  # type: ignore[arg-type]
        made = build_profile(
            world.workspace.engine, world.train(), ["hour", "carrier"], held["output"], metric, reached
        )
        inputs = {name: held[name] for name in ("hour", "carrier")}
        measure = Measure(metric)  # type: ignore[arg-type]
        return msgspec.json.encode(with_estimates(made, measure, inputs, held["label"], held["output"]))

    monkeypatch.setattr(world, "profile", profile)
    return world


def send(world: World, week: int, **how: object) -> None:
    predictions, labels = world.traffic(7 * week, days=7, **how)  # type: ignore[arg-type]
    monitors = Monitors(world.workspace)
    monitors._log.append("toy", predictions)
    monitors._log.append_labels("toy", labels)


def course(results: list[WindowResult], statistic: str) -> list[WindowResult]:
    return [one for one in results if one.kind == "estimated" and one.statistic == statistic]


def of_performance(results: list[WindowResult]) -> list[WindowResult]:
    return [one for one in results if one.kind in {"estimated", "performance"}]


def configure(world: World, **changes: object) -> Monitors:
    config = world.workspace.config
    monitor = msgspec.structs.replace(config.monitor, **changes)
    world.workspace.config = msgspec.structs.replace(config, monitor=monitor)
    return Monitors(world.workspace)


def test_a_shift_that_scores_can_tell_is_estimated_before_labels(estimating: World) -> None:
    """Inputs that move to where the model is unsure: the estimate gets worse at once, without labels."""
    estimating.register(metric="brier", drift=6.0)
    monitors = configure(estimating)
    for week in range(6):
        send(estimating, week, drift=6 if week < 4 else 0, delay=timedelta(days=90))
    found = monitors.evaluate("toy", START + 6 * WEEK)
    fallen = course(found, "brier")
    assert [one.state for one in fallen] == ["ok"] * 4 + ["alert"] * 2
    fallen = fallen[4:]
    assert fallen[0].value == pytest.approx(0.205, abs=0.01)
    assert fallen[0].limit is not None
    assert fallen[0].value > fallen[0].limit + 0.05
    assert "without their labels" in fallen[0].sentence
    assert {one.state for one in course(found, GAP)} == {"inconclusive"}, "without labels nobody can compare"


def test_another_world_is_seen_only_in_what_becomes_true(estimating: World) -> None:
    """The same inputs lead to other outcomes: the estimate can't know; the difference alarms."""
    estimating.register()
    monitors = configure(estimating)
    for week in range(6):
        send(estimating, week, decay=0.0 if week < 4 else 0.5)
    found = monitors.evaluate("toy", START + 6 * WEEK)
    assert {one.state for one in course(found, "roc_auc")} == {"ok"}
    assert [one.state for one in course(found, GAP)] == ["ok"] * 4 + ["alert"] * 2
    assert "where their scores let expect" in course(found, GAP)[-1].sentence
    assert "estimated" in {alert.kind for alert in monitors.alerts("toy")}


def test_young_labels_are_not_taken_for_all(estimating: World) -> None:
    """Labels take ten days: of a lookback of four weeks a third is missing, and nothing is published."""
    estimating.register()
    for week in range(5):
        send(estimating, week, delay=timedelta(days=10))
    found = configure(estimating).evaluate("toy", START + 5 * WEEK)
    young = [one for one in found if one.kind == "performance"][-1]
    assert (young.state, young.value) == ("inconclusive", None)
    assert "only 64 % of the labels to come are there, 80 % are needed" in young.sentence
    assert "labels_after" in young.sentence


def test_declared_delays_make_figures_late_and_whole(estimating: World) -> None:
    estimating.register()
    for week in range(7):
        send(estimating, week, delay=timedelta(days=10))
    found = configure(estimating, labels_after="10d").evaluate("toy", START + 7 * WEEK)
    mature = [one for one in found if one.kind == "performance"][-1]
    assert mature.state == "ok"
    assert mature.n == pytest.approx(4 * 1400, abs=60)
    late = course(found, GAP)[-1]
    assert late.n == pytest.approx(1400, abs=60)
    assert late.since == START + 6 * WEEK - timedelta(days=10)


def test_a_window_that_is_computed_late_comes_out_the_same(estimating: World) -> None:
    estimating.register()
    for week in range(4):
        send(estimating, week)
    late = of_performance(configure(estimating).evaluate("toy", START + 4 * WEEK))
    with estimating.workspace.database.write() as connection:
        for table in ("windows", "monitored", "alerts"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    punctual = []
    for week in range(1, 5):
        punctual += Monitors(estimating.workspace).evaluate("toy", START + week * WEEK)
    assert of_performance(punctual) == late


def test_a_regression_is_estimated_by_what_makes_it_wrong() -> None:
    """Through the profile's own bins, with missing values and texts."""
    from treadle.monitor.performance.preparing import places
    from treadle.monitor.profile import counts
    from treadle.monitor.types import CategoryProfile, NumericProfile

    shape = NumericProfile([1.0, 2.0], [0, 0, 0], 0, low=0.0, high=3.0)
    assert places(shape, np.array([-1.0, 0.5, 1.0, 1.5, 9.0, np.nan])).tolist() == [0, 1, 1, 2, 4, 5]
    masked = np.ma.masked_array([0.5, 0.5], [False, True])
    assert places(shape, masked).tolist() == [1, 5]
    words = CategoryProfile({"a": 0, "b": 0}, 0, 0)
    assert places(words, np.array(["b", "z", None], dtype=object)).tolist() == [1, 2, 3]
    gone = np.ma.masked_array(np.array(["b", "b"], dtype=object), [False, True])
    assert places(words, gone).tolist() == [1, 3]
    assert len(counts(shape)) == 6
    assert MonitorConfig().labels_after is None
