"""A service that falls or burns its error budget: one alert, one incident, resolved when it is well again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from treadle.deploy import minutes
from treadle.deploy.types import Counts
from treadle.kernel.config import ObjectiveConfig
from treadle.monitor import Incidents, Monitors

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


def test_without_an_objective_nobody_watches(world: Any) -> None:
    world.register()
    answer(world, NOW, 1000, 1000)
    assert Monitors(world.workspace).watch_service("toy", NOW) is None
    assert Incidents(world.workspace).list("toy") == []
