"""How a revision takes over: on each kind of metadata store, told by reports as replicas make them."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from test_service import deployments, kinds, report, told, workspace  # noqa: F401

from treadle.deploy import ArmCounts, TrialReport, store
from treadle.deploy import answers as bins
from treadle.kernel.config import DeployConfig, GuardsConfig
from treadle.kernel.errors import Conflict, NotFound

CANARY = DeployConfig(strategy="canary", steps=(0.1, 0.5), bake="1m", min_requests=100)


@pytest.fixture
def trying(deployments):  # noqa: F811
    """Deploys version 2 by a plan while version 1 serves."""
    deployments.deploy("toy", 1, "me", "first", "k1")
    deployments.report(report(1))

    def start(plan: DeployConfig = CANARY, outcome: str = "pass"):
        return deployments.deploy("toy", 2, "me", "better", "k2", plan=plan, outcome=outcome)

    return start


def seen(requests: int = 0, errors: int = 0, slow: int = 0, beside: int = 0, **more) -> TrialReport:
    return TrialReport(
        revision=2,
        process=more.pop("process", "p1"),
        trial=ArmCounts(requests, errors, slow, more.pop("answers", ())),
        beside=ArmCounts(beside, *more.pop("other", (0, 0)), more.pop("answers_beside", ())),
        **more,
    )


def tell(deployments, found: TrialReport | None, replica: str = "a", **more):  # noqa: F811
    return deployments.report(report(1, replica=replica, trial=found, **more)).trial


def test_a_canary_takes_over_step_by_step(deployments, trying, workspace, clock):  # noqa: F811
    assert trying().state == "trial"
    first = tell(deployments, None)
    assert (first.version, first.share, first.shadow) == (2, 0.0, False)
    assert tell(deployments, seen()).share == 0.1  # it is loaded everywhere
    clock.at += timedelta(seconds=61)
    assert tell(deployments, seen(99)).share == 0.1
    assert deployments.status("toy").rollout.waits == "1 more requests"
    assert tell(deployments, seen(100)).share == 0.5
    assert tell(deployments, seen(500)).share == 0.5
    assert "more seconds" in deployments.status("toy").rollout.waits
    clock.at += timedelta(seconds=61)
    found = deployments.report(report(1, trial=seen(500)))
    assert (found.revision, found.version, found.trial) == (2, 2, None)
    assert deployments.report(report(2)).revision == 2
    assert [one.state for one in deployments.history("toy")] == ["superseded", "serving"]
    steps = ["rollout_step", "rollout_step", "promoted", "rollout_finished", "serving"]
    assert kinds(workspace)[-5:] == steps
    assert "answers 10% of the requests" in told(workspace)[-5].message
    assert [event.facts["share"] for event in told(workspace)[-5:-3]] == ["0.1", "0.5"]


def test_a_canary_that_fails_is_taken_back_at_the_next_report(deployments, trying, workspace):  # noqa: F811
    trying()
    tell(deployments, seen())
    assert tell(deployments, seen(50, 1, beside=450)).share == 0.1
    assert tell(deployments, seen(60, 12, beside=500)) is None
    found = deployments.history("toy")[-1]
    assert found.state == "failed"
    assert found.error == "guard 'errors': 12 of 60 requests ended with an error; 0.01 may"
    event = told(workspace)[-1]
    assert (event.kind, event.actor, event.facts["errors"]) == ("rolled_back", "rollout", "12")
    assert deployments.desired("toy").version == 1
    assert deployments.status("toy").rollout is None


def test_more_errors_than_beside_it_are_too_many_even_where_many_are_allowed(deployments, trying):  # noqa: F811
    trying(msgspec.structs.replace(CANARY, guards=GuardsConfig(max_error_rate=0.5)))
    tell(deployments, seen())
    assert tell(deployments, seen(100, 20, beside=900, other=(180, 0))).share == 0.1
    assert tell(deployments, seen(100, 20, beside=900, other=(4, 0))) is None
    assert "guard 'errors beside'" in deployments.history("toy")[-1].error


def test_slow_answers_are_counted_where_a_time_is_declared(deployments, trying):  # noqa: F811
    trying(msgspec.structs.replace(CANARY, guards=GuardsConfig(max_p99_ms=50)))
    assert tell(deployments, seen()).slow_ms == 50
    assert tell(deployments, seen(200, slow=2, beside=200)).share == 0.1
    assert tell(deployments, seen(200, slow=60, beside=200)) is None
    assert "60 of 200 requests took over 50 ms" in deployments.history("toy")[-1].error


def test_answers_that_differ_are_looked_at_when_a_step_ends(deployments, trying, clock):  # noqa: F811
    trying(msgspec.structs.replace(CANARY, guards=GuardsConfig(max_shift=0.1)))
    there, elsewhere = (500, *(0 for _ in bins.PROBABILITY)), (*(0 for _ in bins.PROBABILITY), 500)
    tell(deployments, seen())
    assert tell(deployments, seen(500, answers=elsewhere, answers_beside=there)).share == 0.1
    clock.at += timedelta(seconds=61)
    assert tell(deployments, seen(500, answers=elsewhere, answers_beside=there)) is None
    assert "guard 'shift'" in deployments.history("toy")[-1].error


def test_counts_of_a_process_that_ended_still_count(deployments, trying):  # noqa: F811
    trying()
    tell(deployments, seen(30, 0))
    tell(deployments, seen(20, 0, process="p2"))
    assert deployments.status("toy").rollout.counts.requests == 50


def test_a_replica_that_ends_again_and_again_takes_it_back(deployments, trying):  # noqa: F811
    trying()
    for process in ("p1", "p2", "p3"):
        assert tell(deployments, seen(process=process)) is not None
    assert tell(deployments, seen(process="p4")) is None
    assert "ended 3 times" in deployments.history("toy")[-1].error


def test_one_that_cannot_be_loaded_is_taken_back(deployments, trying):  # noqa: F811
    trying()
    assert tell(deployments, None, failed=2, error="no such operator") is None
    assert "could not be loaded: no such operator" in deployments.history("toy")[-1].error


def test_rolling_goes_from_replica_to_replica(deployments, trying, clock):  # noqa: F811
    trying(DeployConfig(strategy="rolling", bake="1m", min_requests=1))
    for name in "ab":
        tell(deployments, seen(process=name), name)
    assert [tell(deployments, seen(process=name), name).share for name in "ab"] == [1.0, 0.0]
    clock.at += timedelta(seconds=61)
    tell(deployments, seen(2, process="a"), "a")
    assert [tell(deployments, seen(2, process=name), name).share for name in "ab"] == [1.0, 1.0]
    clock.at += timedelta(seconds=61)
    tell(deployments, seen(2, process="a"), "a")
    assert deployments.desired("toy").version == 2


def test_blue_green_waits_until_every_replica_has_it(deployments, trying):  # noqa: F811
    trying(DeployConfig(strategy="blue-green", bake="1m"))
    tell(deployments, None, "b")
    assert tell(deployments, seen(process="a"), "a").share == 0.0
    assert deployments.status("toy").rollout.waits == "1 of 2 replicas to load it"
    assert tell(deployments, seen(process="b"), "b").share == 1.0


@pytest.mark.parametrize("strategy", ["shadow", "challenger"])
def test_only_a_person_ends_a_shadow_or_a_challenger(deployments, trying, clock, strategy):  # noqa: F811
    trying(DeployConfig(strategy=strategy, bake="1m", min_requests=1))
    tell(deployments, seen())
    clock.at += timedelta(days=9)
    asked = tell(deployments, seen(900, compared=900, apart=90.0))
    assert (asked.shadow, asked.share) == ((True, 0.0) if strategy == "shadow" else (False, 0.05))
    found = deployments.status("toy").rollout
    assert (found.waits, found.apart) == ("somebody's decision", 0.1)
    assert deployments.promote("toy", "eve", "it is better").state == "pending"
    assert deployments.desired("toy").version == 2
    with pytest.raises(NotFound, match="no revision of 'toy' is in trial"):
        deployments.promote("toy", "eve", "again")


def test_a_trial_is_stopped_by_hand_or_by_the_next_deployment(deployments, trying):  # noqa: F811
    trying()
    assert deployments.stop("toy", "eve", "not today").state == "failed"
    with pytest.raises(NotFound):
        deployments.stop("toy", "eve", "again")
    assert deployments.deploy("toy", 3, "me", "x", "k3", plan=CANARY).state == "trial"
    assert deployments.deploy("toy", 2, "me", "y", "k4").state == "pending"
    states = [one.state for one in deployments.history("toy")]
    assert states == ["serving", "failed", "superseded", "pending"]


def test_what_may_not_become_production_is_taken_back(deployments, trying, clock):  # noqa: F811
    trying(DeployConfig(strategy="blue-green", bake="1m", min_requests=1), outcome="pass")
    from treadle.registry import Registry

    Registry(deployments._workspace).archive("toy", 2, "eve", "put away", "a1")
    tell(deployments, seen())
    clock.at += timedelta(seconds=61)
    assert tell(deployments, seen(9)) is None
    assert "it may not become production" in deployments.history("toy")[-1].error


def test_nothing_to_take_over_from_starts_at_once(deployments):  # noqa: F811
    found = deployments.deploy("toy", 1, "me", "first", "k1", plan=CANARY)
    assert (found.state, found.plan) == ("pending", None)


def test_promoting_waits_until_a_replica_has_loaded_it(deployments, trying, workspace):  # noqa: F811
    trying()
    with pytest.raises(Conflict, match="revision 2 waits for any of 1 replicas to load it"):
        deployments.promote("toy", "eve", "now")
    assert "promoted" not in kinds(workspace)
    tell(deployments, None, replica="b")
    tell(deployments, seen(), replica="b")
    assert deployments.promote("toy", "eve", "now").state == "pending"
    assert "promoted" in kinds(workspace)


def test_counts_of_trials_that_ended_are_forgotten(deployments, trying, workspace):  # noqa: F811
    def kept() -> int:
        with workspace.database.read() as connection:
            return len(store.read_trials(connection, "toy", 2))

    trying()
    tell(deployments, seen(5))
    assert kept() == 1
    deployments.stop("toy", "eve", "no")
    assert kept() == 0
    assert told(workspace)[-1].facts["requests"] == "5"
    # A replica that hasn't heard of it yet goes on telling.
    tell(deployments, seen(6))
    assert kept() == 0
    deployments.deploy("toy", 2, "me", "again", "k3", plan=CANARY)
    tell(deployments, msgspec.structs.replace(seen(7), revision=3))
    deployments.deploy("toy", 3, "me", "another", "k4", plan=CANARY)
    with workspace.database.read() as connection:
        assert store.read_trials(connection, "toy", 3) == []
