"""What the results of a window do to a model's incidents, in the transaction that keeps these results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.kernel.clock import SystemClock
from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.config.notify import NotifyConfig
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.units import parse_duration
from treadle.monitor import store as monitor_store
from treadle.monitor.incidents import growth, rules, store
from treadle.monitor.incidents.types import Incident, Notice
from treadle.monitor.types import Alert, Severity, WindowResult


def group(
    connection: sa.Connection,
    model: str,
    at: datetime,
    alerts: Sequence[Alert],
    results: Sequence[WindowResult],
    config: NotifyConfig,
    ways: Iterable[str],
    seen: datetime | None = None,
    grew: Mapping[str, str] | None = None,
) -> None:
    """Puts a window's alerts into incidents, opens new ones, and resolves those that are over.

    Args:
        connection: The transaction in which the window is kept.
        model: The model.
        at: The window's end.
        alerts: The alerts that it raised.
        results: Its results.
        config: ``[monitor.notify]``.
        ways: By which channels people are told.
        seen: When it was looked at; the window's end when None. It may be long ago where a platform was down,
            and nobody could answer before.
        grew: What has grown of what an incident tells, by the alert that says so; as :func:`grown` tells.
    """
    ways, grew = list(ways), grew or {}
    before = {one.id: one for one in store.read_incidents(connection, model, ("open", "acknowledged"))}
    told = store.told(connection, before)
    after = {name: _carried(one, told[name], results) for name, one in before.items()}
    loud: dict[str, str] = {}  # what is told of an incident: its latest alert, or the one that has grown
    growing: dict[str, str] = {}
    muted = store.read_mutes(connection, model)
    for alert in alerts:
        how_bad = rules.severity(alert, results)
        found = rules.home(alert, after.values(), told, parse_duration(config.together))
        if found is None:
            number = store.next_number(connection, model) + len(after) - len(before)
            found = rules.opened(alert, number, how_bad, _since(alert, results))
        known = told.setdefault(found.id, set())
        one = after[found.id] = rules.joined(found, alert, how_bad, known)
        known |= {(alert.kind, subject) for subject in alert.subjects}
        store.add_member(connection, alert.id, one.id)
        if not rules.is_muted(alert.kind, alert.subjects, at, muted):
            _tell(one, alert, grew.get(alert.id, ""), loud, growing)
    for name, one in after.items():
        if name not in before:
            told_by = ways if name in loud else ()
            _keep(connection, one, rules.notice(one, "opened", at, one.title, results), told_by, seen)
        elif one != before[name] or name in growing:
            news = name in loud and (rules.is_worse(before[name], one) or name in growing)
            notice = rules.notice(one, "worse", at, loud[name], results) if news else None
            _keep(connection, one, notice, ways, grew=growing.get(name, ""))
        elif rules.is_over(one, results):
            resolve(connection, one, at, "monitor", "every monitor is fine again", ways)
        elif (now := rules.successor(one, results)) is not None:
            resolve(connection, one, at, "monitor", f"version {now} is in production instead", ways)


def _tell(incident: Incident, alert: Alert, grew: str, loud: dict[str, str], growing: dict[str, str]) -> None:
    """Notes what is told of an incident; what has grown in several monitors is told together."""
    before = growing.get(incident.id, "")
    if grew:
        growing[incident.id] = growth.together(before, grew)
        bare = alert.sentence.removeprefix(growth.said(grew, ""))
        loud[incident.id] = growth.said(growing[incident.id], bare)
    elif not before:
        loud[incident.id] = alert.sentence


def grown(
    connection: sa.Connection, alert: Alert, results: Sequence[WindowResult], config: MonitorConfig
) -> str:
    """What has grown of what an open incident tells, in words; empty if nothing has, or nobody is to hear.

    People are told of it again once it has grown, as :mod:`treadle.monitor.incidents.growth` declares, and
    not sooner than ``worse_after`` after they were told last.
    """
    found = {one.id: one for one in store.read_incidents(connection, alert.model, ("open", "acknowledged"))}
    told, notify = store.told(connection, found), config.notify
    one = rules.home(alert, found.values(), told, parse_duration(notify.together))
    if one is None or alert.kind not in one.kinds:
        return ""
    if rules.is_muted(alert.kind, alert.subjects, alert.at, store.read_mutes(connection, alert.model)):
        return ""
    at = store.tellings(connection, one)
    if not at or alert.at - max(at) < parse_duration(notify.worse_after):
        return ""
    # What another open incident has told is no news either.
    every = at.union(*(store.tellings(connection, other) for other in found.values() if other != one))
    known = set().union(*told.values())
    before = [
        window
        for until in sorted(every)
        for window in monitor_store.read_windows(connection, alert.model, until=until, kind=alert.kind)
        if (window.kind, window.subject) in known
    ]
    return growth.grown(alert, results, before, max(at), config)


def _carried(incident: Incident, told: rules.Told, results: Sequence[WindowResult]) -> Incident:
    """An incident of the version that took over, if that is in the same trouble."""
    now = rules.successor(incident, results)
    if now is None or not rules.goes_on(incident, told, results):
        return incident
    return msgspec.structs.replace(incident, version=now)


def stands(connection: sa.Connection, model: str, alert: Alert, how_bad: Severity | None = None) -> bool:
    """Whether an incident that isn't resolved tells what an alert does, and is as severe if that matters."""
    found = {
        one.id: one
        for one in store.read_incidents(connection, model, ("open", "acknowledged"))
        if one.version == alert.version
        and (how_bad is None or rules.worst([one.severity, how_bad]) == one.severity)
    }
    return any(rules.tells(told, alert) for told in store.told(connection, found).values())


def resolve(
    connection: sa.Connection, incident: Incident, at: datetime, by: str, note: str, ways: Iterable[str]
) -> Incident:
    """Notes that an incident is over, and tells."""
    after = msgspec.structs.replace(
        incident, state="resolved", resolved_at=at, resolved_by=by, note=rules.noted(incident.note, note)
    )
    sentence = f"{incident.id} was resolved by {by}" + (f": {note}" if note else "")
    heard = store.told_by(connection, incident.id)  # of what was muted nobody hears that it is over
    _keep(connection, after, rules.notice(after, "resolved", at, sentence), [w for w in ways if w in heard])
    return after


def escalate(
    connection: sa.Connection, model: str, at: datetime, config: NotifyConfig, ways: Iterable[str]
) -> None:
    """Makes what nobody has taken for too long more severe, and tells again."""
    told, muted = list(ways), store.read_mutes(connection, model)
    for one in store.read_incidents(connection, model, ("open",)):
        quiet = all(rules.is_muted(kind, one.subjects, at, muted) for kind in one.kinds)
        after = parse_duration(config.escalate_after)
        late = not quiet and rules.is_left_alone(one, at, after)
        if late and at - store.seen(connection, one) >= after:
            worse = rules.escalated(one, at)
            sentence = f"{one.id} has been open since {one.opened_at:%Y-%m-%d %H:%M} UTC: {one.title}"
            _keep(connection, worse, rules.notice(worse, "escalated", at, sentence), told)


def _keep(
    connection: sa.Connection,
    incident: Incident,
    notice: Notice | None,
    ways: Iterable[str],
    seen: datetime | None = None,
    grew: str = "",
) -> None:
    store.put_incident(connection, incident)
    if notice is None:
        return
    now, growths = SystemClock().now(), len(store.growths(connection, incident)) + bool(grew)
    again = store.told_again(connection, incident) + (notice.occasion in {"worse", "escalated"})
    notice = msgspec.structs.replace(notice, growths=growths, again=again)
    for way in ways:
        store.add_delivery(connection, notice, way, now)
    record(
        connection,
        Event(
            id=f"incident:{notice.id}",
            at=notice.at,
            recorded_at=now,
            subject=f"model:{incident.model}",
            kind="incident",
            actor="monitor" if notice.occasion != "resolved" else incident.resolved_by,
            message=notice.sentence,
            facts={
                "incident": incident.id,
                "occasion": notice.occasion,
                "severity": incident.severity,
                **({"seen": seen.isoformat()} if seen else {}),
                **({"grew": grew} if grew else {}),
            },
        ),
    )


def _since(alert: Alert, results: Sequence[WindowResult]) -> datetime:
    """When what an alert is about began: where its monitor's window does."""
    about = [one.since for one in results if one.kind == alert.kind and one.state == "alert"]
    return max(about, default=alert.at)
