"""The metric by segment: at registration, realised, estimated, and how seldom an alarm is false."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from monitor.conftest import START, World, rows
from treadle.evaluate import Measure, estimate
from treadle.kernel.config.monitor import MonitorConfig, SegmentConfig
from treadle.monitor import (
    Monitors,
    PredictionLog,
    Profile,
    WindowResult,
    build_profile,
    profile_segments,
    with_estimates,
)
from treadle.monitor.findings import Window
from treadle.monitor.performance.alarms import explained, judged
from treadle.monitor.performance.by_part import Cohort, realised_results
from treadle.monitor.types import NumericProfile, PartFigure, SegmentProfile

WEEK = timedelta(days=7)
ACCURACY = Measure("accuracy")


def profile_of(world: World, metric: str, held: dict[str, np.ndarray]) -> Profile:
    engine, train = world.workspace.engine, world.train()
    reached = estimate(metric, held["label"], held["output"]).value  # type: ignore[arg-type]
    made = build_profile(engine, train, ["hour", "carrier"], held["output"], metric, reached)
    made = profile_segments(engine, train, made, world.workspace.config.monitor.segments)
    inputs = {name: held[name] for name in ("hour", "carrier")}
    return with_estimates(made, Measure(metric), inputs, held["label"], held["output"])  # type: ignore[arg-type]


@pytest.fixture
def parted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose carriers are watched apart."""
    segments = {"carrier": SegmentConfig(), "hour": SegmentConfig(edges=[9, 15])}
    config = world.workspace.config
    monitor = msgspec.structs.replace(config.monitor, segments=segments, false_alarms=4.0)
    world.workspace.config = msgspec.structs.replace(config, monitor=monitor)
    monkeypatch.setattr(
        world,
        "profile",
        lambda metric="roc_auc": msgspec.json.encode(profile_of(world, metric, rows(world.rng, 20_000))),
    )
    return world


def send(world: World, week: int, *, decay: float = 0.0, carrier: str = "WN", squeeze: float = 0.0) -> None:
    """A week; one carrier's labels may lose their relation to the score, or its hours go to the middle."""
    predictions, labels = world.traffic(7 * week, 700, days=7)
    carriers = np.asarray(predictions.inputs["carrier"])
    hours, outputs = np.asarray(predictions.inputs["hour"]), np.asarray(predictions.outputs)
    values, there = np.asarray(labels.values), carriers == carrier
    hours[there] -= squeeze * (hours[there] - 12)
    outputs[there] = 1 / (1 + np.exp(-(hours[there] - 12) / 3))
    lost = there & (world.rng.random(len(values)) < decay)
    values[lost] = (world.rng.random(int(lost.sum())) < 0.5).astype(float)
    log = PredictionLog(world.workspace)
    inputs = {**predictions.inputs, "hour": hours.tolist()}
    log.append("toy", msgspec.structs.replace(predictions, inputs=inputs, outputs=outputs.tolist()))
    log.append_labels("toy", msgspec.structs.replace(labels, values=values.tolist()))


def course(found: list[WindowResult], kind: str, segment: str) -> list[WindowResult]:
    return [one for one in found if (one.kind, one.segment) == (kind, segment)]


def test_a_profile_says_how_good_the_model_is_in_each_segment(parted: World) -> None:
    held = rows(parted.rng, 3000)
    profile = profile_of(parted, "log_loss", held)
    there = held["carrier"] == "DL"
    figure = profile.segments["carrier"].figures["carrier=DL"]
    direct = estimate("log_loss", held["label"][there], held["output"][there])
    assert (figure.rows, figure.value, figure.se) == (there.sum(), direct.value, direct.se)
    p = held["output"][there]
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert figure.estimated == pytest.approx(entropy, abs=0.01)
    assert set(profile.segments["hour"].figures) == {"hour<=9", "9<hour<=15", "hour>15"}
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile


def test_a_change_in_one_segment_alone_is_told_of_that_segment(parted: World) -> None:
    parted.register()
    for week in range(7):
        send(parted, week, decay=0.0 if week < 4 else 0.8)
    monitors = Monitors(parted.workspace)
    found = monitors.evaluate("toy", START + 7 * WEEK)
    fallen = course(found, "performance", "carrier=WN")
    assert [one.state for one in fallen[:4]] == ["ok"] * 4
    assert {one.state for one in fallen[5:]} == {"alert"}
    assert fallen[-1].sentence.startswith("where carrier=WN, roc_auc is 0.")
    assert fallen[-1].limit is not None
    assert fallen[-1].value == pytest.approx(0.58, abs=0.05)
    rest = [
        one.state
        for one in found
        if one.kind == "performance" and one.segment.startswith("carrier") and one not in fallen
    ]
    assert len(rest) == 3 * 7
    assert "alert" not in rest
    assert {one.state for one in course(found, "estimated", "carrier=WN")} == {"ok"}, "scores can't know"
    [alert] = [one for one in monitors.alerts("toy") if one.kind == "performance"]
    assert "where carrier=WN" in alert.sentence


def test_what_scores_can_tell_of_a_segment_is_estimated_before_labels(parted: World) -> None:
    """One carrier's hours go to where the model is least sure; its Brier score goes to a quarter."""
    parted.register(metric="brier")
    for week in range(4):
        send(parted, week, squeeze=0.0 if week < 2 else 0.9)
    found = Monitors(parted.workspace).evaluate("toy", START + 4 * WEEK)
    fallen = course(found, "estimated", "carrier=WN")
    assert [one.state for one in fallen] == ["ok", "ok", "alert", "alert"]
    assert fallen[0].value == pytest.approx(0.205, abs=0.01)
    assert fallen[-1].value == pytest.approx(0.25, abs=0.002)
    assert "is estimated at" in fallen[-1].sentence
    assert fallen[-1].n == pytest.approx(0.1 * 4900, rel=0.15)
    assert {one.state for one in course(found, "estimated", "carrier=AA")} == {"ok"}


def test_an_alarm_of_all_rows_explains_those_of_segments() -> None:
    one = WindowResult(
        model="toy", kind="performance", subject="roc_auc", since=START, until=START + WEEK, version=1,
        state="alert", statistic="roc_auc", value=0.5, n=100, sentence="told",
    )  # fmt: skip
    part = msgspec.structs.replace(one, segment="carrier=UA")
    guess = msgspec.structs.replace(part, kind="estimated")
    found = explained([one, part, guess])
    assert [each.explained_by for each in found] == ["", "performance:roc_auc", ""]
    assert found[1].sentence.endswith("; so it is among all rows")
    gap = msgspec.structs.replace(one, kind="estimated", statistic="realised_minus_estimated")
    assert [each.explained_by for each in explained([gap, part, guess])] == ["", "estimated:roc_auc", ""]


def calm(rng: np.random.Generator, windows: int, wanted: float, worse: float = 0.0) -> int:
    """The window of the first alarm in any of ten segments; each is exactly as good as it may be."""
    named = {f"{i:g}": PartFigure(rows=10**6, value=0.8 + worse, se=0.0) for i in range(10)}
    segment = SegmentProfile(
        column="x",
        values=[float(i) for i in range(10)],
        edges=[],
        figures={f"x={i}": f for i, f in named.items()},
    )
    profile = Profile(
        rows=10**6, inputs={}, prediction=NumericProfile([], [0], 0), metric="accuracy", value=0.8,
        segments={"x": segment},
    )  # fmt: skip
    before: list[WindowResult] = []
    for number in range(windows):
        window = Window(
            model="toy", version=1, since=START + number * WEEK, until=START + (number + 1) * WEEK
        )
        codes = np.repeat(np.arange(10), 250)
        right = rng.random(2500) < 0.8
        labels = np.ma.masked_array((rng.random(2500) < 0.5).astype(float))
        outputs = np.where(right, labels, 1 - labels).astype(float)
        cohort = Cohort(labels, outputs, rng.integers(0, 7, 2500), {"x": codes})
        config = MonitorConfig(tolerance=0.0)
        found = judged(realised_results(window, profile, ACCURACY, cohort, config, ""), before, wanted)
        if any(one.state == "alert" for one in found):
            return number + 1
        before += found
    return windows


@pytest.mark.soak
def test_ten_segments_together_keep_the_declared_run_length() -> None:
    """One false alarm in 20 windows declared: their first comes after 20 on average, at least."""
    rng = np.random.default_rng(3)
    found = np.array([calm(rng, 200, 20) for _ in range(60)])
    assert found.mean() - 2 * found.std() / 60**0.5 >= 20


def test_ten_segments_are_seldom_falsely_in_alarm_and_soon_rightly() -> None:
    rng = np.random.default_rng(4)
    assert np.mean([calm(rng, 20, 20) for _ in range(6)]) > 10
    assert calm(rng, 20, 20, worse=0.08) < 10
