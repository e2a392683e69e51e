"""Incidents: looked at, taken, kept quiet, resolved, told again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, TreadleError
from treadle.kernel.events import record, timeline
from treadle.kernel.ids import RandomIds
from treadle.kernel.names import did_you_mean
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import store as monitor_store
from treadle.monitor.incidents import grouping, rules, store
from treadle.monitor.incidents.channels import ALERTS, channels, ways
from treadle.monitor.incidents.types import (
    ChannelTest,
    Delivery,
    Incident,
    IncidentChange,
    IncidentReport,
    IncidentState,
    Mute,
    NewMute,
)
from treadle.monitor.log import PredictionLog, check_model
from treadle.monitor.types import Alert
from treadle.registry import Registry

_BEFORE = timedelta(days=7)
_LONGEST = 24 * 366
_SHOWN = 20
_UNFORESEEN = frozenset(("operations", "retraining"))
"""Kinds of alerts whose subjects nobody can list beforehand."""

Found: TypeAlias = list[Incident]


class Incidents:
    """The incidents of a workspace's models.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def list(self, model: str, state: IncidentState | None = None) -> Found:
        """A model's incidents, oldest first.

        Raises:
            NotFound: If there is no such model.
        """
        check_model(self._ws, model)
        with self._ws.database.read() as connection:
            return store.read_incidents(connection, model, (state,) if state else ())

    def show(self, incident_id: str) -> IncidentReport:
        """All that is known of an incident.

        Raises:
            NotFound: If there is no such incident.
            StorageError: If a store can't be read.
        """
        with self._ws.database.read() as connection:
            incident = self._find(store.find_incident(connection, incident_id), incident_id)
            mine = store.members_of(connection, incident_id)
            alerts = [one for one in monitor_store.read_alerts(connection, incident.model) if one.id in mine]
            windows = monitor_store.read_windows(connection, incident.model)
            growths = store.growths(connection, incident)
        until = incident.resolved_at or max(self._ws.clock.now(), incident.last_at)
        causes = rules.causes(windows, incident.since, until)
        return IncidentReport(
            incident=incident,
            alerts=tuple(alerts),
            causes=causes[:_SHOWN],
            affected=rules.affected(incident, causes),
            predictions=self._predictions(incident, until),
            production=self._production(incident, until),
            next=_next(incident),
            growths=tuple(growths),
        )

    def change(self, incident_id: str, change: IncidentChange, actor: str) -> Incident:
        """Takes an incident, or says that it is over.

        Raises:
            NotFound: If there is no such incident.
            Conflict: If it is resolved already.
        """
        told = ways(self._ws.config.monitor.notify)
        now = self._ws.clock.now()
        with self._ws.database.read() as connection:
            model = self._find(store.find_incident(connection, incident_id), incident_id).model
        with monitor_store.changing(self._ws.database, model) as connection:
            incident = self._find(store.find_incident(connection, incident_id), incident_id)
            if incident.state == "resolved":
                raise Conflict(
                    f"it was resolved by {incident.resolved_by}",
                    where=incident_id,
                    fix="an alert that comes again opens a new incident",
                )
            if change.state == "resolved":
                return grouping.resolve(connection, incident, now, actor, change.note, told)
            after = msgspec.structs.replace(
                incident,
                state="acknowledged",
                acknowledged_at=now,
                acknowledged_by=actor,
                note=rules.noted(incident.note, change.note),
            )
            store.put_incident(connection, after)
            said = f"{after.id} was taken by {actor}" + (f": {change.note}" if change.note else "")
            facts = {"incident": after.id, "occasion": "taken", "severity": after.severity}
            record(connection, self._event(after.model, "incident", actor, said, facts))
            return after

    def mute(self, model: str, new: NewMute, actor: str) -> Mute:
        """Keeps a model, a kind of monitor or a column quiet for some time. Alerts are kept; nobody is told.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If the time is none, no reason is given, or nothing is watched that would be quiet.
        """
        check_model(self._ws, model)
        if not 0 < new.hours <= _LONGEST:
            raise InvalidInput(
                f"{new.hours:g} hours are no time to be quiet", fix="give up to a year of hours"
            )
        if not new.reason.strip():
            raise InvalidInput("no reason is given", where="reason", fix="say why, for who wonders later")
        if new.kind not in {"", *rules.USUAL}:
            raise InvalidInput(
                f"there is no kind of monitor {new.kind[:40]!r}", fix=f"use one of {', '.join(rules.USUAL)}"
            )
        known = self._subjects(model)
        if new.subject and new.kind not in _UNFORESEEN and new.subject not in known:
            raise InvalidInput(
                f"nothing called {new.subject[:60]!r} is watched",
                where="subject",
                fix=did_you_mean(new.subject, known),
            )
        now = self._ws.clock.now()
        mute = Mute(
            id=RandomIds().new("mute"),
            model=model,
            kind=new.kind,
            subject=new.subject,
            since=now,
            until=now + timedelta(hours=new.hours),
            by=actor,
            reason=new.reason,
        )
        with self._ws.database.write() as connection:
            store.add_mute(connection, mute)
            said = f"nobody is told of {_quiet(mute)} until {mute.until:%Y-%m-%d %H:%M}: {mute.reason}"
            record(connection, self._event(model, "muted", actor, said, {"mute": mute.id}))
        return mute

    def _subjects(self, model: str) -> set[str]:
        """What monitors of a model are about: what they found so far, inputs, and what is declared."""
        config = self._ws.config
        with self._ws.database.read() as connection:
            found = monitor_store.subjects(connection, model)
        for version in Registry(self._ws).list(model):
            found.update(field.name for field in (version.signature.inputs if version.signature else ()))
        watched = config.monitor
        return found | {
            *watched.fairness,
            *watched.embeddings,
            config.checks.performance.metric,
            "prediction",
        }

    def mutes(self, model: str) -> tuple[Mute, ...]:
        """What is kept quiet now, oldest first.

        Raises:
            NotFound: If there is no such model.
        """
        check_model(self._ws, model)
        with self._ws.database.read() as connection:
            return tuple(store.read_mutes(connection, model, self._ws.clock.now()))

    def unmute(self, mute_id: str, actor: str = "") -> None:
        """Ends a mute.

        Args:
            mute_id: The mute.
            actor: Who asks for it, where that is known.

        Raises:
            NotFound: If no such mute holds.
        """
        with self._ws.database.write() as connection:
            ended = store.end_mute(connection, mute_id, self._ws.clock.now())
            if ended is None:
                raise NotFound(f"no mute {mute_id[:60]!r} holds", fix="see `treadle incidents mutes`")
            said = f"people are told of {_quiet(ended)} again, before {ended.until:%Y-%m-%d %H:%M}"
            record(connection, self._event(ended.model, "unmuted", actor, said, {"mute": mute_id}))

    def _event(self, model: str, kind: str, actor: str, said: str, facts: dict[str, str]) -> Event:
        """What the model's timeline has of what somebody did."""
        return Event(
            id=RandomIds().new("event"),
            at=self._ws.clock.now(),
            recorded_at=SystemClock().now(),
            subject=f"model:{model}",
            kind=kind,
            actor=actor,
            message=said,
            facts=facts,
        )

    def deliveries(self, incident_id: str) -> tuple[Delivery, ...]:
        """What was sent about an incident, or is on its way.

        Raises:
            NotFound: If there is no such incident.
        """
        with self._ws.database.read() as connection:
            self._find(store.find_incident(connection, incident_id), incident_id)
            return tuple(store.read_deliveries(connection, incident_id))

    def test(self, model: str, actor: str) -> tuple[ChannelTest, ...]:
        """Sends a test notice by every way that is declared, once and at once, and says what became of it.

        What waits for another try by a way that took it is sent at the next look.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If nobody is to be told.
            ConfigError: If an address is none, or the environment lacks a secret.
        """
        check_model(self._ws, model)
        config, now = self._ws.config.monitor, self._ws.clock.now()
        made = channels(config)
        if not made:
            raise InvalidInput(
                "nobody is to be told of anything: no channel is declared",
                where="treadle.toml [monitor.notify]",
                fix="declare `webhook`, `slack_env`, `alertmanager` or [monitor.notify.email]",
            )
        alert = _test_alert(model, actor, now, self._version(model))
        incident = rules.opened(alert, 0, "warning", now)
        incident = msgspec.structs.replace(incident, id=f"{model}-test")
        notice = rules.notice(incident, "test", now, alert.sentence)
        handed = {ALERTS: rules.alert_notice(incident, alert)}
        found = tuple(
            ChannelTest(channel=name, error=_error(one.send, handed.get(name, notice)))
            for name, one in made.items()
        )
        with self._ws.database.write() as connection:
            for one in found:
                if not one.error:
                    store.hurry(connection, one.channel, SystemClock().now())
        return found

    def _version(self, model: str) -> int:
        production = Registry(self._ws).production(model)
        return production.number if production else 0

    @staticmethod
    def _find(found: Incident | None, incident_id: str) -> Incident:
        if found is None:
            raise NotFound(f"there is no incident {incident_id[:60]!r}", fix="see `treadle incidents`")
        return found

    def _predictions(self, incident: Incident, until: datetime) -> int:
        return PredictionLog(self._ws).count(incident.model, incident.since, until)

    def _production(self, incident: Incident, until: datetime) -> tuple[Event, ...]:
        events = timeline(self._ws.database, f"model:{incident.model}", until=until)
        told = [
            one
            for one in events
            if one.at >= incident.since - _BEFORE and one.kind not in {"alert", "incident"}
        ]
        return tuple(told[-_SHOWN:])


def _test_alert(model: str, actor: str, now: datetime, version: int) -> Alert:
    return Alert(
        id=f"{model}-test-{now:%Y%m%dT%H%M%S}",
        model=model,
        kind="operations",
        at=now,
        subjects=("test",),
        sentence=f"this is a test by {actor}: nothing is wrong with {model}, and who reads this is told",
        version=version,
        delivered=True,
    )


def _error(send: Callable[[Any], None], what: object) -> str:
    """Why something was not taken; empty if it was."""
    try:
        send(what)
    except TreadleError as error:
        return f"{error.where}: {error.message}" if error.where else error.message
    return ""


def _quiet(mute: Mute) -> str:
    """What a mute keeps quiet, in words."""
    what = " of ".join(filter(None, (mute.kind, mute.subject)))
    return f"{mute.model} ({what})" if what else mute.model


def _next(incident: Incident) -> tuple[str, ...]:
    if incident.state == "resolved":
        return ("treadle incidents",)
    take = (f"treadle incidents ack {incident.id}",) if incident.state == "open" else ()
    if "operations" in incident.kinds:
        act: tuple[str, ...] = ("treadle deploy", f"treadle deploy rollback {incident.model}")
    elif "retraining" in incident.kinds:
        act = ("treadle cycles", f"treadle retrain {incident.model} --plan")
    elif {"performance", "estimated"} & set(incident.kinds):
        act = ("treadle run --plan",)
    else:
        act = (f"treadle monitor show {incident.model}",)
    return (*take, *act, f"treadle incidents resolve {incident.id}")
