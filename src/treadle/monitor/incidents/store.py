"""Incidents, mutes and notices on their way, kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import get_args

import msgspec
import sqlalchemy as sa

from treadle.kernel.database import Instant, Json, insert_once, schema
from treadle.kernel.events import events
from treadle.monitor.incidents import rules
from treadle.monitor.incidents.channels import ALERTS
from treadle.monitor.incidents.types import Delivery, Incident, IncidentState, Mute, Notice, Occasion
from treadle.monitor.store import alerts, set_delivered
from treadle.monitor.types import MonitorKind

incidents = sa.Table(
    "incidents",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("last_at", Instant, nullable=False),
    sa.Column("kinds", Json(tuple[MonitorKind, ...]), nullable=False),
    sa.Column("subjects", Json(tuple[str, ...]), nullable=False),
    sa.Column("acknowledged_at", Instant),
    sa.Column("acknowledged_by", sa.Text, nullable=False),
    sa.Column("escalated_at", Instant),
    sa.Column("resolved_at", Instant),
    sa.Column("resolved_by", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.UniqueConstraint("model", "number", name="incidents_by_number"),
)

members = sa.Table(
    "incident_alerts",
    schema,
    sa.Column("alert", sa.Text, primary_key=True),
    sa.Column("incident", sa.Text, nullable=False),
    sa.Index("incident_alerts_by_incident", "incident"),
)
"""Which incident each alert belongs to."""

mutes = sa.Table(
    "mutes",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("mutes_by_model", "model", "until"),
)

LEASE = timedelta(minutes=1)
"""For so long a notice is in one process's hands while it is sent."""

_OCCASIONS: tuple[Occasion, ...] = get_args(Occasion)

deliveries = sa.Table(
    "deliveries",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("notice", Json(Notice), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("delivered_at", Instant),
    sa.Column("error", sa.Text, nullable=False),
    sa.Index("deliveries_by_time", "delivered_at", "next_at"),
)
"""Notices that are to be sent, written in the transaction that says why."""


def read_incidents(
    connection: sa.Connection, model: str, states: Iterable[IncidentState] = ()
) -> list[Incident]:
    """A model's incidents, oldest first; in some states, if these are given."""
    query = sa.select(incidents).where(incidents.c.model == model).order_by(incidents.c.number)
    if wanted := list(states):
        query = query.where(incidents.c.state.in_(wanted))
    return [Incident(**row) for row in connection.execute(query).mappings()]


def find_incident(connection: sa.Connection, incident_id: str) -> Incident | None:
    """An incident by its name."""
    query = sa.select(incidents).where(incidents.c.id == incident_id)
    row = connection.execute(query).mappings().first()
    return Incident(**row) if row else None


def seen(connection: sa.Connection, incident: Incident) -> datetime:
    """When an incident was opened, by who could be told then: later than the window's end after an outage."""
    opened = rules.notice(incident, "opened", incident.opened_at, "").id
    query = sa.select(events.c.facts).where(events.c.id == f"incident:{opened}")
    facts: Mapping[str, str] = connection.execute(query).scalar() or {}
    return datetime.fromisoformat(facts["seen"]) if "seen" in facts else incident.opened_at


def tellings(connection: sa.Connection, incident: Incident) -> set[datetime]:
    """When people were told what an incident is: as it was opened, and each time that it had become worse."""
    return {at for at, _ in _told_of(connection, incident)}


def growths(connection: sa.Connection, incident: Incident) -> list[str]:
    """What an incident had grown by each time that people were told so, oldest first."""
    return [facts["grew"] for _, facts in _told_of(connection, incident) if "grew" in facts]


def told_again(connection: sa.Connection, incident: Incident) -> int:
    """How often people were told of an incident again before it was over: it was worse, or left alone."""
    return len(_told_of(connection, incident, ("worse", "escalated")))


def _told_of(
    connection: sa.Connection, incident: Incident, occasions: Sequence[str] = ("opened", "worse")
) -> list[tuple[datetime, Mapping[str, str]]]:
    query = (
        sa.select(events.c.at, events.c.facts)
        .where(events.c.subject == f"model:{incident.model}", events.c.kind == "incident")
        .where(events.c.at >= incident.opened_at)
        .order_by(events.c.at)
    )
    return [
        (at, facts)
        for at, facts in connection.execute(query)
        if facts.get("incident") == incident.id and facts.get("occasion") in occasions
    ]


def next_number(connection: sa.Connection, model: str) -> int:
    """The number of a model's next incident."""
    query = sa.select(sa.func.max(incidents.c.number)).where(incidents.c.model == model)
    return (connection.execute(query).scalar() or 0) + 1


def put_incident(connection: sa.Connection, incident: Incident) -> None:
    """Writes an incident, new or changed."""
    values = msgspec.structs.asdict(incident)
    changed = incidents.update().where(incidents.c.id == incident.id).values(**values)
    if not connection.execute(changed).rowcount:
        connection.execute(incidents.insert().values(**values))


def add_member(connection: sa.Connection, alert_id: str, incident_id: str) -> None:
    """Notes which incident an alert belongs to."""
    insert_once(connection, members, {"alert": alert_id, "incident": incident_id})


def members_of(connection: sa.Connection, incident_id: str) -> set[str]:
    """The alerts of an incident."""
    query = sa.select(members.c.alert).where(members.c.incident == incident_id)
    return set(connection.execute(query).scalars())


def incident_of(connection: sa.Connection, alert_id: str) -> Incident | None:
    """The incident that an alert belongs to."""
    query = sa.select(members.c.incident).where(members.c.alert == alert_id)
    name = connection.execute(query).scalar()
    return find_incident(connection, name) if name else None


def told(connection: sa.Connection, incident_ids: Iterable[str]) -> dict[str, set[tuple[MonitorKind, str]]]:
    """What the alerts of incidents tell of, monitors and subjects, by the incident's name."""
    found: dict[str, set[tuple[MonitorKind, str]]] = {name: set() for name in incident_ids}
    query = (
        sa.select(members.c.incident, alerts.c.kind, alerts.c.subjects)
        .join(alerts, alerts.c.id == members.c.alert)
        .where(members.c.incident.in_(list(found)))
    )
    for incident, kind, subjects in connection.execute(query):
        found[incident] |= {(kind, subject) for subject in subjects}
    return found


def add_mute(connection: sa.Connection, mute: Mute) -> None:
    """Adds a mute."""
    connection.execute(mutes.insert().values(**msgspec.structs.asdict(mute)))


def read_mutes(connection: sa.Connection, model: str, at: datetime | None = None) -> list[Mute]:
    """A model's mutes, oldest first; those that hold at a moment or later, if it is given."""
    query = sa.select(mutes).where(mutes.c.model == model).order_by(mutes.c.since, mutes.c.id)
    if at is not None:
        query = query.where(mutes.c.until > at)
    return [Mute(**row) for row in connection.execute(query).mappings()]


def end_mute(connection: sa.Connection, mute_id: str, at: datetime) -> Mute | None:
    """Ends a mute now; the mute as it was, None if there is none of that name that still holds."""
    which = mutes.c.id == mute_id, mutes.c.until > at
    found = connection.execute(sa.select(mutes).where(*which)).mappings().first()
    ended = connection.execute(mutes.update().where(*which).values(until=at))
    return Mute(**found) if found and ended.rowcount == 1 else None


def add_delivery(connection: sa.Connection, notice: Notice, channel: str, at: datetime) -> None:
    """Has a notice sent by a channel, once. What waits before it for another try is tried now."""
    sooner = deliveries.c.id.startswith(f"{notice.incident.id}-", autoescape=True)
    late = (sooner, deliveries.c.channel == channel, deliveries.c.delivered_at.is_(None))
    connection.execute(deliveries.update().where(*late, deliveries.c.next_at > at + LEASE).values(next_at=at))
    row = {"id": notice.id, "channel": channel, "notice": notice, "attempts": 0, "next_at": at, "error": ""}
    insert_once(connection, deliveries, row)


def alerts_on_way(connection: sa.Connection) -> set[str]:
    """The alerts that are handed on, and that their receiver hasn't taken yet."""
    query = sa.select(deliveries.c.notice).where(deliveries.c.delivered_at.is_(None))
    found = connection.execute(query.where(deliveries.c.channel == ALERTS)).scalars()
    return {one.alert.id for one in found if one.alert is not msgspec.UNSET}


def hurry(connection: sa.Connection, channel: str, at: datetime) -> None:
    """Has all that waits for another try by a way tried now."""
    late = deliveries.c.channel == channel, deliveries.c.delivered_at.is_(None)
    connection.execute(deliveries.update().where(*late, deliveries.c.next_at > at + LEASE).values(next_at=at))


def due(connection: sa.Connection, at: datetime) -> list[Delivery]:
    """What is to be sent by now, oldest first; of what waits about one incident by one way, the first only.

    A receiver hears of things in their order. Told first that trouble is over and then that there is some,
    Alertmanager would have an alert that nobody ends.
    """
    query = sa.select(deliveries).where(deliveries.c.delivered_at.is_(None))
    waiting = [_delivery(row) for row in connection.execute(query).mappings()]
    first: dict[tuple[str, str], Delivery] = {}
    for one in sorted(waiting, key=_order):
        first.setdefault((one.notice.incident.id, one.channel), one)
    found = [one for one in first.values() if one.next_at <= at]
    return sorted(found, key=lambda one: (one.next_at, one.notice.id, one.channel))


def _order(one: Delivery) -> tuple[datetime, int, str, str]:
    """In which notices follow each other."""
    return one.notice.at, _OCCASIONS.index(one.notice.occasion), one.notice.id, one.channel


def read_deliveries(connection: sa.Connection, incident_id: str) -> list[Delivery]:
    """What was sent, or is on its way, about an incident."""
    query = sa.select(deliveries).where(deliveries.c.id.startswith(f"{incident_id}-", autoescape=True))
    found = [_delivery(row) for row in connection.execute(query).mappings()]
    return sorted((one for one in found if one.notice.incident.id == incident_id), key=_order)


def told_by(connection: sa.Connection, incident_id: str) -> set[str]:
    """By which ways people were told, or are to be told, of an incident."""
    return {one.channel for one in read_deliveries(connection, incident_id)}


def _delivery(row: sa.RowMapping) -> Delivery:
    return Delivery(**{name: value for name, value in row.items() if name != "id"})


def claim(connection: sa.Connection, delivery: Delivery, until: datetime) -> bool:
    """Takes a delivery until a moment, unless another process has; who dies with it lets it go then."""
    taken = (
        deliveries.update()
        .where(
            deliveries.c.id == delivery.notice.id,
            deliveries.c.channel == delivery.channel,
            deliveries.c.delivered_at.is_(None),
            deliveries.c.next_at == delivery.next_at,
        )
        .values(next_at=until, attempts=delivery.attempts + 1)
    )
    return connection.execute(taken).rowcount == 1


def settle(
    connection: sa.Connection,
    delivery: Delivery,
    *,
    delivered_at: datetime | None = None,
    next_at: datetime | None = None,
    error: str = "",
) -> None:
    """Notes that a delivery was taken, or when it is tried again and why it wasn't."""
    values: dict[str, object] = {"error": error, "delivered_at": delivered_at}
    if next_at is not None:
        values["next_at"] = next_at
    which = deliveries.c.id == delivery.notice.id, deliveries.c.channel == delivery.channel
    connection.execute(deliveries.update().where(*which).values(**values))
    alert = delivery.notice.alert
    if delivered_at is not None and alert is not msgspec.UNSET:
        set_delivered(connection, alert.id)
