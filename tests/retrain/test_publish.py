"""What a person can do with a version: let it in, or have an earlier one back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retrain.wheel import FIRST, SECOND, make, opened, turn, turned
from treadle.deploy import ArmCounts, Deployments, ReplicaReport, TrialReport
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, Refused
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, Catalog, NewCatalogVersion, Registry
from treadle.retrain import Cycles, in_production
from treadle.retrain.publish import approve, chosen, move_stage, redeploy
from treadle.retrain.settling import settle


@pytest.fixture
def manual(tmp_path: Path, clock: ManualClock) -> Iterator[Workspace]:
    """A project in which a person approves; its pattern is reversed for a while before March."""
    root = make(tmp_path / "manual", turned(52, 76, per_day=60), replicas="1")
    file = root / "treadle.toml"
    file.write_text(file.read_text() + '[registry]\napproval = "manual"\n')
    with opened(root, clock) as workspace:
        clock.at = FIRST
        yield workspace


def served(workspace: Workspace) -> list[tuple[int, int]]:
    return [(r.revision, r.version) for r in Deployments(workspace).history("toy")]


def _was_in_production(manual: Workspace, clock: ManualClock) -> None:
    """What is told of a moment: version, traffic, approver and evidence."""
    [told] = in_production(manual, "toy", FIRST)
    assert (told.ref, told.share, told.revision, told.reign.actor) == ("toy/1", None, None, "ada")
    assert [(one.actor, one.reason) for one in told.approvals] == [("ada", "looks good")]
    assert [one.outcome for one in told.evidence] == ["pass", "pass"]
    assert "nothing to be worse than" in told.evidence[1].sentence
    assert in_production(manual, "toy", FIRST - timedelta(seconds=1)) == []

    clock.at = FIRST + timedelta(hours=1)
    Deployments(manual).report(ReplicaReport(replica="r", model="toy", url="http://x", revision=1))
    Approvals(manual).withdraw("toy/1", "ada", "not so sure")
    catalog = Catalog(manual)
    for _ in range(2):
        beside = catalog.create_version(NewCatalogVersion(model="toy", source="s3://bucket/m"))
        catalog.move_version("toy", str(beside.number), "Production")
    later = datetime.now(UTC) + timedelta(days=1)
    found = {one.ref: one for one in in_production(manual, "toy", later)}
    assert {ref: (one.share, one.revision) for ref, one in found.items()} == {
        "toy/1": (1.0, 1),
        "toy/2": (0.0, None),
        "toy/3": (0.0, None),
    }
    assert found["toy/1"].approvals == ()
    assert (found["toy/2"].reign.actor, found["toy/2"].evidence) == ("mlflow", ())
    catalog.delete_version("toy", "3")
    then = found["toy/3"].reign.since
    assert {one.ref: one.deleted for one in in_production(manual, "toy", then)}["toy/3"]
    assert "toy/3" not in {one.ref for one in in_production(manual, "toy", later)}
    catalog.delete_version("toy", "2")


def test_a_held_version_is_let_in_once(manual: Workspace, clock: ManualClock) -> None:
    assert turn(manual).state == "held"
    revision = approve(manual, "toy/1", "ada", "looks good").revision
    version = Registry(manual).get("toy/1")
    assert (version.status, version.approved_by) == ("production", "ada")
    assert (revision.version, revision.actor, revision.reason) == (1, "ada", "looks good")
    assert not Registry(manual).history("toy")[-1].override
    [reign] = Cycles(manual).reigns("toy")
    assert (reign.version, reign.actor, reign.reason) == (1, "ada", "looks good")
    assert reign.cycle == Cycles(manual).list()[0].id
    _was_in_production(manual, clock)
    with pytest.raises(Conflict, match="toy/1 is production; only a version on its way"):
        approve(manual, "toy/1", "ada", "again")
    with pytest.raises(NotFound):
        approve(manual, "toy/7", "ada", "which?")
    assert served(manual) == [(1, 1)]


def test_what_the_gate_could_not_tell_is_let_in_as_an_override(tmp_path: Path, clock: ManualClock) -> None:
    with opened(make(tmp_path / "unsure", replicas="1", bound="0.73"), clock) as workspace:
        assert turn(workspace).state == "held"
        approve(workspace, "toy/1", "ada", "we need one")
        assert Registry(workspace).history("toy")[-1].override


def test_what_was_refused_is_not_let_in(manual: Workspace, clock: ManualClock) -> None:
    turn(manual)
    approve(manual, "toy/1", "ada", "looks good")
    clock.at = SECOND
    assert turn(manual).state == "refused"
    for call in (approve, redeploy):
        with pytest.raises(Conflict, match="toy/2 is refused"):
            call(manual, "toy/2", "ada", "please")
    assert served(manual) == [(1, 1)]


def test_an_earlier_version_can_be_had_back(tmp_path: Path, clock: ManualClock) -> None:
    with opened(make(tmp_path / "back", replicas="1"), clock) as workspace:
        for clock.at in (FIRST, SECOND):
            assert turn(workspace).state == "promoted"
        redeploy(workspace, "toy/1", "ada", "the new one puzzles people")
        assert Registry(workspace).get("toy@production").number == 1
        assert Registry(workspace).get("toy/2").status == "deprecated"
        redeploy(workspace, "toy/1", "ada", "once more")  # serves it anew; its status stays
        assert served(workspace) == [(1, 1), (2, 2), (3, 1), (4, 1)]
        assert [reign.version for reign in Cycles(workspace).reigns("toy")] == [1, 2, 1]


def test_what_takes_over_step_by_step_is_production_when_its_last_step_has_ended(
    tmp_path: Path, clock: ManualClock
) -> None:
    root = make(tmp_path / "project", replicas="1")
    plan = '[deploy]\nstrategy = "canary"\nsteps = [0.5]\nbake = "1m"\nmin_requests = 9\n'
    (root / "treadle.toml").write_text((root / "treadle.toml").read_text() + plan)
    with opened(root, clock) as workspace:
        clock.at = FIRST
        assert turn(workspace).state == "promoted"  # there was nothing to take over from
        deployments, registry = Deployments(workspace), Registry(workspace)
        deployments.report(ReplicaReport(replica="a", model="toy", url="http://a", revision=1))
        clock.at = SECOND
        first = turn(workspace)
        assert first.state == "trial"
        deployments.stop("toy", "ada", "callers complain")
        [ended] = settle(workspace, "toy")
        assert (ended.id, ended.state, ended.cause) == (first.id, "rolled_back", "trial rolled_back")
        assert ended.stages[-1].summary.endswith("taken back: callers complain")
        cycle = turn(workspace)
        assert cycle.state == "trial"
        assert registry.production("toy").number == 1
        counts = ArmCounts(9)
        for _ in range(2):
            seen = TrialReport(revision=3, process="p", trial=counts, beside=counts)
            deployments.report(
                ReplicaReport(replica="a", model="toy", url="http://a", revision=1, trial=seen)
            )
            clock.at += timedelta(minutes=2)
        assert registry.production("toy").number == cycle.version
        assert registry.history("toy")[-1].reason.endswith("its last step ended with all guards kept")
        assert Cycles(workspace).get(cycle.id).state == "trial"
        [ended] = settle(workspace, "toy")
        assert ended == Cycles(workspace).get(cycle.id)
        assert (ended.id, ended.state) == (cycle.id, "promoted")
        assert settle(workspace, "toy") == []
        told = timeline(workspace.database, "model:toy", kinds=("cycle_promoted", "cycle_rolled_back"))
        assert [event.kind for event in told] == ["cycle_promoted", "cycle_rolled_back", "cycle_promoted"]


def test_an_mlflow_client_moves_a_version_by_its_guards(manual: Workspace, clock: ManualClock) -> None:
    turn(manual)
    catalog = Catalog(manual)
    with pytest.raises(InvalidInput, match="is no stage"):
        move_stage(manual, "toy", "1", "live")
    file = Path(manual.root) / "treadle.toml"
    before = file.read_text()
    file.write_text(before + "[registry.stages.production]\napprovals = 2\n")
    with opened(Path(manual.root), clock) as strict:
        with pytest.raises(Refused, match="1 more of 2 approvals are needed for production"):
            move_stage(strict, "toy", "1", "Production")
        assert served(strict) == []
        done = approve(strict, "toy/1", "ada", "looks good")
        assert done.revision is not None
        assert [one.actor for one in done.standing.approvals] == ["mlflow", "ada"]
    file.write_text(before)
    assert Registry(manual).history("toy")[-1].actor == "ada"
    assert served(manual) == [(1, 1)]
    assert move_stage(manual, "toy", "1", "Production").stage == "Production"
    for stage in ("Archived", "None"):
        with pytest.raises(Conflict, match="that is production can't become"):
            move_stage(manual, "toy", "1", stage)
    clock.at = SECOND
    turn(manual)
    with pytest.raises(Refused, match="the gate's outcome is fail"):
        move_stage(manual, "toy", "2", "Production")
    assert move_stage(manual, "toy", "2", "Archived").stage == "Archived"
    free = catalog.create_version(NewCatalogVersion(model="toy", source="s3://bucket/m"))
    assert move_stage(manual, "toy", str(free.number), "Staging").stage == "Staging"
    assert served(manual) == [(1, 1)]


@pytest.mark.parametrize(
    ("guards", "objective", "held"),
    [("", "", None), ("", "p99_ms = 50\n", 50.0), ("max_p99_ms = 20\n", "p99_ms = 50\n", 20.0)],
)
def test_a_rollout_is_held_to_the_objective_unless_its_guards_say_otherwise(
    tmp_path: Path, clock: ManualClock, guards: str, objective: str, held: float | None
) -> None:
    (tmp_path / "treadle.toml").write_text(
        f'[project]\nname = "toy"\n[deploy.guards]\n{guards}[serve.objective]\n{objective}'
    )
    with opened(tmp_path, clock) as workspace:
        plan = chosen(workspace, "canary")
        assert (plan.strategy, plan.guards.max_p99_ms) == ("canary", held)
        assert chosen(workspace, None).guards.max_p99_ms == held
