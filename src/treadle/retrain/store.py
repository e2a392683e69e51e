"""Cycles, kept: what a user sees of each, and what its next stage needs."""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.kernel.database import Instant, Json, schema
from treadle.retrain.types import Cycle, NewCycle
from treadle.retrain.work import Work

cycles = sa.Table(
    "cycles",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("goal", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("as_of", Instant, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("asked", Json(NewCycle), nullable=False),
    sa.Column("cycle", Json(Cycle), nullable=False),
    sa.Column("work", Json(Work), nullable=False),
    sa.Index("cycles_by_model", "model", "started_at", "id"),
    # One running cycle a model; two that start at once can't both win.
    sa.Index(
        "cycles_one_running",
        "model",
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    ),
)


_LIMIT_LOCK = 7_230_311


def lock(connection: sa.Connection) -> None:
    """Has whoever begins a cycle wait for whoever else does, until the transaction ends."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LIMIT_LOCK)))


def insert(connection: sa.Connection, cycle: Cycle, asked: NewCycle) -> None:
    """Adds a cycle that begins."""
    connection.execute(
        cycles.insert().values(
            id=cycle.id,
            model=cycle.model,
            goal=cycle.goal,
            state=cycle.state,
            as_of=cycle.as_of,
            started_at=cycle.started_at,
            asked=asked,
            cycle=cycle,
            work=Work(),
        )
    )


def update(connection: sa.Connection, cycle: Cycle, work: Work | None = None) -> None:
    """Replaces what is kept of a cycle."""
    change = cycles.update().where(cycles.c.id == cycle.id).values(cycle=cycle, state=cycle.state)
    connection.execute(change if work is None else change.values(work=work))


def load(connection: sa.Connection, cycle_id: str) -> tuple[Cycle, NewCycle, Work] | None:
    """A cycle, what was asked for, and what it has come to."""
    row = connection.execute(
        sa.select(cycles.c.cycle, cycles.c.asked, cycles.c.work).where(cycles.c.id == cycle_id)
    ).first()
    return (row[0], row[1], row[2]) if row else None


def select(
    connection: sa.Connection,
    model: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
) -> list[Cycle]:
    """Cycles, oldest first."""
    query = sa.select(cycles.c.cycle).order_by(cycles.c.started_at, cycles.c.id)
    if model is not None:
        query = query.where(cycles.c.model == model)
    if state is not None:
        query = query.where(cycles.c.state == state)
    if since is not None:
        query = query.where(cycles.c.as_of > since)
    return list(connection.execute(query).scalars())


def replace_stage(cycle: Cycle, name: str, **changes: object) -> Cycle:
    """The cycle with one stage changed."""
    stages = tuple(
        msgspec.structs.replace(stage, **changes) if stage.name == name else stage for stage in cycle.stages
    )
    return msgspec.structs.replace(cycle, stages=stages)
