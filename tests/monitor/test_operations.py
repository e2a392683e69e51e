"""A service that is gone, falls or burns its error budget: one incident, resolved when it is well again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from treadle.deploy import Deployments, ReplicaReport, minutes
from treadle.deploy.types import Counts
from treadle.kernel.config import ObjectiveConfig
from treadle.monitor import Alert, Incidents, Monitors, ServiceWatch

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def served(world: Any) -> Any:
    """A version in production, and an objective."""
    world.register()
    config = world.workspace.config
    serve = msgspec.structs.replace(config.serve, objective=ObjectiveConfig(availability=99.9))
    world.workspace.config = msgspec.structs.replace(config, serve=serve)
    return world


def answer(world: Any, until: datetime, requests: int, errors: int, steps: int = 1, step: int = 1) -> None:
    """So many requests in each of some minutes, ``step`` minutes apart, up to a moment."""
    with world.workspace.database.write() as connection:
        for place in range(steps):
            at = until - timedelta(minutes=place * step)
            minutes.add(connection, "toy", at, Counts(requests=requests, errors=errors))


def test_a_fall_is_one_incident_that_ends_by_itself(served: Any) -> None:
    answer(served, NOW, 1000, 0, steps=60)
    monitors, incidents = Monitors(served.workspace), Incidents(served.workspace)
    assert monitors.watch_service("toy", NOW) is None
    answer(served, NOW, 1000, 500)
    raised = monitors.watch_service("toy", NOW + timedelta(seconds=10))
    assert raised is not None
    assert (raised.kind, raised.subjects) == ("operations", ("availability",))
    assert monitors.watch_service("toy", NOW + timedelta(seconds=20)) is None, "it stands already"
    [one] = incidents.list("toy")
    assert (one.severity, one.state, one.kinds) == ("critical", "open", ("operations",))
    assert "treadle deploy rollback toy" in incidents.show(one.id).next
    answer(served, NOW + timedelta(hours=8), 10_000, 0, steps=95, step=5)
    assert monitors.watch_service("toy", NOW + timedelta(hours=8)) is None
    [one] = incidents.list("toy")
    assert (one.state, one.resolved_by) == ("resolved", "monitor")
    assert [alert.kind for alert in monitors.alerts("toy")] == ["operations"]


def test_a_slow_burn_is_a_warning(served: Any) -> None:
    """Two in a thousand fail for three days: twice the budget's rate, nothing to wake anybody for."""
    answer(served, NOW, 10_000, 20, steps=72, step=60)
    Monitors(served.workspace).watch_service("toy", NOW)
    [one] = Incidents(served.workspace).list("toy")
    assert one.severity == "warning"


def test_a_fall_is_told_though_a_slow_burn_stands(served: Any) -> None:
    answer(served, NOW, 10_000, 20, steps=72, step=60)
    monitors, incidents = Monitors(served.workspace), Incidents(served.workspace)
    monitors.watch_service("toy", NOW)
    for second in (5, 10, 15, 20):
        with served.workspace.database.write() as connection:
            minutes.add(connection, "toy", NOW + timedelta(seconds=second), Counts(100, 90))
    raised = monitors.watch_service("toy", NOW + timedelta(seconds=21))
    assert raised is not None
    assert "fallen" in raised.sentence
    [one] = incidents.list("toy")
    assert one.severity == "critical"
    assert monitors.watch_service("toy", NOW + timedelta(seconds=24)) is None, "it stands already"


def test_a_drift_of_the_version_before_is_left_to_the_windows(served: Any) -> None:
    drifted = Alert(
        id="a1", model="toy", kind="input", at=NOW, subjects=("hour",), sentence="hour drifted", version=7
    )
    monitors = Monitors(served.workspace)
    monitors.report(drifted)
    monitors.watch_service("toy", NOW)
    [one] = Incidents(served.workspace).list("toy")
    assert one.state == "open"


# ── replicas that are gone, whatever is declared ─────────────────────────


class Seconds:
    """A clock that is set by hand."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def deployed(world: Any) -> Any:
    """A version that a replica serves; no objective is declared, and nothing is in production."""
    world.register(promote=False)
    Deployments(world.workspace).deploy("toy", 1, "me", "first", "k1")
    return world


def heard(world: Any, second: float, revision: int | None = 1, **more: Any) -> None:
    """A replica reports."""
    told = ReplicaReport(replica="a", model="toy", url="http://x", process="p", revision=revision, **more)
    Deployments(world.workspace).report(told, NOW + timedelta(seconds=second))


def watched(world: Any, watch: ServiceWatch, clock: Seconds, second: float) -> Any:
    clock.at = second
    found = Monitors(world.workspace).watch_service("toy", NOW + timedelta(seconds=second), watch)
    states = [(one.state, one.severity) for one in Incidents(world.workspace).list("toy")]
    return found, states


def test_replicas_that_are_all_gone_are_an_incident_in_under_thirty_seconds(deployed: Any) -> None:
    clock = Seconds()
    watch = ServiceWatch(clock)
    for second in range(0, 100, 3):
        heard(deployed, second)
        assert watched(deployed, watch, clock, second) == (None, [])
    told = None
    for second in range(102, 200, 3):
        found, states = watched(deployed, watch, clock, second)
        told = told or (second - 99 if found else None)
        assert (found is None) == (second - 99 != told)
    assert told is not None
    assert 20 <= told < 25
    assert states == [("open", "critical")]
    [alert] = Monitors(deployed.workspace).alerts("toy")
    assert alert.subjects == ("replicas",)
    assert alert.sentence == "no replica has been heard of since 12:01:39 UTC"
    for second in range(200, 280, 3):
        heard(deployed, second)
        _, states = watched(deployed, watch, clock, second)
        assert states[0][0] == ("open" if second < 258 else "resolved"), second


def test_a_replica_that_starts_again_is_no_incident(deployed: Any) -> None:
    clock = Seconds()
    watch = ServiceWatch(clock)
    for second in range(0, 300, 3):
        if second % 60 < 42:  # it is away for 18 seconds, each minute
            heard(deployed, second)
        assert watched(deployed, watch, clock, second) == (None, []), second


def test_replicas_have_a_minute_when_the_platform_starts(deployed: Any) -> None:
    heard(deployed, -3600)
    clock = Seconds()
    watch = ServiceWatch(clock)
    for second in range(0, 58, 3):
        assert watched(deployed, watch, clock, second) == (None, [])
    assert watched(deployed, watch, clock, 60)[1] == [("open", "critical")]


def test_replicas_that_load_nothing_are_gone(deployed: Any) -> None:
    clock = Seconds()
    watch = ServiceWatch(clock)
    heard(deployed, 0)
    watched(deployed, watch, clock, 0)
    for second in range(60, 90, 3):
        heard(deployed, second, revision=None)
        _, states = watched(deployed, watch, clock, second)
    assert states == [("open", "critical")]


def test_answers_that_are_errors_are_an_incident_whatever_is_declared(deployed: Any) -> None:
    clock = Seconds()
    watch = ServiceWatch(clock)
    for second in range(120):
        heard(deployed, second, requests=5 * second, errors=5 * max(0, second - 90))
        found, _ = watched(deployed, watch, clock, second)
        if found:
            break
    assert found.subjects == ("answers",)
    assert 7 < second - 90 < 10


def test_what_was_never_deployed_is_not_watched(world: Any) -> None:
    world.register()
    assert Monitors(world.workspace).watch_service("toy", NOW) is None
    assert Incidents(world.workspace).list("toy") == []


def test_a_replica_that_hangs_is_an_incident_at_once(deployed: Any) -> None:
    clock = Seconds()
    watch = ServiceWatch(clock)
    heard(deployed, 0)
    assert watched(deployed, watch, clock, 0) == (None, [])
    heard(deployed, 3, trouble="a prediction has been in hand for 6 s, and 0.01 s are usual")
    found, states = watched(deployed, watch, clock, 3)
    assert found.subjects == ("stuck replicas",)
    assert found.sentence.startswith("1 of 1 replicas hang or did; a: a prediction has been in hand")
    assert states == [("open", "critical")]
    for second in range(6, 70, 3):
        heard(deployed, second)
        _, states = watched(deployed, watch, clock, second)
        assert states[0][0] == ("open" if second < 63 else "resolved"), second


def test_one_that_hangs_beside_others_is_a_warning(deployed: Any) -> None:
    clock = Seconds()
    watch = ServiceWatch(clock)
    other = ReplicaReport(replica="b", model="toy", url="http://y", process="q", revision=1)
    Deployments(deployed.workspace).report(other, NOW)
    heard(deployed, 1, trouble="its event loop has stood still for 6 s")
    assert watched(deployed, watch, clock, 2)[1] == [("open", "warning")]
