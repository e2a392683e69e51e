"""Past windows computed again: the same answer, unless something came late or was declared anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import InvalidInput
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, PredictionLog, WindowResult, rules

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def alike(ones: list[WindowResult], others: list[WindowResult]) -> bool:
    """Whether findings are the same, but for the last bits of sums."""
    return len(ones) == len(others) > 0 and all(map(rules.same, ones, others))


def test_windows_come_out_as_they_were_until_predictions_come_late(world: Any) -> None:
    world.register()
    log, monitors = PredictionLog(world.workspace), Monitors(world.workspace)
    for week in range(4):
        predictions, labels = world.traffic(7 * week, 100, days=7, drift=3 if week == 3 else 0)
        log.append("toy", predictions)
        log.append_labels("toy", labels)
        monitors.evaluate("toy", START + (week + 1) * WEEK)
    kept, alerts = monitors.windows("toy"), monitors.alerts("toy")
    assert alerts
    again = monitors.backfill("toy", START, "ada")
    assert (again.windows, again.changed) == (4, ())
    assert alike(monitors.windows("toy"), kept)

    late, _ = world.traffic(7, 300, days=7, drift=-4)
    log.append("toy", late)
    found = monitors.backfill("toy", START + WEEK, "ada")
    assert found.windows == 3
    hour = next(r for r in found.changed if (r.kind, r.subject) == ("input", "hour"))
    assert (hour.until, hour.state, hour.n) == (START + 2 * WEEK, "alert", 2800)
    assert hour in monitors.windows("toy")
    first = [[r for r in some if r.until == START + WEEK] for some in (monitors.windows("toy"), kept)]
    assert alike(*first)
    assert monitors.alerts("toy") == alerts  # none for the past
    told = [event for event in timeline(world.workspace.database, "model:toy") if event.kind == "backfill"]
    assert [event.actor for event in told][-1] == "ada"
    assert monitors.backfill("toy", START + WEEK, "ada").changed == ()
    assert monitors.backfill("toy", START + 9 * WEEK, "ada").windows == 0


def test_some_at_a_time_are_as_all_at_once(world: Any) -> None:
    world.register()
    log, monitors = PredictionLog(world.workspace), Monitors(world.workspace)
    log.append("toy", world.traffic(0, 100, days=28)[0])
    monitors.evaluate("toy", START + 4 * WEEK)
    log.append("toy", world.traffic(0, 300, days=28, drift=-4)[0])
    first = monitors.backfill("toy", START, "ada", most=3)
    assert (first.windows, first.left, first.last) == (3, 1, START + 3 * WEEK)
    rest = monitors.backfill("toy", START, "ada", first.last, most=3)
    assert (rest.windows, rest.left, rest.last) == (1, 0, START + 4 * WEEK)
    assert {one.until for one in (*first.changed, *rest.changed)} == {START + n * WEEK for n in range(1, 5)}
    assert monitors.backfill("toy", START, "ada").changed == ()
    none = monitors.backfill("toy", START, "ada", rest.last)
    assert (none.windows, none.left, none.last) == (0, 0, None)
    told = [one.message for one in timeline(world.workspace.database, "model:toy", kinds=["backfill"])]
    assert told[4].startswith("the last 1 of the windows since 2026-01-01 were computed again")


def test_what_an_interrupted_one_changed_is_told(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again finds those windows as they are now, and would never hear of it."""
    world.register()
    log, monitors = PredictionLog(world.workspace), Monitors(world.workspace)
    log.append("toy", world.traffic(0, 100, days=21)[0])
    monitors.evaluate("toy", START + 3 * WEEK)
    log.append("toy", world.traffic(7, 300, days=7, drift=-4)[0])
    compute = monitors._compute

    def killed(model: str, since: datetime, until: datetime) -> list[WindowResult]:
        if until == START + 3 * WEEK:
            raise KeyboardInterrupt
        return compute(model, since, until)

    monkeypatch.setattr(monitors, "_compute", killed)
    with pytest.raises(KeyboardInterrupt):
        monitors.backfill("toy", START, "ada")
    told = [one.message for one in timeline(world.workspace.database, "model:toy", kinds=["backfill"])]
    assert len(told) == 1
    assert told[0].startswith("the window until 2026-01-15 00:00 was computed again; ")
    monkeypatch.undo()
    again = monitors.backfill("toy", START, "ada")
    assert {one.until for one in again.changed} == {START + 3 * WEEK}


def test_a_window_whose_rows_are_gone_is_not_computed_again(project: Path, world: Any) -> None:
    config = project / "treadle.toml"
    config.write_text(config.read_text() + '\n[monitor]\nperformance_window = "7d"\nkeep_log = "21d"\n')
    workspace = Workspace.open(project, clock=ManualClock(START - timedelta(days=1)))
    here = type(world)(workspace)
    here.register()
    log, monitors = PredictionLog(workspace), Monitors(workspace)
    log.append("toy", here.traffic(0, 60, days=42)[0])
    monitors.evaluate("toy", START + 6 * WEEK)
    kept = monitors.windows("toy")
    with pytest.raises(InvalidInput, match="the log begins on 2026-01-22"):
        monitors.backfill("toy", START, "ada")
    assert monitors.windows("toy") == kept
    assert monitors.backfill("toy", START + 4 * WEEK, "ada").changed == ()
    workspace.close()
