"""The timeline: every decision, who or what took it, when and why. Only ever added to."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.kernel.database import Database, Instant, Json, insert_once, schema
from treadle.kernel.types import Event

events = sa.Table(
    "events",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("facts", Json(dict[str, str]), nullable=False),
    sa.Index("events_by_subject", "subject", "at", "id"),
)


def record(connection: sa.Connection, event: Event) -> None:
    """Adds an event in the caller's transaction, once."""
    insert_once(connection, events, msgspec.structs.asdict(event))


def timeline(
    database: Database,
    subject: str,
    limit: int = 1000,
    *,
    until: datetime | None = None,
    kinds: Collection[str] = (),
) -> list[Event]:
    """The latest events of a subject, oldest first; up to a moment and of some kinds, if these are given."""
    conditions = [events.c.subject == subject]
    conditions += [events.c.at <= until] if until else []
    conditions += [events.c.kind.in_(kinds)] if kinds else []
    query = (
        sa.select(events)
        .where(*conditions)
        .order_by(events.c.at.desc(), events.c.recorded_at.desc(), events.c.id.desc())
        .limit(limit)
    )
    with database.read() as connection:
        return [Event(**row) for row in reversed(connection.execute(query).mappings().all())]
