"""What was told already, of which run and version: the difference to what is, is still to be told."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from treadle.experiment import tables
from treadle.kernel.database import Instant, insert_once, schema
from treadle.registry.openlineage.events import ENDS
from treadle.registry.store import versions

told = sa.Table(
    "lineage_told",
    schema,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
)


def since(connection: sa.Connection) -> datetime | None:
    """From when on runs and versions are told of; None if that was never said."""
    found: datetime | None = connection.execute(sa.select(told.c.at).where(told.c.kind == "since")).scalar()
    return found


def begin(connection: sa.Connection, now: datetime) -> None:
    """Runs and versions are told of from a moment on, unless they are already."""
    insert_once(connection, told, {"kind": "since", "id": "", "state": "", "at": now})


def untold_runs(connection: sa.Connection, after: datetime, limit: int) -> list[tuple[str, str]]:
    """Runs that began or ended since they were told of: identity, and the state told last, oldest first."""
    run = tables.runs.c
    mine = sa.and_(told.c.kind == "run", told.c.id == run.id)
    state = sa.func.coalesce(told.c.state, "")
    new = sa.or_(state == "", sa.and_(state == "running", run.status.in_(ENDS)))
    begun = sa.or_(run.ended_at.is_(None), run.ended_at >= after)
    query = sa.select(run.id, state).outerjoin(told, mine).where(begun, new, run.status != "scheduled")
    rows = connection.execute(query.order_by(run.started_at, run.id).limit(limit))
    return [(row[0], row[1]) for row in rows]


def untold_versions(connection: sa.Connection, after: datetime, limit: int) -> list[str]:
    """Model versions that runs became since then, and that nobody was told of: as ``flights/3``."""
    name = versions.c.model + "/" + sa.cast(versions.c.number, sa.Text)
    mine = sa.and_(told.c.kind == "model", told.c.id == name)
    new = (told.c.state.is_(None), versions.c.created_at >= after, versions.c.run != "")
    query = sa.select(name).outerjoin(told, mine).where(*new)
    rows = connection.execute(query.order_by(versions.c.created_at, name).limit(limit))
    return [row[0] for row in rows]


def tell(connection: sa.Connection, kind: str, identity: str, state: str, at: datetime) -> None:
    """Notes what was told last."""
    if not insert_once(connection, told, {"kind": kind, "id": identity, "state": state, "at": at}):
        mine = sa.and_(told.c.kind == kind, told.c.id == identity)
        connection.execute(told.update().where(mine).values(state=state, at=at))
