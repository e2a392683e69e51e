"""Which alerts belong together, how bad they are, and when somebody is told. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import get_args

import msgspec

from treadle.monitor.incidents.types import Cause, Incident, Mute, Notice, Occasion
from treadle.monitor.rules import weight
from treadle.monitor.types import Alert, MonitorKind, Severity, WindowResult

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the mildest to the worst."""

USUAL: dict[MonitorKind, Severity] = {
    "performance": "critical",
    "operations": "critical",
    "retraining": "warning",
    "estimated": "warning",
    "quality": "warning",
    "prediction": "warning",
    "fairness": "warning",
    "input": "info",
    "multivariate": "info",
}
"""How bad an alert of a kind is where its monitor doesn't say."""

_LASTING: frozenset[MonitorKind] = frozenset(("operations", "retraining"))
"""What another version in production may well not mend."""

_DRIFTS: frozenset[MonitorKind] = frozenset(("input", "multivariate", "prediction"))
"""What moves without anything being worse for it: no reason to wake somebody, however far it moves."""

_EFFECTS: frozenset[MonitorKind] = frozenset(("performance", "estimated", "fairness"))

Told = AbstractSet[tuple[MonitorKind, str]]
"""What an incident's alerts have told of: monitors and subjects."""

_TOLD_CAUSES = 5

_FIRST_RETRY = timedelta(seconds=10)
_LAST_RETRY = timedelta(hours=1)


def severity(alert: Alert, results: Iterable[WindowResult]) -> Severity:
    """How bad an alert is: the worst that its results say, else what is usual for its kind.

    Drift is a warning at most, however far it goes: what it does to the metric is an alert of its own.
    """
    said = [
        result.severity
        for result in results
        if result.kind == alert.kind and result.state == "alert" and result.severity is not None
    ]
    found = worst([*said]) if said else USUAL[alert.kind]
    return "warning" if found == "critical" and alert.kind in _DRIFTS else found


def worst(found: Sequence[Severity]) -> Severity:
    """The worst of some severities."""
    return max(found, key=SEVERITIES.index)


def home(
    alert: Alert, incidents: Iterable[Incident], told: Mapping[str, Told], together: timedelta
) -> Incident | None:
    """The incident that an alert belongs to; None if it is news.

    That is the one that tells of it already, however long it has stood. Else it is the latest whose latest
    news is not longer ago than ``together``: what breaks at the same time has most often one cause. It must
    be of the same version and not be resolved. The service's own troubles, which are looked at every few
    seconds and not window by window, are kept apart.

    Args:
        alert: The alert.
        incidents: Those that there are.
        told: What each of them tells of, by its name.
        together: How far apart alerts of one cause may come.
    """
    fitting = [
        one
        for one in incidents
        if one.state != "resolved"
        and one.version == alert.version
        and ("operations" in one.kinds) == (alert.kind == "operations")
    ]
    known = [one for one in fitting if tells(told.get(one.id, frozenset()), alert)]
    fitting = known or [one for one in fitting if alert.at - one.last_at <= together]
    return max(fitting, key=lambda one: one.last_at, default=None)


def tells(told: Told, alert: Alert) -> bool:
    """Whether an incident tells of an alert already: of at least half of its subjects, by the same monitor.

    Which columns are over their limits changes a little from window to window while the cause is the same.
    """
    known = sum((alert.kind, subject) in told for subject in alert.subjects)
    return known > 0 and 2 * known >= len(alert.subjects)


def goes_on(incident: Incident, told: Told, results: Iterable[WindowResult]) -> bool:
    """Whether the version that took over is in the same trouble.

    Where the incident is about how good the model is, only that counts: what had drifted may well go on.
    """
    about = _EFFECTS & set(incident.kinds) or set(incident.kinds)
    return any(
        one.state == "alert"
        and not one.explained_by
        and one.kind in about
        and (one.kind, one.subject) in told
        for one in results
    )


def opened(alert: Alert, number: int, how_bad: Severity, since: datetime) -> Incident:
    """The incident that an alert opens."""
    return Incident(
        id=f"{alert.model}-{number}",
        model=alert.model,
        number=number,
        version=alert.version,
        state="open",
        severity=how_bad,
        title=alert.sentence,
        since=since,
        opened_at=alert.at,
        last_at=alert.at,
        kinds=(alert.kind,),
        subjects=alert.subjects,
    )


def joined(incident: Incident, alert: Alert, how_bad: Severity, told: Told = frozenset()) -> Incident:
    """An incident with one more alert. One that somebody has taken stays taken.

    Args:
        incident: The incident.
        alert: The alert.
        how_bad: How bad it is.
        told: What the incident tells of already: an alert of the same is no news, and joins nothing to it.
    """
    return msgspec.structs.replace(
        incident,
        severity=worst([incident.severity, how_bad]),
        last_at=incident.last_at if tells(told, alert) else max(incident.last_at, alert.at),
        kinds=tuple(dict.fromkeys((*incident.kinds, alert.kind))),
        subjects=tuple(dict.fromkeys((*incident.subjects, *alert.subjects))),
    )


def noted(before: str, note: str) -> str:
    """What was said of an incident, with one thing more; what people wrote isn't lost when it is over."""
    return note if not before else before if not note or before.endswith(note) else f"{before}; {note}"


def is_worse(before: Incident, after: Incident) -> bool:
    """Whether people are told of an alert that joined: it is more severe, or of another kind."""
    return after.severity != before.severity or after.kinds != before.kinds


def is_over(incident: Incident, results: Sequence[WindowResult]) -> bool:
    """Whether every monitor that was in alert finds all well again; too few rows to tell says nothing.

    The monitor of quality names what is wrong, and nothing else: what it doesn't name is well.
    """
    if incident.state == "resolved":
        return False
    states = []
    for result in results:
        if result.kind in incident.kinds and result.subject in incident.subjects:
            states.append(result.state)
        elif result.kind == "quality" and "quality" in incident.kinds:
            states.append("ok" if result.state == "alert" else result.state)
    return bool(states) and set(states) == {"ok"}


def successor(incident: Incident, results: Sequence[WindowResult]) -> int | None:
    """The version that is watched in place of the incident's, whose monitors say nothing any more.

    What is found of the service, every few seconds, says nothing of windows that are still to end.
    """
    versions = {result.version for result in results if result.kind != "operations"}
    if not versions or incident.version in versions or _LASTING & set(incident.kinds):
        return None
    return max(versions)


def is_left_alone(incident: Incident, now: datetime, after: timedelta) -> bool:
    """Whether nobody has taken an incident for too long."""
    return incident.state == "open" and incident.escalated_at is None and now - incident.opened_at >= after


def escalated(incident: Incident, now: datetime) -> Incident:
    """An incident that nobody answered: one step more severe; a warning at most where all of it is drift."""
    place = min(SEVERITIES.index(incident.severity) + 1, len(SEVERITIES) - 1)
    if set(incident.kinds) <= _DRIFTS:
        place = max(SEVERITIES.index(incident.severity), SEVERITIES.index("warning"))
    return msgspec.structs.replace(incident, severity=SEVERITIES[place], escalated_at=now)


def is_muted(kind: str, subjects: Iterable[str], at: datetime, mutes: Iterable[Mute]) -> bool:
    """Whether all that a kind of monitor says of some subjects is kept quiet at a time."""
    quiet = {one.subject for one in mutes if one.since <= at < one.until and one.kind in {"", kind}}
    return bool(quiet) and ("" in quiet or set(subjects) <= quiet)


def notice(
    incident: Incident, occasion: Occasion, at: datetime, sentence: str, results: Sequence[WindowResult] = ()
) -> Notice:
    """What is sent about an incident. The same occasion at the same time is the same notice.

    Args:
        incident: The incident as it is now.
        occasion: Why it is sent.
        at: When that happened.
        sentence: What happened.
        results: What the window found that it is sent for.
    """
    since = min((one.since for one in results), default=at)
    found = causes(results, since, at)
    return Notice(
        id=f"{incident.id}-{occasion}-{at:%Y%m%dT%H%M%S}",
        occasion=occasion,
        at=at,
        incident=incident,
        sentence=sentence,
        affected=affected(incident, found) if found else "",
        causes=tuple(one.sentence for one in found[:_TOLD_CAUSES]),
    )


def alert_notice(incident: Incident, alert: Alert) -> Notice:
    """An alert as it is handed on."""
    return Notice(
        id=f"{incident.id}-alert-{alert.id}",
        occasion="alert",
        at=alert.at,
        incident=incident,
        sentence=alert.sentence,
        alert=msgspec.structs.replace(alert, delivered=True),
    )


def affected(incident: Incident, found: Sequence[Cause]) -> str:
    """Which rows an incident concerns, in words."""
    parts = list(dict.fromkeys(cause.segment for cause in found if cause.segment))
    everybody = not parts or any(not cause.segment for cause in found)
    rows = "all rows" if everybody else f"rows with {' or '.join(parts[:3])}"
    worse = f", above all {' and '.join(parts[:3])}" if everybody and parts else ""
    return f"{rows} of {incident.model}/{incident.version}{worse}"


def wait(attempts: int) -> timedelta:
    """How long until a notice is tried again: 10 s, twice as long after each attempt, an hour at most."""
    return min(_FIRST_RETRY * int(2 ** min(attempts - 1, 12)), _LAST_RETRY)


def causes(windows: Sequence[WindowResult], since: datetime, until: datetime) -> tuple[Cause, ...]:
    """What was in alert within a stretch of time, the likeliest cause first.

    Broken data and service come before the drift that they explain, drift before the predictions that follow
    from it, and these before the metric, which is what is to be explained. Within each, by weight.

    Args:
        windows: The model's windows, oldest first.
        since: From when on.
        until: Until when, inclusive.
    """
    courses: dict[tuple[str, ...], list[WindowResult]] = {}
    for window in windows:
        if window.until <= until:
            key = (window.kind, window.subject, window.segment, window.statistic)
            courses.setdefault(key, []).append(window)
    named = [one.until for one in windows if one.kind == "quality" and one.state != "inconclusive"]
    looked = max((one for one in named if one <= until), default=None)
    found = [_cause(course, looked) for course in courses.values() if _alerts(course, since)]
    order = (
        "quality",
        "operations",
        "input",
        "multivariate",
        "prediction",
        "fairness",
        "estimated",
        "performance",
        "retraining",
    )
    return tuple(sorted(found, key=lambda cause: (order.index(cause.kind), -cause.weight, cause.subject)))


def _alerts(course: Sequence[WindowResult], since: datetime) -> bool:
    return any(_stands_out(window) and window.until > since for window in course)


def _stands_out(window: WindowResult) -> bool:
    """Whether a finding is in alert; a segment that only does as all rows do isn't one of its own."""
    return window.state == "alert" and not (window.segment and window.explained_by)


def _cause(course: Sequence[WindowResult], looked: datetime | None) -> Cause:
    """What the windows of one figure come to; the monitor of quality ``looked`` last at that moment."""
    last = max(place for place, window in enumerate(course) if _stands_out(window))
    first = last
    while first and course[first - 1].state == "alert":
        first -= 1
    shown = course[last]
    # Quality names what is wrong, and nothing else: what a later look doesn't name is well.
    silent = shown.kind == "quality" and looked is not None and looked > shown.until
    over = silent or any(window.state == "ok" for window in course[last + 1 :])
    return Cause(
        kind=shown.kind,
        subject=shown.subject,
        segment=shown.segment,
        statistic=shown.statistic,
        value=shown.value,
        limit=shown.limit,
        weight=weight(shown),
        since=course[first].since,
        until=shown.until if over else None,
        course=tuple(window.value for window in course if window.value is not None),
        ends=tuple(window.until for window in course if window.value is not None),
        sentence=shown.sentence,
    )
