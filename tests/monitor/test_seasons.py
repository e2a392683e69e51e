"""The same time of the weeks before: false alarms as declared where a fixed reference floods, and power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from treadle.kernel.clock import ManualClock
from treadle.kernel.config.monitor import DriftConfig, MonitorConfig
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, NumericProfile, PredictionLog, Profile, WindowResult
from treadle.monitor.drift import again, input_result
from treadle.monitor.findings import Window
from treadle.monitor.profile import Shape, Tally, bounds, count, empty, filled
from treadle.monitor.seasons import Found, held, settled, slots

START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS, DAY, WEEK = timedelta(hours=6), timedelta(days=1), timedelta(days=7)


def means(since: datetime, at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What is expected of rows at seconds after a moment: by the hour of the day, and on weekends more."""
    hours = (since - START).total_seconds() / 3600 + at / 3600
    weekend = (hours // 24 % 7) >= 5
    made: npt.NDArray[np.float64] = 10 + 4 * np.sin(2 * np.pi * hours / 24) + 3 * weekend
    return made


class Stream:
    """A log with daily and weekly seasons, in memory: about 100 rows at night and 600 by day."""

    def __init__(self, seed: int, changes: Sequence[tuple[datetime, float]] = ()) -> None:
        self.rng = np.random.default_rng(seed)
        self.changes = changes
        training = self._rows(START, timedelta(days=28), 20_000)
        quantiles = np.quantile(training, [i / 10 for i in range(1, 10)]).tolist()
        self.shape = empty(np.unique(training).tolist(), quantiles, float(training.std()))
        self.profile = Profile(
            rows=len(training),
            inputs={"x": filled(self.shape, Tally(self._tally(training)))},
            prediction=NumericProfile([0.5], [9, 9], 0),
            metric="roc_auc",
            value=0.7,
        )
        self.seen: dict[datetime, Found] = {}

    def _rows(self, since: datetime, length: timedelta, n: int) -> npt.NDArray[np.float64]:
        at = self.rng.random(n) * length.total_seconds()
        moved = sum(by for at_, by in self.changes if since >= at_)
        rows: npt.NDArray[np.float64] = self.rng.normal(means(since, at) + moved, 2)
        return rows

    def _tally(self, rows: npt.NDArray[np.float64]) -> list[int]:
        places = np.searchsorted(bounds(self.shape), rows)
        tally: list[int] = np.bincount(places, minlength=len(bounds(self.shape)) + 1).tolist()
        return [*tally, 0]

    def first_day(self, model: str) -> Any:
        return START.date()

    def scan(self, window: Window) -> Found:
        if window.since not in self.seen:
            day = 0 < window.since.hour < 18
            rows = self._rows(window.since, window.length, int(self.rng.poisson(600 if day else 250)))
            tally = [*self._tally(rows)[:-1], 50]  # the last is of the second column, the predictions
            self.seen[window.since] = {
                "col": np.array([0] * (len(tally) - 1) + [1]),
                "part": np.array([""] * len(tally), dtype=object),
                "bin": np.array([*range(len(tally) - 1), 0]),
                "n": np.array(tally),
                "total": np.zeros(len(tally)),
                "low": np.ma.masked_all(len(tally)),
                "high": np.ma.masked_all(len(tally)),
            }
        return self.seen[window.since]

    def read(self, found: Found) -> tuple[list[Shape], dict[str, list[Shape]]]:
        return count([self.shape, self.profile.prediction], found), {}

    def judged(self, i: int, config: MonitorConfig) -> WindowResult:
        window = Window(model="m", version=1, since=START + i * HOURS, until=START + (i + 1) * HOURS)
        log: Any = self
        against = held(window, self.profile, self.profile.inputs, config, log, self.scan, self.read)
        found = self.scan(window)
        now = filled(self.shape, Tally([*found["n"][:-1].tolist(), 0]))
        both = {("input", "x"): now, ("prediction", "prediction"): self.profile.prediction}
        judge = partial(again, window, 1, config)
        result = input_result(window, "x", against.inputs["x"], now, 1, config)
        (told,) = against.told(settled(against, both, [result], self.read, judge))
        return told


SEASON = MonitorConfig(reference="season", false_alarms=50, drift=DriftConfig(threshold=1e-9))
ALPHA = 50 * (HOURS / timedelta(days=365.25))
FIRST = 4 * 28  # windows of 4 weeks


@pytest.mark.parametrize("windows", [250, pytest.param(6000, marks=pytest.mark.soak)])
def test_false_alarms_are_those_declared_where_a_fixed_reference_floods(windows: int) -> None:
    """The threshold is next to nothing, so whatever is over chance is an alert."""
    stream = Stream(3)
    found = [stream.judged(FIRST + i, SEASON) for i in range(windows)]
    alarms = sum(one.state == "alert" for one in found)
    expected = ALPHA * windows
    assert alarms <= expected + 3 * math.sqrt(2 * expected)  # windows share slots: twice the variance
    if windows > 1000:
        assert alarms >= expected - 3 * math.sqrt(2 * expected)  # as declared, not merely fewer
    fixed = msgspec.structs.replace(SEASON, reference="training", drift=0.1)
    flooded = sum(stream.judged(FIRST + i, fixed).state == "alert" for i in range(100))
    assert flooded == 100
    seasonal = msgspec.structs.replace(SEASON, drift=0.1)
    assert sum(stream.judged(FIRST + i, seasonal).state == "alert" for i in range(100)) <= 8


HELD = MonitorConfig(reference="season", false_alarms=1, drift=DriftConfig(threshold=0.1))
CHANGE = FIRST + 40


def states(stream: Stream, windows: int) -> list[str]:
    return [stream.judged(FIRST + i, HELD).state for i in range(windows)]


def test_a_shift_within_the_season_is_found_at_once_and_told_for_a_week() -> None:
    """By a standard deviation of a slot's rows: half of what the season moves by itself in a day."""
    found = states(Stream(4, [(START + CHANGE * HOURS, 2.0)]), 40 + 6 * 28)
    assert found[:40].count("alert") == 0
    assert found[40:68].count("alert") >= 24
    assert found[68:].count("alert") <= 3, "the season takes four weeks to have it"


def test_what_changes_again_is_told_again() -> None:
    twice = [(START + CHANGE * HOURS, 2.0), (START + (CHANGE + 28) * HOURS, 2.0)]
    assert states(Stream(4, twice), 96)[68:].count("alert") >= 24
    back = [(START + CHANGE * HOURS, 2.0), (START + (CHANGE + 56) * HOURS, -2.0)]
    assert states(Stream(4, back), 124)[96:].count("alert") >= 20, "it is as it was before"


def test_an_odd_week_makes_no_alarms_of_those_that_follow() -> None:
    odd = [(START + CHANGE * HOURS, 2.0), (START + (CHANGE + 28) * HOURS, -2.0)]
    found = states(Stream(4, odd), 40 + 5 * 28)
    assert found[40:68].count("alert") >= 24
    assert found[68:].count("alert") <= 8, "7 of 112 are, held against the season alone"


def test_while_history_is_short_training_is_what_counts_and_findings_say_so() -> None:
    stream = Stream(5)
    told = [stream.judged(i, SEASON) for i in (0, 27, 28, 60, FIRST - 1, FIRST)]
    logged = ["of the 4 weeks before 0 are logged"] * 2 + [
        f"of the 4 weeks before {n} are logged" for n in (1, 2, 3)
    ]
    for one, ending in zip(told, logged, strict=False):
        assert one.sentence.endswith(f"; held against training: {ending}")
    assert "; held against the same time of the 4 weeks before (" in told[-1].sentence


def test_slots_are_the_same_stretch_of_the_week() -> None:
    window = Window(model="m", version=1, since=START + 40 * HOURS, until=START + 41 * HOURS)
    found = slots(window, 3)
    assert [(one.since, one.until) for one in found] == [
        (window.since - k * WEEK, window.until - k * WEEK) for k in (1, 2, 3)
    ]
    assert {(one.since.weekday(), one.since.hour) for one in found} == {
        (window.since.weekday(), window.since.hour)
    }


def seasonal(world: Any, project: Path, weeks: int = 1) -> tuple[Any, PredictionLog]:
    """Daily windows, held against weeks before; on weekends the hours are later, and all is from UA."""
    config = project / "treadle.toml"
    lines = ["[monitor]", 'every = "1d"', 'reference = "season"', f"season_weeks = {weeks}"]
    lines.append("[monitor.segments.carrier]")
    config.write_text("\n".join([config.read_text(), *lines, ""]))
    here = type(world)(Workspace.open(project, clock=ManualClock(START - timedelta(days=1))))
    here.register()
    return here, PredictionLog(here.workspace)


def day(here: Any, log: PredictionLog, number: int, drift: float = 0.0) -> None:
    weekend = number % 7 >= 5
    predictions, _ = here.traffic(number, 500, drift=drift + 4 * weekend)
    inputs = dict(predictions.inputs)
    if weekend:
        inputs["carrier"] = ["UA"] * 500
    log.append("toy", msgspec.structs.replace(predictions, inputs=inputs))


def test_inputs_predictions_segments_and_whole_rows_are_held_against_the_season(
    world: Any, project: Path
) -> None:
    here, log = seasonal(world, project)
    for number in range(5, 13):
        day(here, log, number)
    day(here, log, 13, drift=-5.0)  # a day of the weekend like any other
    found = Monitors(here.workspace).evaluate("toy", START + timedelta(days=14))
    states: dict[tuple[str, int], set[str]] = {}
    for one in found:
        if one.kind in {"input", "prediction", "multivariate"}:
            number = (one.until - START).days - 1
            states.setdefault((one.kind, number), set()).add(one.state)
    for number in (5, 6):  # held against training
        assert "alert" in states["input", number]
        assert "alert" in states["prediction", number]
    for number in range(7, 13):  # weekdays as at training; the weekend's day as the one a week before
        assert not any("alert" in states[kind, number] for kind in ("input", "prediction"))
    assert states["multivariate", 12] == {"ok"}
    assert "alert" in states["input", 13]
    assert "alert" in states["prediction", 13]
    last = [one for one in found if one.until == START + timedelta(days=13)]
    assert {one.sentence.partition("; held against ")[2] for one in last if one.subject == "hour"} == {
        "the same time of the week before (500 rows)"
    }
    rows = next(one for one in last if one.kind == "multivariate")
    assert "from those of the week before" in rows.sentence
    assert Monitors(here.workspace).backfill("toy", START + timedelta(days=12), "me").changed == ()
    here.workspace.close()


@pytest.mark.soak
def test_a_lasting_change_raises_alerts_for_a_week(world: Any, project: Path) -> None:
    here, log = seasonal(world, project, weeks=3)
    for number in range(42):
        day(here, log, number, drift=-5.0 if number >= 28 else 0.0)
    monitors = Monitors(here.workspace)
    found = monitors.evaluate("toy", START + timedelta(days=42))
    days: dict[str, list[int]] = {"input": [], "prediction": []}
    for one in found:
        number = (one.until - START).days - 1
        if one.kind in days and one.state == "alert" and not one.segment and number >= 21:
            days[one.kind].append(number)
    assert days == {"input": [*range(28, 35)], "prediction": [*range(28, 35)]}
    settled_ = next(one for one in found if one.subject == "hour" and one.until == START + timedelta(days=36))
    assert "; so it was a week ago; held against the same time of the 3 weeks before" in settled_.sentence
    late = [one for one in found if one.segment and one.state == "alert" and one.until > START + 35 * DAY]
    assert all(one.explained_by for one in late)
    assert monitors.backfill("toy", START + timedelta(days=30), "me").changed == ()
    here.workspace.close()


def test_a_version_that_is_too_young_is_held_against_its_registration(world: Any, project: Path) -> None:
    here, log = seasonal(world, project)
    for number in range(7):
        day(here, log, number)
    here.workspace.clock.at = START + timedelta(days=7)
    here.register(run="run_2")
    predictions, _ = here.traffic(7, 500, version=2)
    log.append("toy", predictions)
    found = Monitors(here.workspace).evaluate("toy", START + timedelta(days=8))
    last = {one.kind: one for one in found if one.until == START + timedelta(days=8) and not one.segment}
    assert last["prediction"].state == "ok"
    assert last["prediction"].sentence.endswith(
        "held against registration: the version answered 0 requests at the same time of the week before"
    )
    assert last["input"].sentence.endswith("the same time of the week before (500 rows)")
    here.workspace.close()
