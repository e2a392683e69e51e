"""What replicas report at once, on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from meanwhile import meanwhile
from treadle.deploy import Deployments, ReplicaReport, minutes

pytestmark = pytest.mark.postgres


def test_a_replica_reports_twice_at_once_before_anything_is_deployed(on_postgres, monkeypatch):
    """As one does whose first report wasn't answered in time."""
    deployments = Deployments(on_postgres)
    report = ReplicaReport(replica="a", model="t", url="http://x")
    other = meanwhile(monkeypatch, on_postgres.database, minutes, "add", lambda: deployments.report(report))
    assert deployments.report(report) is None
    assert other.result(10) is None
    assert [one.replica for one in deployments.status("t", datetime.now(UTC)).replicas] == ["a"]
