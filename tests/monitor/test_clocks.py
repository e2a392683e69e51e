"""Clocks that are wrong: a replica's, the one that labels come by, and the monitor's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from treadle.kernel.events import timeline
from treadle.monitor import Incidents, Monitors, PredictionLog

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def answered(monitors: Monitors) -> list[int]:
    return [one.n for one in monitors.windows("toy") if one.kind == "prediction"]


def test_a_replica_s_clock_moves_rows_to_the_next_window_and_loses_none(world: Any) -> None:
    world.register()
    log, monitors = PredictionLog(world.workspace), Monitors(world.workspace)
    ahead, behind = world.traffic(0, days=7)[0], world.traffic(7, days=7)[0]
    skewed = [at + 3 * 3600 for at in ahead.at]
    log.append("toy", msgspec.structs.replace(ahead, at=skewed))
    monitors.evaluate("toy", START + WEEK)
    over = sum(at >= (START + WEEK).timestamp() for at in skewed)
    assert over > 10
    assert answered(monitors) == [1400 - over]
    # Asked in the second week, said to be of the first, whose window is computed by then.
    early = [at - 3 * 3600 for at in behind.at]
    log.append("toy", msgspec.structs.replace(behind, at=early))
    monitors.evaluate("toy", START + 2 * WEEK)
    under = sum(at < (START + WEEK).timestamp() for at in early)
    assert answered(monitors) == [1400 - over, 1400 + over - under]
    monitors.backfill("toy", START, "ann")
    assert answered(monitors) == [1400 - over + under, 1400 + over - under]


def test_a_label_that_seems_older_than_its_prediction_counts(world: Any) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    predictions, labels = world.traffic(0, days=7)
    log.append("toy", predictions)
    log.append_labels("toy", msgspec.structs.replace(labels, known_at=[at - 60 for at in predictions.at]))
    [found] = [
        one
        for one in Monitors(world.workspace).evaluate("toy", START + WEEK)
        if one.kind == "performance" and not one.segment
    ]
    assert (found.n, found.state) == (1400, "ok")


def test_a_correction_that_comes_late_counts_from_then_on(world: Any) -> None:
    """What was said at a time was true by what was known then; a later window knows better."""
    world.register()
    log, monitors = PredictionLog(world.workspace), Monitors(world.workspace)
    first, labels = world.traffic(0, days=7)
    wrong = msgspec.structs.replace(labels, values=[1 - value for value in labels.values])
    log.append("toy", first)
    log.append_labels("toy", wrong)
    monitors.evaluate("toy", START + WEEK)
    correction = msgspec.structs.replace(
        labels, batch="right", known_at=[(START + WEEK + timedelta(hours=1)).timestamp()] * 1400
    )
    log.append_labels("toy", correction)
    second, more = world.traffic(7, days=7)
    log.append("toy", second)
    log.append_labels("toy", more)
    monitors.evaluate("toy", START + 2 * WEEK)
    monitors.backfill("toy", START, "ann")
    before, after = (one for one in monitors.windows("toy") if one.kind == "performance" and not one.segment)
    assert before.value is not None
    assert before.value < 0.4
    assert after.value is not None
    assert after.value > 0.6


def test_a_monitor_s_clock_that_jumps_back_does_nothing_twice(world: Any) -> None:
    world.register()
    log, monitors = PredictionLog(world.workspace), Monitors(world.workspace)
    for week in range(3):
        log.append("toy", world.traffic(7 * week, days=7, drift=0 if week < 1 else 4)[0])
    first = monitors.evaluate("toy", START + 2 * WEEK)
    incidents = Incidents(world.workspace).list("toy")
    assert len(incidents) == 1
    told = timeline(world.workspace.database, "model:toy")
    assert monitors.evaluate("toy", START + WEEK) == []
    assert monitors.evaluate("toy", START - WEEK) == []
    assert monitors.evaluate("toy", START + 2 * WEEK) == []
    assert Incidents(world.workspace).list("toy") == incidents
    assert timeline(world.workspace.database, "model:toy") == told
    rest = monitors.evaluate("toy", START + 3 * WEEK)
    assert {one.until for one in (*first, *rest)} == {START + n * WEEK for n in (1, 2, 3)}
