"""Performance through the log and the database: estimated, realised when mature, one against the other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.conftest import START, World, rows
from treadle.evaluate import Measure, estimate
from treadle.kernel.config.monitor import MonitorConfig, SegmentConfig
from treadle.kernel.workspace import Workspace
from treadle.monitor import (
    Hindsights,
    Monitors,
    PredictionLog,
    WindowResult,
    build_profile,
    profile_segments,
    with_estimates,
)
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
    """Labels take twenty days: of a lookback of four weeks most are missing, and nothing is published."""
    estimating.register()
    for week in range(5):
        send(estimating, week, delay=timedelta(days=20))
    found = configure(estimating).evaluate("toy", START + 5 * WEEK)
    young = [one for one in found if one.kind == "performance"][-1]
    assert (young.state, young.value) == ("inconclusive", None)
    assert "only 28 % of the labels to come are there, 80 % are needed" in young.sentence
    assert "labels_after" in young.sentence


def test_the_newest_predictions_are_left_out_where_their_labels_are_still_to_come(estimating: World) -> None:
    """Labels take ten days: 18 of 28 days have theirs, and are four fifths of what the figure is of."""
    estimating.register()
    for week in range(5):
        send(estimating, week, delay=timedelta(days=10))
    monitors = configure(estimating)
    found = [one for one in monitors.evaluate("toy", START + 5 * WEEK) if one.kind == "performance"][-1]
    assert (found.state, found.since, found.until) == ("ok", START + WEEK, START + 5 * WEEK)
    assert found.n == pytest.approx(18 * 200, abs=60)
    newest = START + WEEK + timedelta(days=18 / 0.8)
    assert f"predictions since {START + WEEK:%Y-%m-%d} and up to {newest:%Y-%m-%d} have labels (80 %)" in (
        found.sentence
    )
    [later] = Hindsights(estimating.workspace).performance("toy", START + 5 * WEEK)
    assert later.now == later.then == found


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


def test_bins_are_the_same_in_sql(workspace: Workspace) -> None:
    from treadle.monitor.performance.preparing import places
    from treadle.monitor.profile import bin_sql
    from treadle.monitor.types import CategoryProfile, NumericProfile

    shape = NumericProfile([1.0, 2.0], [0, 0, 0], 0, low=0.0, high=3.0)
    words = CategoryProfile({"a": 0, "b'": 0}, 0, 0)
    numbers = np.ma.masked_array([-1.0, 0.0, 1.0, 1.5, 9.0, np.nan, 7.0], [False] * 6 + [True])
    texts = np.ma.masked_array(np.array(["b'", "z", "a", "a", "", "a", "a"], object), [False] * 6 + [True])
    sql = f"SELECT {bin_sql(shape, 'x')} AS x, {bin_sql(words, 'c')} AS c FROM log"
    found = workspace.engine.columns(sql, (), {"log": {"x": numbers, "c": texts}})
    assert found["x"].tolist() == places(shape, numbers).tolist()
    assert found["c"].tolist() == places(words, texts).tolist()


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


def test_pairs_of_columns_are_counted_in_the_log(world: Any) -> None:
    """A regression that is wrong where the hour and the carrier go together: of all rows, and by segment."""
    from treadle.monitor.performance.losses import PREDICTION, expect_loss
    from treadle.monitor.performance.preparing import histogrammed, places, with_estimates
    from treadle.registry import Field, Signature

    rng, measure = np.random.default_rng(8), Measure("mae")

    def made(n: int, share: float) -> dict[str, Any]:
        late, hit = rng.random(n) < 0.5, rng.random(n) < share
        carrier = np.where(late == hit, "AA", "UA").astype(object)
        hour = np.where(late, 18.0, 6.0) + rng.normal(0, 1, n)
        output = rng.normal(100, 10, n)
        return {"hour": hour, "carrier": carrier, "output": output, "wrong": np.where(hit, 9.0, 3.0)}

    held, now = made(4000, 0.5), made(3000, 0.8)
    inputs = {name: held[name] for name in ("hour", "carrier")}
    engine, train = world.workspace.engine, world.workspace.root / "train.parquet"
    engine.write_parquet(train, "SELECT * FROM t", (), {"t": inputs})
    labels = held["output"] + held["wrong"] * rng.choice([-1, 1], 4000)
    profile = build_profile(engine, train, ["hour", "carrier"], held["output"], "mae", 6.0)
    profile = profile_segments(engine, train, profile, {"carrier": SegmentConfig()})
    profile = with_estimates(profile, measure, inputs, labels, held["output"])
    assert profile.losses is not None
    assert [pair.name for pair in profile.losses.pairs] == ["hour and carrier"]

    world.profile = lambda **_: msgspec.json.encode(profile)
    fields = (Field("hour", "float"), Field("carrier", "string"))
    world.register(signature=Signature(fields, "value"))
    predictions, _ = world.traffic(0, 3000)
    columns = {name: now[name].tolist() for name in ("hour", "carrier")}
    log = PredictionLog(world.workspace)
    log.append("toy", msgspec.structs.replace(predictions, inputs=columns, outputs=now["output"].tolist()))
    found = Monitors(world.workspace).evaluate("toy", START + WEEK)
    told = {one.segment: one.value for one in found if one.kind == "estimated"}
    shapes = {**profile.inputs, PREDICTION: profile.prediction}
    values = {**now, PREDICTION: now["output"]}
    placed = {name: places(shape, values[name]) for name, shape in shapes.items()}
    assert told[""] == pytest.approx(expect_loss(profile.losses, histogrammed(profile.losses, placed)).value)
    assert told[""] == pytest.approx(0.8 * 9 + 0.2 * 3, abs=0.2)
    among = {name: place[now["carrier"] == "AA"] for name, place in placed.items()}
    assert told["carrier=AA"] == pytest.approx(
        expect_loss(profile.losses, histogrammed(profile.losses, among)).value
    )
