"""Incidents while others commit, on Postgres: alerts come at once, and somebody answers meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meanwhile import meanwhile
from treadle.monitor import Alert, IncidentChange, Incidents, Monitors
from treadle.monitor import store as monitor_store
from treadle.monitor.incidents import store

pytestmark = pytest.mark.postgres
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def alert(name: str, subject: str, minutes: int = 0) -> Alert:
    return Alert(
        id=name,
        model="t",
        kind="retraining",
        at=AT + timedelta(minutes=minutes),
        subjects=(subject,),
        sentence=f"{subject} is wrong",
        version=1,
        delivered=False,
    )


@pytest.mark.parametrize("moment", ["next_number", "put_incident"])
def test_two_alerts_at_once_are_both_told_of(on_postgres, monkeypatch, moment):
    monitors = Monitors(on_postgres)
    other = meanwhile(
        monkeypatch, on_postgres.database, store, moment, lambda: monitors.report(alert("b", "b", 1))
    )
    assert monitors.report(alert("a", "a"))
    assert other.result(10)
    [found] = Incidents(on_postgres).list("t")
    assert (found.id, set(found.subjects)) == ("t-1", {"a", "b"})


def test_one_alert_told_twice_at_once_is_news_once(on_postgres, monkeypatch):
    monitors = Monitors(on_postgres)
    other = meanwhile(
        monkeypatch,
        on_postgres.database,
        monitor_store,
        "add_alert",
        lambda: monitors.report(alert("a", "a")),
    )
    assert sorted([monitors.report(alert("a", "a")), other.result(10)]) == [False, True]
    assert len(Incidents(on_postgres).list("t")) == 1


@pytest.mark.parametrize("state", ["acknowledged", "resolved"])
@pytest.mark.parametrize("moment", ["told", "put_incident"])
def test_what_somebody_says_of_an_incident_that_grows_meanwhile_stays(
    on_postgres, monkeypatch, state, moment
):
    monitors, incidents = Monitors(on_postgres), Incidents(on_postgres)
    monitors.report(alert("a", "a"))
    change = IncidentChange(state=state)
    other = meanwhile(
        monkeypatch, on_postgres.database, store, moment, lambda: incidents.change("t-1", change, "ann")
    )
    monitors.report(alert("b", "b", 1))
    other.result(10)
    assert incidents.show("t-1").incident.state == state


def test_an_incident_is_shown_with_what_was_sent_of_it(on_postgres):
    """Neither locks anything: a transaction that only reads could not."""
    incidents = Incidents(on_postgres)
    Monitors(on_postgres).report(alert("a", "a"))
    assert [one.id for one in incidents.show("t-1").alerts] == ["a"]
    assert incidents.deliveries("t-1") == ()
