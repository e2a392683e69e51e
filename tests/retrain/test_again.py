"""Cycles seconds apart, as they are in life: what is new is the data, not the time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from projects import fill, rows
from retrain.account import trained
from retrain.wheel import FIRST, turn
from treadle.kernel.clock import ManualClock
from treadle.kernel.workspace import Workspace

SECONDS = timedelta(seconds=7, microseconds=123_456)


def test_only_new_rows_make_a_new_model(workspace: Workspace, toy: Path, clock: ManualClock) -> None:
    clock.at = FIRST + timedelta(hours=1)
    everything = rows(120, 60)
    fill(toy, everything.slice(0, 48 * 60))
    first = turn(workspace)
    assert first.state == "promoted"
    clock.at += SECONDS
    again = turn(workspace)
    assert (again.state, again.runs) == ("unchanged", ())
    assert again.as_of == first.as_of + SECONDS
    clock.at += SECONDS
    fill(toy, everything.slice(0, 49 * 60))
    after = turn(workspace)
    assert after.state in {"promoted", "refused", "held"}
    assert len(after.runs) == 2
    clock.at += timedelta(days=1)
    later = turn(workspace)  # no new rows, but older ones leave the window
    assert len(later.runs) == 2
    assert len({*first.runs, *after.runs, *later.runs}) == 6


def test_an_experiment_is_not_trained_again_for_production(
    workspace: Workspace, toy: Path, clock: ManualClock
) -> None:
    tried = turn(workspace, goal="train")
    assert tried.state == "trained"
    clock.at += SECONDS
    cycle = turn(workspace)
    assert cycle.state == "promoted"
    assert cycle.runs[0] == tried.runs[0]
    assert len(trained(toy)) == 2
