from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retrain.account import account
from retrain.wheel import BY_HAND, SECOND, make, opened, turn
from treadle.experiment import Experiments, NewRun
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import BudgetExceeded, ConfigError, Conflict, NotFound, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.retrain import Cycle, Cycles, NewCycle, store

DAY = timedelta(days=1)
NEW = NewCycle(trigger=BY_HAND)


@pytest.fixture
def cycles(toy: Path, clock: ManualClock, metadata_url: str, tmp_path: Path):
    """On each kind of metadata store."""
    with opened(make(tmp_path / "on", metadata=metadata_url), clock) as workspace:
        yield Cycles(workspace)


def test_a_cycle_begins_with_all_its_stages_ahead(cycles: Cycles) -> None:
    cycle = cycles.create(NEW)
    assert cycle == cycles.get(cycle.id)
    assert (cycle.model, cycle.goal, cycle.state, cycle.as_of) == ("toy", "deploy", "running", SECOND)
    assert [stage.name for stage in cycle.stages] == [
        "data", "check", "train", "evaluate", "register", "approve", "deploy",
    ]  # fmt: skip
    assert {stage.state for stage in cycle.stages} == {"pending"}
    assert cycle.trigger == BY_HAND


def test_one_cycle_runs_a_model_at_a_time(cycles: Cycles) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = [future.exception() for future in [pool.submit(cycles.create, NEW) for _ in range(4)]]
    refused = [error for error in results if error is not None]
    assert len(refused) == 3
    assert all(isinstance(error, Conflict) for error in refused)
    assert str(refused[0]).startswith("a cycle of toy is running already")
    [running] = cycles.list(running=True)
    cycles.fail(running.id, TreadleError("enough"))
    assert cycles.create(NEW).id != running.id


def test_a_cycle_that_fails_keeps_its_reason_and_its_end(cycles: Cycles) -> None:
    cycle = cycles.create(NEW)
    with cycles._ws.database.write() as connection:
        store.update(connection, store.replace_stage(cycle, "check", state="running"))
    failed = cycles.fail(cycle.id, TreadleError("the disk is full", where="here", fix="free some"))
    assert failed == cycles.get(cycle.id)
    assert (failed.state, failed.error) == ("failed", "here: the disk is full\n  → free some")
    check = failed.stages[1]
    assert (check.state, check.summary) == ("failed", "the disk is full")
    assert failed.stages[0].state == "pending"
    assert failed.ended_at is not None
    assert cycles.fail(cycle.id, TreadleError("something else")) == failed


def test_cycles_are_listed_oldest_first(cycles: Cycles, clock: ManualClock) -> None:
    made = []
    for days in range(3):
        clock.at = SECOND + days * DAY
        made.append(cycles.create(NEW).id)
        if days < 2:
            cycles.fail(made[-1], TreadleError("enough"))
    assert [cycle.id for cycle in cycles.list()] == made
    assert [cycle.id for cycle in cycles.list("toy", running=True)] == made[2:]
    assert cycles.list("other") == []
    with cycles._ws.database.read() as connection:
        assert [c.id for c in store.select(connection, "toy", since=SECOND)] == made[1:]


def test_an_unknown_cycle_is_told_the_nearest(cycles: Cycles) -> None:
    cycle = cycles.create(NEW)
    with pytest.raises(NotFound) as caught:
        cycles.get(cycle.id[:-1] + "!")
    assert cycle.id in str(caught.value)
    with pytest.raises(NotFound):
        cycles.fail("cycle_nope", TreadleError("enough"))


def test_the_parameters_of_a_run_can_be_taken(cycles: Cycles) -> None:
    run = NewRun(id="run_1", name="one", started_at=SECOND, params={"depth": 9, "rate": 0.5})
    Experiments(cycles._ws).create(run)
    cycle = cycles.create(NewCycle(trigger=BY_HAND, like="run_1", params={"rate": 0.1}))
    with cycles._ws.database.read() as connection:
        found = store.load(connection, cycle.id)
    assert found is not None
    assert found[1].params == {"depth": 9, "rate": 0.1}
    cycles.fail(cycle.id, TreadleError("enough"))
    with pytest.raises(NotFound):
        cycles.create(NewCycle(trigger=BY_HAND, like="run_nope"))
    assert len(cycles.list()) == 1


def test_a_project_without_training_has_no_cycle(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").write_text('[project]\nname = "bare"\n')
    with opened(tmp_path) as workspace:
        for call in (Cycles(workspace).create, Cycles(workspace).plan):
            with pytest.raises(ConfigError, match=r"no \[train\]"):
                call(NEW)


# ── the plan ─────────────────────────────────────────────────────────────────


def sentences(cycles: Cycles, asked: NewCycle = NEW) -> dict[str, str]:
    return {stage.name: stage.sentence for stage in cycles.plan(asked).stages}


def test_a_plan_says_what_each_stage_would_do_and_changes_nothing(cycles: Cycles) -> None:
    workspace = cycles._ws
    before = account(workspace)
    plan = cycles.plan(NewCycle(trigger=BY_HAND, params={"depth": 8}))
    told = {stage.name: stage.sentence for stage in plan.stages}
    assert (plan.model, plan.as_of, plan.problems, plan.cpu_seconds) == ("toy", SECOND, (), None)
    assert (
        "on a branch of its own; train on 2026-01-30 to 2026-02-15, hold out 2026-02-15 to 2026-03-01"
        in (told["data"])
    )
    assert told["train"] == "run `python train.py` 2 times with different seeds with depth=8"
    assert "alone: nothing is in production yet" in told["evaluate"]
    assert told["approve"].startswith("promote it if every check passes")
    assert account(workspace) == before
    assert not (workspace.root / "trained.txt").exists()
    assert list((workspace.state / "blobs").rglob("*")) == []


def test_a_plan_knows_what_is_in_production_and_what_a_cycle_costs(workspace: Workspace) -> None:
    cycle = turn(workspace)
    cycles = Cycles(workspace)
    before = account(workspace)
    plan = cycles.plan(NEW)
    assert plan.cpu_seconds == cycle.cpu_seconds
    assert "against toy/1" in sentences(cycles)["evaluate"]
    assert sentences(cycles)["deploy"].endswith("instead of toy/1, without a failed request")
    assert list(sentences(cycles, NewCycle(trigger=BY_HAND, goal="train"))) == [
        "data", "check", "train", "evaluate",
    ]  # fmt: skip
    assert account(workspace) == before


def test_a_plan_names_what_will_go_wrong(workspace: Workspace, clock: ManualClock) -> None:
    cycles = Cycles(workspace)
    turn(workspace)
    clock.at = datetime(2026, 9, 1, tzinfo=UTC)
    assert cycles.plan(NEW).problems == (
        "nothing to hold out after 2026-08-18: rows@v1 covers 2025-12-01 to 2026-03-30",
    )
    clock.at = datetime(2025, 12, 10, tzinfo=UTC)
    assert [problem.partition(":")[0] for problem in cycles.plan(NEW).problems] == [
        "nothing to train on before 2025-11-26"
    ]
    (workspace.root / "data" / "rows.parquet").unlink()
    assert cycles.plan(NEW).problems == ("data/rows.parquet does not exist ([data.rows] path)",)


def test_a_plan_names_a_budget_that_is_used_up(workspace: Workspace) -> None:
    turn(workspace, goal="train")
    file = workspace.root / "treadle.toml"
    file.write_text(file.read_text() + '[budget]\nmonth = "0.01s"\n[registry]\napproval = "manual"\n')
    with opened(workspace.root, workspace.clock) as limited:
        cycles = Cycles(limited)
        [problem] = cycles.plan(NEW).problems
        assert "the budget is" in problem
        assert sentences(cycles)["approve"] == "hold it until `treadle models approve`"
        with pytest.raises(BudgetExceeded):
            raise _error(turn(limited))


def test_a_cycle_that_passes_its_budget_says_so_and_a_plan_says_it_before(workspace: Workspace) -> None:
    """The budget keeps further replicas from being trained; one that runs is not stopped by it."""
    file = workspace.root / "treadle.toml"
    file.write_text(file.read_text().replace("replicas = 2", "replicas = 1") + '[budget]\ncycle = "0.01s"\n')
    with opened(workspace.root, workspace.clock) as limited:
        cycle = turn(limited)
        [stage] = [one for one in cycle.stages if one.name == "train"]
        assert "over its budget of 0.01s" in stage.summary
        [problem] = Cycles(limited).plan(NEW).problems
        assert problem.startswith("a cycle takes about ")
        assert problem.endswith("of CPU time; its budget is 0.01s ([budget] cycle)")


def _error(cycle: Cycle) -> Exception:
    """The reason of a cycle that failed for its budget."""
    assert cycle.state == "failed"
    assert "the budget is" in (cycle.error or "")
    return BudgetExceeded(cycle.error or "")
