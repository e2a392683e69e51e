"""Who drives, and what becomes of what was interrupted; see test_durability.py for the proof."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from retrain.account import trained
from retrain.wheel import BY_HAND, SECOND, Drivers, Kill, make, opened, set_time, wait_for
from treadle.kernel.errors import Busy
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import Cycles, NewCycle, Worker

BEGUN = Kill("before", "treadle.retrain.worker.perform", 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project in which every process believes that it is 1 March 2026."""
    made = make(tmp_path / "toy", replicas="1")
    with opened(made) as workspace:
        set_time(workspace, SECOND)
    return made


def test_a_cycle_is_driven_to_its_end_once(workspace: Workspace) -> None:
    worker, cycles = Worker(workspace, "a test"), Cycles(workspace)
    try:
        assert not worker.driving
        assert worker.start() == []
        assert worker.driving
        assert worker.start() == []
        cycle = cycles.create(NewCycle(trigger=BY_HAND))
        for _ in range(3):
            worker.submit(cycle)
        wait_for(lambda: cycles.get(cycle.id).state != "running")
        worker.submit(cycle)
    finally:
        worker.close()
    assert not worker.driving
    assert cycles.get(cycle.id).state == "promoted"
    assert len(trained(workspace.root)) == 2
    assert [version.number for version in Registry(workspace).list("toy")] == [1]


def test_only_one_drives(workspace: Workspace, root: Path) -> None:
    worker = Worker(workspace, "the first", url="http://here")
    worker.start()
    try:
        with opened(workspace.root) as again:
            with pytest.raises(Busy, match=r"the first \(process \d+\) is driving this workspace"):
                Worker(again, "the second").start()
            worker.close()
            second = Worker(again, "the second")
            second.start()
            second.close()
    finally:
        worker.close()


def test_submitting_takes_the_wheel_and_what_was_interrupted(root: Path, drivers: Drivers) -> None:
    assert drivers(root, "run", kill=BEGUN) < 0
    with opened(root) as workspace:
        cycles = Cycles(workspace)
        [interrupted] = cycles.list(running=True)
        worker = Worker(workspace, "a test")
        try:
            assert [cycle.id for cycle in worker.start()] == [interrupted.id]
            wait_for(lambda: cycles.get(interrupted.id).state == "promoted")
        finally:
            worker.close()


def test_closing_lets_a_running_cycle_be_gone_on_with(root: Path) -> None:
    hold = root / "hold"
    hold.touch()
    with opened(root) as workspace:
        cycles, worker = Cycles(workspace), Worker(workspace, "a test")
        cycle = cycles.create(NewCycle(trigger=BY_HAND))
        worker.submit(cycle)
        wait_for((root / "trained.txt").exists)
        worker.close()
        assert cycles.get(cycle.id).state == "running"
        hold.unlink()
        following = Worker(workspace, "another")
        try:
            assert [again.id for again in following.start()] == [cycle.id]
            wait_for(lambda: cycles.get(cycle.id).state == "promoted")
        finally:
            following.close()
    assert len(trained(root)) == 1


def test_a_cycle_that_kills_whoever_drives_it_is_given_up(root: Path, drivers: Drivers) -> None:
    assert drivers(root, "run", kill=BEGUN) < 0
    with sqlite3.connect(root / ".treadle" / "workflows.db") as workflows:
        assert workflows.execute("SELECT status FROM workflow_status").fetchall() == [("PENDING",)]
        workflows.execute("UPDATE workflow_status SET recovery_attempts = 50")  # as if for the 50th time
    workflows.close()
    assert drivers(root, "run") == 2
    said = (root / "driver.txt").read_text()
    assert "the cycle was interrupted again and again and has been given up" in said
    with opened(root) as workspace:
        [cycle] = Cycles(workspace).list()
        assert cycle.state == "failed"
    assert drivers(root, "run") == 0  # the next one has the way free
