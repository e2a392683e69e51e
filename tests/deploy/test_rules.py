from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from treadle.deploy import ReplicaReport, Revision, rules

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def new(version: int = 1) -> Revision:
    return Revision(model="toy", revision=0, version=version, at=NOW, actor="me", reason="test")


def report(replica: str = "a", revision: int | None = None, failed: int | None = None) -> ReplicaReport:
    return ReplicaReport(replica=replica, model="toy", url="http://x", revision=revision, failed=failed)


class World:
    """The revisions of a model, changed by the rules alone."""

    def __init__(self) -> None:
        self.revisions: dict[int, Revision] = {}

    @property
    def all(self) -> list[Revision]:
        return list(self.revisions.values())

    def take(self, changed: list[Revision]) -> list[Revision]:
        self.revisions.update({r.revision: r for r in changed})
        return changed

    def deploy(self) -> Revision:
        made, changed = rules.started(self.all, new())
        self.take([*changed, made])
        return made

    def serve(self, revision: int, **more) -> list[Revision]:
        return self.take(rules.served(self.all, report(revision=revision, **more), NOW))

    def fail(self, revision: int, others=()) -> list[Revision]:
        return self.take(rules.failed(self.all, report(failed=revision), others))

    def states(self) -> dict[int, str]:
        return {number: r.state for number, r in self.revisions.items()}


def test_a_revision_is_pending_until_served_and_supersedes_the_one_before():
    world = World()
    assert world.deploy().previous is None
    assert rules.serving(world.all) is None
    world.serve(1)
    second = world.deploy()
    assert second.previous == 1
    assert world.states() == {1: "serving", 2: "pending"}
    world.serve(2)
    assert world.states() == {1: "superseded", 2: "serving"}
    assert world.revisions[2].served_at == NOW


def test_a_pending_revision_is_superseded_and_the_new_one_falls_back_to_what_serves():
    world = World()
    world.deploy()
    world.serve(1)
    world.deploy()
    assert world.deploy().previous == 1
    assert world.states() == {1: "serving", 2: "superseded", 3: "pending"}
    world.fail(3)
    assert rules.desired(world.all).revision == 1


def test_a_stale_report_changes_nothing():
    world = World()
    world.deploy()
    world.serve(1)
    world.deploy()
    assert world.serve(1) == []
    assert world.fail(1) == []
    assert world.serve(9) == []


def test_a_failed_revision_rolls_back_also_after_it_served():
    world = World()
    world.deploy()
    world.serve(1)
    world.deploy()
    world.serve(2)
    world.fail(2)
    assert world.states() == {1: "pending", 2: "failed"}
    assert rules.desired(world.all).revision == 1
    assert world.revisions[2].error


def test_one_replica_that_fails_does_not_take_back_what_another_serves():
    world = World()
    world.deploy()
    world.serve(1)
    assert world.fail(1, [report("b", revision=1)]) == []
    assert world.fail(1, [report("a", revision=1)]) != []


def test_the_first_revision_that_fails_leaves_nothing_desired():
    world = World()
    world.deploy()
    world.fail(1)
    assert rules.desired(world.all) is None
    assert world.deploy().previous is None


def test_a_rollback_passes_over_what_has_failed_before():
    world = World()
    world.deploy()
    world.serve(1)
    world.deploy()
    world.serve(2)
    world.deploy()
    world.fail(3)
    world.fail(2)
    assert rules.desired(world.all).revision == 1
    assert world.states() == {1: "pending", 2: "failed", 3: "failed"}


@given(st.lists(st.tuples(st.sampled_from(["deploy", "serve", "fail"]), st.integers(1, 6)), max_size=40))
def test_at_most_one_serves_and_failed_never_comes_back(steps):
    world = World()
    failed: set[int] = set()
    for step, number in steps:
        if step == "deploy":
            made = world.deploy()
            assert rules.desired(world.all) == made
        elif step == "serve":
            world.serve(number)
        else:
            world.fail(number)
        states = world.states()
        assert sum(state == "serving" for state in states.values()) <= 1
        assert sum(state == "pending" for state in states.values()) <= 1
        assert failed <= {n for n, state in states.items() if state == "failed"}
        failed = {n for n, state in states.items() if state == "failed"}
        assert len(states) == max(states, default=0)
