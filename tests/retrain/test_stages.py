"""Every way in which a cycle can end, on real data with a real training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain.account import account, check_whole, trained
from retrain.wheel import FIRST, SECOND, make, opened, turn, turned
from treadle.deploy import Deployments, ReplicaReport
from treadle.evaluate import CheckRequest, Checks, Evaluations, Verdict
from treadle.experiment import Experiments
from treadle.govern import Usages
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import NotFound, StorageFull
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import Cycle, Cycles, NewCycle, stages
from treadle.retrain.stages import perform
from treadle.retrain.step import CycleContext, Step
from treadle.train import Trainer

DAY = timedelta(days=1)
Project = Callable[..., Workspace]


@pytest.fixture
def project(tmp_path: Path, clock: ManualClock) -> Iterator[Project]:
    """Makes a project of its own and opens it."""
    with ExitStack() as stack:
        yield lambda *args, **changes: stack.enter_context(
            opened(make(tmp_path / "p", *args, **changes), clock)
        )


def states(cycle: Cycle) -> dict[str, str]:
    return {stage.name: stage.state for stage in cycle.stages}


def summary(cycle: Cycle, name: str) -> str:
    return next(stage.summary for stage in cycle.stages if stage.name == name)


def moves(workspace: Workspace) -> list[tuple[int, str]]:
    return [(change.number, change.after) for change in Registry(workspace).history("toy")]


def test_one_after_the_other_on_each_metadata_store(
    project: Project, clock: ManualClock, metadata_url: str
) -> None:
    """A first version, a better one, the same again; and doing the stages again does nothing."""
    workspace = project(metadata=metadata_url)
    clock.at = FIRST
    first = turn(workspace)
    assert (first.state, first.version, first.error) == ("promoted", 1, None)
    assert set(states(first).values()) == {"done"}
    clock.at = SECOND
    second = turn(workspace, params={"depth": 4})
    assert (second.state, second.version) == ("promoted", 2)
    again = turn(workspace, params={"depth": 4})
    assert (again.state, again.version, again.runs) == ("unchanged", None, ())
    assert list(states(again).values()) == ["done", *["skipped"] * 6]
    assert summary(again, "data").endswith("; toy/2 was made of exactly this")
    assert moves(workspace) == [
        (1, "candidate"), (1, "production"), (2, "candidate"), (1, "deprecated"), (2, "production"),
    ]  # fmt: skip
    assert [(r.version, r.cycle) for r in Cycles(workspace).reigns("toy")] == [(1, first.id), (2, second.id)]
    check_whole(workspace)
    before = account(workspace)
    assert not any(perform(workspace, c.id, s.name) for c in (first, second, again) for s in c.stages)
    assert account(workspace) == before


def test_a_stage_says_how_far_it_is_until_somebody_ends_the_cycle(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def told() -> str:
        return summary(Cycles(workspace).list()[-1], "data")

    def data(context: CycleContext) -> Step:
        for line in ("1 of 3", "2 of 3"):
            context.say(line)
            seen.append(told())
        monkeypatch.setattr(stages, "_TOLD_EVERY", 0.0)
        context.say("3 of 3")
        seen.append(told())
        Cycles(workspace).fail(context.cycle.id, NotFound("it is gone"))
        context.say("4 of 3")
        seen.append(told())
        raise NotFound("it is gone")

    monkeypatch.setitem(stages._STAGES, "data", data)
    assert turn(workspace).state == "failed"
    assert seen == ["1 of 3", "1 of 3", "3 of 3", "it is gone"]


def test_what_is_known_of_a_promoted_version(workspace: Workspace) -> None:
    cycle = turn(workspace, params={"depth": 7}, name="seven", experiment="depth")
    version = Registry(workspace).get("toy@production")
    assert (version.cycle, version.run, version.seed) == (cycle.id, cycle.runs[0], 0)
    assert version.params == {"depth": 7}
    assert {data.role: data.rows for data in version.data} == {"train": 960, "holdout": 829}
    assert version.evaluations == cycle.evaluations
    data, model = (Evaluations(workspace).get(e) for e in cycle.evaluations)
    assert (data.kind, data.subject, data.outcome) == ("data", "rows@v1", "pass")
    assert (model.kind, model.subject, model.baseline, model.outcome) == ("model", version.run, None, "pass")
    assert model.metrics == version.metrics
    assert model.noise is not None
    shipped, other = (Experiments(workspace).get(run) for run in cycle.runs)
    assert (shipped.name, shipped.experiment, shipped.cycle) == ("seven", "depth", cycle.id)
    assert (shipped.seed, other.seed) == (0, 1)
    assert shipped.metrics["holdout.roc_auc"] == version.metrics["roc_auc"]
    assert shipped.metrics["loss"] == pytest.approx(1 / 3)
    deployed = Deployments(workspace).status("toy").desired
    assert deployed is not None
    assert (deployed.version, deployed.actor, deployed.state) == (1, f"cycle:{cycle.id}", "pending")
    assert summary(cycle, "deploy") == "toy/1 in production, revision 1, served as soon as `treadle up` runs"
    spent = Usages(workspace).spending("toy", workspace.clock.now())
    assert spent.cpu_seconds == pytest.approx(cycle.cpu_seconds)
    assert cycle.cpu_seconds > 0
    assert cycle.ended_at is not None
    assert cycle.ended_at >= cycle.started_at


def test_a_version_is_judged_again_beside_another(project: Project, clock: ManualClock) -> None:
    """By its rows alone: it is one of the seeds by which a cycle compares recipes."""
    workspace = project(bound="0.6\nrecipe = true\nmargin = 0.5")
    for clock.at in (FIRST, SECOND):
        turn(workspace, params={"depth": clock.at.month})
    found = Checks(workspace).run(CheckRequest(model="toy/2", against="toy/1", only=("model",)))
    [evaluation] = found.evaluations
    assert (found.outcome, evaluation.basis.candidate, evaluation.baseline) == ("pass", "toy/2", "toy/1")
    assert {one.check for one in evaluation.verdicts} >= {"bound", "no_worse", "overlap"}
    assert "recipe" not in {one.check for one in evaluation.verdicts}
    [cycle] = [one for one in Cycles(workspace).list() if one.version == 2]
    before = {(one.check, one.subject, one.metric): one.estimate for one in judged(workspace, cycle)}
    assert all(before[one.check, one.subject, one.metric] == one.estimate for one in evaluation.verdicts)


def judged(workspace: Workspace, cycle: Cycle) -> tuple[Verdict, ...]:
    return Evaluations(workspace).get(cycle.evaluations[1]).verdicts


@pytest.mark.soak
def test_recipes_are_compared_over_their_seeds(tmp_path: Path, clock: ManualClock) -> None:
    """Five trainings of each recipe: production's other replicas are found by its recipe."""
    folder = make(tmp_path / "p")
    toml = folder / "treadle.toml"
    text = toml.read_text().replace("replicas = 2", "replicas = 5")
    toml.write_text(text.replace("bound = 0.6", "bound = 0.6\nmargin = 0.05\nrecipe = true"))
    with opened(folder, clock) as workspace:
        clock.at = FIRST
        turn(workspace)
        clock.at = SECOND
        second = turn(workspace, params={"depth": 4})
        verdicts = Evaluations(workspace).get(second.evaluations[1]).verdicts
        (recipe,) = [verdict for verdict in verdicts if verdict.check == "recipe"]
        assert (recipe.n, recipe.unit) == (5, "seeds")
        assert recipe.outcome in {"pass", "warn"}
        assert "mean roc_auc of 5 seeds is" in recipe.sentence
        (overlap,) = [verdict for verdict in verdicts if verdict.check == "overlap"]
        assert overlap.outcome == "pass"


def test_a_candidate_that_is_worse_is_refused(project: Project, clock: ManualClock) -> None:
    """It learned from a stretch in which everything was the other way round."""
    workspace = project(turned(52, 76, per_day=60))
    clock.at = FIRST
    turn(workspace)
    clock.at = SECOND
    cycle = turn(workspace)
    assert (cycle.state, cycle.version) == ("refused", 2)
    assert states(cycle)["approve"] == "done"
    assert states(cycle)["deploy"] == "skipped"
    _, model = (Evaluations(workspace).get(e) for e in cycle.evaluations)
    assert (model.outcome, model.baseline) == ("fail", "toy/1")
    assert summary(cycle, "approve").startswith(
        next(v.sentence for v in model.verdicts if v.outcome == "fail")
    )
    assert Registry(workspace).get("toy/2").status == "refused"
    assert Registry(workspace).get("toy@production").number == 1
    assert len(Deployments(workspace).history("toy")) == 1
    told = timeline(workspace.database, "model:toy")[-2:]
    assert [event.kind for event in told] == ["refused", "cycle_refused"]
    assert cycle.cause == told[1].facts["cause"] == "bound overall"


def test_data_that_fails_its_checks_is_not_trained_on(project: Project) -> None:
    workspace = project(max_null="{}")
    cycle = turn(workspace)
    assert (cycle.state, cycle.version, cycle.runs) == ("refused", None, ())
    assert list(states(cycle).values()) == ["done", "done", *["skipped"] * 5]
    assert "hour" in summary(cycle, "check")
    assert not (workspace.root / "trained.txt").exists()
    assert Registry(workspace).models() == []


def test_days_whose_labels_are_not_known_yet_have_lost_no_rows(project: Project) -> None:
    """Data are as new as the newest row, not as the newest label."""
    workspace = project(max_null='{ hour = 0.1 }\nfreshness = "1d"\nmax_volume_change = 0.1')
    cycle = turn(workspace)
    told = {one.check: one.sentence for one in Evaluations(workspace).get(cycle.evaluations[0]).verdicts}
    assert told["volume"].startswith("at: Saturday 2026-02-28 has 60 rows, as many as the 60 expected")
    assert "the newest row is of 2026-02-28 23:" in told["freshness"]


def test_with_manual_approval_a_version_is_held(project: Project) -> None:
    workspace = project()
    text = (workspace.root / "treadle.toml").read_text()
    (workspace.root / "treadle.toml").write_text(text + '[registry]\napproval = "manual"\n')
    with opened(workspace.root, workspace.clock) as manual:
        cycle = turn(manual)
        assert (cycle.state, cycle.version) == ("held", 1)
        assert summary(cycle, "approve").startswith("held for approval: ")
        assert states(cycle)["deploy"] == "skipped"
        assert Registry(manual).get("toy/1").status == "candidate"
        assert Deployments(manual).history("toy") == []


def test_a_verdict_that_cannot_tell_holds(project: Project) -> None:
    workspace = project(bound="0.73")
    cycle = turn(workspace)
    assert cycle.state == "held"
    assert Evaluations(workspace).get(cycle.evaluations[1]).outcome == "inconclusive"
    assert Registry(workspace).get("toy/1").status == "candidate"


def test_an_experiment_trains_once_and_changes_nothing_in_production(workspace: Workspace) -> None:
    cycle = turn(workspace, goal="train", params={"depth": 5})
    assert cycle.state == "trained"
    assert list(states(cycle)) == ["data", "check", "train", "evaluate"]
    assert len(cycle.runs) == 1
    assert Experiments(workspace).get(cycle.runs[0]).metrics["holdout.roc_auc"] > 0.6
    assert Registry(workspace).models() == []
    assert summary(cycle, "evaluate").endswith("on 829 held-out rows")


def test_what_was_trained_before_is_not_trained_again(workspace: Workspace) -> None:
    tried = turn(workspace, goal="train")
    cycle = turn(workspace)
    assert cycle.state == "promoted"
    assert cycle.runs[0] == tried.runs[0]
    assert summary(cycle, "train").endswith("; 1 found trained already (same recipe)")
    assert len(trained(workspace.root)) == 2
    other = Trainer(workspace).trained(Registry(workspace).get("toy/1").recipe, 1)
    assert other is not None
    assert cycle.cpu_seconds == other.job.cpu_seconds
    assert Usages(workspace).spending("toy", workspace.clock.now()).cpu_seconds == pytest.approx(
        tried.cpu_seconds + cycle.cpu_seconds
    )


def _crash(workspace: Workspace) -> None:
    (workspace.root / "train.py").write_text("raise SystemExit('no such luck')")


def _no_model(workspace: Workspace) -> None:
    (workspace.root / "train.py").write_text("import treadle\nwith treadle.start_run() as run: run.log(a=1)")


def _no_data(workspace: Workspace) -> None:
    (workspace.root / "data" / "rows.parquet").unlink()


def _rubbish(workspace: Workspace) -> None:
    (workspace.root / "data" / "rows.parquet").write_bytes(b"rubbish")


def _long_ago(workspace: Workspace) -> None:
    assert isinstance(workspace.clock, ManualClock)
    workspace.clock.at = FIRST - 1000 * DAY


@pytest.mark.parametrize(
    ("spoil", "stage", "said"),
    [
        (_no_data, "data", "rows.parquet"),
        (_rubbish, "data", "rows.parquet"),
        (_long_ago, "data", "rows@v1"),
        (_crash, "train", "no such luck"),
        (_no_model, "train", "logged no model"),
    ],
)
def test_a_stage_that_cannot_do_its_work_fails_the_cycle(
    spoil: Callable[[Workspace], None], stage: str, said: str, workspace: Workspace
) -> None:
    spoil(workspace)
    cycle = turn(workspace)
    assert cycle.state == "failed"
    assert said in (cycle.error or "")
    failed = [s for s in cycle.stages if s.state == "failed"]
    assert [s.name for s in failed] == [stage]
    assert failed[0].ended_at is not None
    assert Registry(workspace).models() == []
    assert not any(perform(workspace, cycle.id, s.name) for s in cycle.stages)
    assert Cycles(workspace).get(cycle.id) == cycle


def test_what_a_crashed_training_used_is_spent(workspace: Workspace) -> None:
    _crash(workspace)
    cycle = turn(workspace)
    assert cycle.state == "failed"
    assert cycle.cpu_seconds > 0
    assert Usages(workspace).cycle_used(cycle.id) == cycle.cpu_seconds
    assert Usages(workspace).spending(cycle.model, workspace.clock.now()).cpu_seconds == cycle.cpu_seconds


def test_a_bug_ends_the_cycle_and_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(stages._STAGES, "check", stumble)
    cycle = turn(workspace)
    assert cycle.state == "failed"
    assert "stage check stopped on an unexpected ZeroDivisionError: by zero" in (cycle.error or "")


def test_a_result_that_cannot_be_kept_ends_the_cycle(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would seem to run for ever to whoever waits for it."""

    def full(*_: Any) -> None:
        raise StorageFull("the disk is full; the change was not made")

    monkeypatch.setattr(stages, "_finish", full)
    cycle = turn(workspace)
    assert (cycle.state, cycle.error) == ("failed", "the disk is full; the change was not made")
    assert states(cycle)["data"] == "failed"


def test_the_month_and_the_cycle_have_budgets(project: Project) -> None:
    workspace = project(replicas="3")
    text = (workspace.root / "treadle.toml").read_text()
    (workspace.root / "treadle.toml").write_text(text + '[budget]\ncycle = "0.01s"\n')
    with opened(workspace.root, workspace.clock) as limited:
        cycle = turn(limited)
        assert cycle.state == "failed"
        assert "the cycle has used up its budget of 0.01s of CPU time" in (cycle.error or "")
        assert len(trained(limited.root)) < 3
    (workspace.root / "treadle.toml").write_text(text + '[budget]\nmonth = "0.01s"\n')
    with opened(workspace.root, workspace.clock) as limited:
        before = trained(limited.root)
        cycle = turn(limited)
        assert cycle.state == "failed"
        assert "the budget is" in (cycle.error or "")
        assert states(cycle)["train"] == "failed"
        assert trained(limited.root) == before


def test_a_version_that_no_replica_can_load_fails_and_the_old_one_stays(
    workspace: Workspace, clock: ManualClock
) -> None:
    clock.at = FIRST
    turn(workspace)
    clock.at = SECOND
    deployments = Deployments(workspace)

    def report(**what: Any) -> None:
        deployments.report(ReplicaReport(replica="a", model="toy", url="http://x", revision=1, **what))

    with ThreadPoolExecutor(1) as pool:
        turning = pool.submit(turn, workspace)
        while not turning.done():
            desired = deployments.desired("toy")
            assert desired is not None
            report(**({"failed": 2, "error": "no ONNX"} if desired.revision == 2 else {}))
            time.sleep(0.02)
        cycle = turning.result()
    assert cycle.state == "failed"
    assert "the inference server can't load it: no ONNX" in (cycle.error or "")
    assert states(cycle)["deploy"] == "failed"
    assert Registry(workspace).get("toy@production").number == 1
    assert Registry(workspace).get("toy/2").status == "candidate"
    assert [r.state for r in deployments.history("toy")] == ["serving", "failed"]


def test_a_cycle_that_is_not_there(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="cycle_nope"):
        perform(workspace, "cycle_nope", "data")
    cycle = Cycles(workspace).create(NewCycle(trigger=turn(workspace, goal="train").trigger))
    with pytest.raises(NotFound, match="did you mean"):
        perform(workspace, cycle.id[:-1], "data")
