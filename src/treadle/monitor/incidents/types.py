"""What an incident is, what keeps it quiet, and what is sent about it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.kernel.types import Event
from treadle.monitor.types import Alert, MonitorKind, Severity

IncidentState = Literal["open", "acknowledged", "resolved"]
Occasion = Literal["opened", "worse", "escalated", "resolved", "test", "alert"]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Trouble with a model that somebody should look at: one or several alerts.

    Attributes:
        id: Its name: the model and a number, such as ``flights-3``.
        model: The model.
        number: Counted from 1 for each model.
        version: The version in production: when it was opened, or one that took over and is in the same
            trouble.
        state: Open, acknowledged by somebody, or resolved.
        severity: The worst of its alerts', raised when nobody answered.
        title: What happened, in a sentence: the first alert's.
        since: When the trouble began, as far as the monitors can tell.
        opened_at: When it was opened.
        last_at: When the latest alert was raised that it didn't tell of already.
        kinds: The kinds of monitors that are in alert.
        subjects: What they watch, worst first.
        acknowledged_at: When somebody took it.
        acknowledged_by: Who.
        escalated_at: When nobody had for too long.
        resolved_at: When it was over.
        resolved_by: Who said so: a person, or ``monitor`` where every monitor was fine again.
        note: What was said of it, the newest last.
    """

    id: str
    model: str
    number: int
    version: int
    state: IncidentState
    severity: Severity
    title: str
    since: datetime
    opened_at: datetime
    last_at: datetime
    kinds: tuple[MonitorKind, ...]
    subjects: tuple[str, ...]
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    escalated_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str = ""
    note: str = ""


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time in which nobody is told: planned work, a known fault elsewhere.

    Attributes:
        id: Its name.
        model: Of which model.
        kind: Only of this kind of monitor; of all when empty.
        subject: Only of this column or metric; of all when empty.
        since: From when on.
        until: Until when, exclusive.
        by: Who asked for it.
        reason: Why.
    """

    id: str
    model: str
    since: datetime
    until: datetime
    by: str
    reason: str
    kind: str = ""
    subject: str = ""


class NewMute(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be kept quiet.

    Attributes:
        hours: For how long from now on, in hours.
        reason: Why.
        kind: Only this kind of monitor; all when empty.
        subject: Only this column or metric; all when empty.
    """

    hours: float
    reason: str
    kind: str = ""
    subject: str = ""


class IncidentChange(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says of an incident.

    Attributes:
        state: What becomes of it: ``acknowledged`` or ``resolved``.
        note: What is said.
    """

    state: Literal["acknowledged", "resolved"]
    note: str = ""


_WINDOWLESS: frozenset[MonitorKind] = frozenset({"operations", "retraining"})
"""Monitors that look at no window."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Something that changed, and may be why.

    Attributes:
        kind: Which monitor saw it.
        subject: The column, metric or ``prediction``.
        segment: Of which rows; empty for all.
        statistic: The statistic's name.
        value: Its value in the latest window that was in alert.
        limit: From where on it is an alert.
        weight: How much it matters beside the others: how far it is over its limit, times the column's
            importance where that is known.
        since: The first window of the stretch of alerts that it is in.
        until: When the last window in alert ended, where a later one found all well; None while it stands.
        course: The values of its windows, oldest first.
        ends: When each of these windows ended.
        sentence: The finding in words.
    """

    kind: MonitorKind
    subject: str
    statistic: str
    value: float | None
    limit: float | None
    weight: float
    since: datetime
    course: tuple[float, ...]
    sentence: str
    segment: str = ""
    until: datetime | None = None
    ends: tuple[datetime, ...] = ()


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of an incident.

    Attributes:
        incident: The incident.
        alerts: Its alerts, oldest first.
        causes: What changed, the likeliest cause first: broken data before what it explains, then by weight.
        affected: Which rows are concerned, in words.
        predictions: How many predictions were answered since it began.
        production: What production was doing from a week before it began until its end: deployments,
            rollouts, promotions, cycles.
        next: The commands to go on with.
        growths: What had grown each time that people were told again because it had, oldest first.
    """

    incident: Incident
    alerts: tuple[Alert, ...]
    causes: tuple[Cause, ...]
    affected: str
    predictions: int
    production: tuple[Event, ...]
    next: tuple[str, ...]
    growths: tuple[str, ...] = ()

    @property
    def beside(self) -> list[Alert]:
        """Alerts of the service and of retraining, of which no window tells; not the one that opened it."""
        apart = [
            one for one in self.alerts if one.kind in _WINDOWLESS and one.sentence != self.incident.title
        ]
        return list({one.sentence: one for one in apart}.values())

    @property
    def windowed(self) -> bool:
        """Whether any of its monitors looks at windows."""
        return bool(set(self.incident.kinds) - _WINDOWLESS)


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent about an incident; sending it twice is sending it once.

    Attributes:
        id: Its identity, by which a receiver that gets it twice can tell.
        occasion: Why it is sent.
        at: When that happened.
        incident: The incident as it was then.
        sentence: What happened.
        affected: Which rows are concerned, in words; empty where nothing new was found.
        causes: What changed, in sentences, the likeliest cause first; none where nothing new was found.
        growths: How often people have been told that it had grown, with this notice.
        again: How often they have been told again for whatever reason, likewise.
        alert: The alert that is handed on, where ``[monitor] webhook`` gets it.
    """

    id: str
    occasion: Occasion
    at: datetime
    incident: Incident
    sentence: str
    affected: str = ""
    causes: tuple[str, ...] = ()
    growths: int = 0
    again: int = 0
    alert: Alert | msgspec.UnsetType = msgspec.UNSET


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A notice on its way to one receiver.

    Attributes:
        notice: The notice.
        channel: By which way: ``slack``, ``webhook``, ``email`` or ``alertmanager``; or ``alerts``, which is
            ``[monitor] webhook``.
        attempts: How often it was tried.
        next_at: When it is tried next.
        delivered_at: When it was taken.
        error: Why it was not taken the last time.
    """

    notice: Notice
    channel: str
    attempts: int
    next_at: datetime
    delivered_at: datetime | None = None
    error: str = ""


class ChannelTest(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a test notice.

    Attributes:
        channel: By which way it was sent.
        error: Why it was not taken; empty if it was.
    """

    channel: str
    error: str = ""
