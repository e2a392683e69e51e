"""The table of compute that was used."""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.govern.types import Usage
from treadle.kernel.database import Instant, insert_once, schema

usages = sa.Table(
    "usages",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("cpu_seconds", sa.Float, nullable=False),
    sa.Column("wall_seconds", sa.Float, nullable=False),
    sa.Column("cycle", sa.Text),
    sa.Index("usages_by_model", "model", "at"),
    sa.Index("usages_by_cycle", "cycle"),
)


def add_once(connection: sa.Connection, usage: Usage) -> None:
    """Adds a usage, unless one of its identity is there."""
    insert_once(connection, usages, msgspec.structs.asdict(usage))


def between(connection: sa.Connection, model: str, after: datetime, until: datetime) -> list[Usage]:
    """A model's usages that ended after a moment and not later than another, the oldest first."""
    query = (
        sa.select(usages)
        .where(usages.c.model == model, usages.c.at > after, usages.c.at <= until)
        .order_by(usages.c.at, usages.c.id)
    )
    return [Usage(**row) for row in connection.execute(query).mappings()]


def of_cycle(connection: sa.Connection, cycle: str) -> float:
    """CPU-seconds that a cycle has used."""
    query = sa.select(sa.func.sum(usages.c.cpu_seconds)).where(usages.c.cycle == cycle)
    return float(connection.execute(query).scalar() or 0.0)


def of_run(connection: sa.Connection, run: str) -> float | None:
    """CPU-seconds that a run has used; None if nothing was metered."""
    query = sa.select(sa.func.sum(usages.c.cpu_seconds)).where(usages.c.run == run)
    found = connection.execute(query).scalar()
    return None if found is None else float(found)
