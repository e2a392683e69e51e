"""From an alert to a cycle, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from retrain.traffic import serve_and_label
from retrain.wheel import FIRST, make, opened, turn, wait_for
from treadle.kernel.clock import ManualClock
from treadle.kernel.lock import Holder, exclusive
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Monitors
from treadle.registry import Registry
from treadle.retrain import Cycle, Cycles, Loop, Tick, Worker
from treadle.retrain.worker import LOCK

DAY = timedelta(days=1)


class Wheel:
    """A workspace with a version in production for three weeks, and its loop."""

    def __init__(self, workspace: Workspace, clock: ManualClock) -> None:
        self.workspace, self.clock = workspace, clock
        self.worker = Worker(workspace, "a test")
        self.loop = Loop(workspace, self.worker)
        self.cycles = Cycles(workspace)
        clock.at = FIRST
        self.first = turn(workspace, params={"depth": 9})
        self.at = FIRST + 21 * DAY

    def week(self, *, reverse: bool = False) -> Tick:
        """A week of traffic, and the look at its end."""
        serve_and_label(self.workspace, self.at, reverse=reverse)
        self.at += 7 * DAY
        return self.look()

    def look(self) -> Tick:
        self.clock.at = self.at
        return self.loop.look("toy")

    def end(self, cycle_id: str | None) -> Cycle:
        assert cycle_id is not None
        wait_for(lambda: self.cycles.get(cycle_id).state != "running")
        return self.cycles.get(cycle_id)

    def alerts(self) -> list[Alert]:
        return [alert for alert in Monitors(self.workspace).alerts("toy") if alert.kind == "performance"]


@pytest.fixture
def wheel(workspace: Workspace, clock: ManualClock) -> Iterator[Wheel]:
    made = Wheel(workspace, clock)
    yield made
    made.worker.close()


def test_a_good_week_starts_nothing(wheel: Wheel) -> None:
    tick = wheel.week()
    assert {window.kind for window in tick.windows} >= {"input", "prediction", "performance"}
    assert wheel.alerts() == []
    assert tick.cycle is None
    assert wheel.look().windows == []
    assert not wheel.worker.driving


def test_an_alert_starts_a_cycle_of_the_recipe_in_production(wheel: Wheel) -> None:
    tick = wheel.week(reverse=True)
    [alert] = [alert for alert in tick.alerts if alert.kind == "performance"]
    cycle = wheel.end(tick.cycle)
    assert (cycle.trigger.kind, cycle.trigger.actor, cycle.trigger.alert) == ("alert", "monitor", alert.id)
    assert cycle.trigger.reason == alert.sentence
    assert cycle.state == "promoted"
    assert tick.held_back is None
    assert [found.cycle for found in wheel.alerts()] == [cycle.id]
    assert Registry(wheel.workspace).get("toy@production").params == {"depth": 9}
    assert wheel.look().cycle is None
    assert len(wheel.cycles.list()) == 2


def test_a_cycle_is_held_back_until_it_is_time_and_then_started(wheel: Wheel) -> None:
    wheel.at = FIRST + DAY
    held = wheel.week(reverse=True)
    assert held.cycle is None
    assert [alert.kind for alert in held.alerts if alert.kind == "performance"] == ["performance"]
    assert (held.held_back or "").startswith("the last cycle was less than 14d ago; ")
    still = wheel.week(reverse=True)
    assert still.cycle is not None  # no new alert, but what it told of still holds
    assert wheel.end(still.cycle).trigger.alert == wheel.alerts()[0].id


def test_what_has_passed_by_then_starts_nothing(tmp_path: Path, clock: ManualClock) -> None:
    """A bad week, then good ones, until the cooldown is over and the bad one out of sight."""
    with opened(make(tmp_path / "patient", cooldown='"21d"'), clock) as workspace:
        wheel = Wheel(workspace, clock)
        wheel.at = FIRST + DAY
        assert wheel.week(reverse=True).held_back
        ticks = [wheel.week() for _ in range(2)]
        assert [tick.cycle for tick in ticks] == [None, None]
        states = [w.state for tick in ticks for w in tick.windows if w.kind == "performance"]
        assert states[0] == "alert"
        assert states[1] != "alert"
        assert wheel.alerts()[0].cycle is None


@pytest.mark.soak
def test_alerts_that_nobody_asked_to_act_on_start_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with opened(make(tmp_path / "quiet", on="[]"), clock) as workspace:
        tick = Wheel(workspace, clock).week(reverse=True)
        assert tick.alerts
        assert (tick.cycle, tick.held_back) == (None, None)


@pytest.mark.soak
def test_where_somebody_else_drives_no_cycle_is_started_until_one_can(wheel: Wheel) -> None:
    with exclusive(wheel.workspace.root / LOCK, Holder(1, "somebody")):
        tick = wheel.week(reverse=True)
    assert tick.cycle is None
    assert "somebody (process 1) is driving this workspace" in (tick.held_back or "")
    assert [cycle.id for cycle in wheel.cycles.list()] == [wheel.first.id]
    assert wheel.end(wheel.look().cycle).trigger.alert == wheel.alerts()[0].id


def test_a_cycle_that_was_started_right_before_a_crash_is_known_to_its_alert(
    wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Monitors, "mark_cycle", die)
        with pytest.raises(KeyboardInterrupt):
            wheel.week(reverse=True)
    [cycle] = wheel.cycles.list(running=True)
    assert wheel.alerts()[0].cycle is None
    wheel.worker.close()
    assert [again.id for again in wheel.worker.start()] == [cycle.id]
    wheel.end(cycle.id)
    wheel.at += 30 * DAY
    assert wheel.look().cycle is None
    assert wheel.alerts()[0].cycle == cycle.id
    assert len(wheel.cycles.list()) == 2
