"""The deployments' tables: revisions, and replicas as last heard of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from treadle.deploy.types import Replica, ReplicaReport, Revision, TrialReport
from treadle.kernel.config import DeployConfig
from treadle.kernel.database import Instant, Json, insert_once, schema

_FORGOTTEN_AFTER = timedelta(days=1)

revisions = sa.Table(
    "revisions",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("served_at", Instant),
    sa.Column("error", sa.Text),
    sa.Column("previous", sa.Integer),
    sa.Column("plan", Json(DeployConfig)),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("step_at", Instant),
    sa.Column("environment", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("model", "key"),
)

trials = sa.Table(
    "trial_counts",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("replica", sa.Text, nullable=False),
    sa.Column("report", Json(TrialReport), nullable=False),
)

replicas = sa.Table(
    "replicas",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("replica", sa.Text, primary_key=True),
    sa.Column("heard_at", Instant, nullable=False),
    sa.Column("report", Json(ReplicaReport), nullable=False),
)

_FIELDS = [revisions.c[name] for name in Revision.__struct_fields__]


def lock(connection: sa.Connection, model: str) -> None:
    """Keeps others from changing a model's revisions until the transaction ends."""
    query = sa.select(revisions.c.revision).where(revisions.c.model == model)
    # In one order: two that lock the same rows in different orders would wait for each other.
    connection.execute(query.order_by(revisions.c.revision).with_for_update()).all()


def read_revisions(connection: sa.Connection, model: str, environment: str | None = "") -> list[Revision]:
    """A model's revisions in an environment, or (None) in all of them, oldest first."""
    query = sa.select(*_FIELDS).where(revisions.c.model == model).order_by(revisions.c.revision)
    if environment is not None:
        query = query.where(revisions.c.environment == environment)
    return [Revision(**row) for row in connection.execute(query).mappings()]


def read_revisions_of(
    connection: sa.Connection, models: Iterable[str], environment: str
) -> dict[str, list[Revision]]:
    """The revisions of several models in an environment, oldest first; none of one that has none."""
    mine = revisions.c.model.in_(list(models)) & (revisions.c.environment == environment)
    query = sa.select(*_FIELDS).where(mine).order_by(revisions.c.model, revisions.c.revision)
    found: dict[str, list[Revision]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["model"], []).append(Revision(**row))
    return found


def find_by_key(connection: sa.Connection, model: str, key: str) -> Revision | None:
    """The revision that was asked for under a key."""
    query = sa.select(*_FIELDS).where(revisions.c.model == model, revisions.c.key == key)
    row = connection.execute(query).mappings().first()
    return Revision(**row) if row else None


def add_revision(connection: sa.Connection, revision: Revision, key: str) -> None:
    """Adds a revision."""
    connection.execute(revisions.insert().values(key=key, **msgspec.structs.asdict(revision)))


def update_revision(connection: sa.Connection, revision: Revision) -> None:
    """Writes a revision's new state."""
    connection.execute(
        revisions.update()
        .where(revisions.c.model == revision.model, revisions.c.revision == revision.revision)
        .values(
            state=revision.state,
            served_at=revision.served_at,
            error=revision.error,
            step=revision.step,
            step_at=revision.step_at,
        )
    )


def key_of(connection: sa.Connection, revision: Revision) -> str:
    """The key under which a revision was asked for."""
    query = sa.select(revisions.c.key).where(
        revisions.c.model == revision.model, revisions.c.revision == revision.revision
    )
    return str(connection.execute(query).scalar_one())


def save_trial(connection: sa.Connection, model: str, replica: str, report: TrialReport) -> None:
    """Keeps what a process saw of a revision in trial, in place of what it said before."""
    mine = (trials.c.model == model) & (trials.c.revision == report.revision)
    connection.execute(trials.delete().where(mine & (trials.c.process == report.process)))
    connection.execute(
        trials.insert().values(
            model=model, revision=report.revision, process=report.process, replica=replica, report=report
        )
    )


def read_trials(connection: sa.Connection, model: str, revision: int) -> list[tuple[str, TrialReport]]:
    """What each process saw of a revision in trial, with the replica that it is or was."""
    query = sa.select(trials.c.replica, trials.c.report).where(
        trials.c.model == model, trials.c.revision == revision
    )
    return [(row.replica, row.report) for row in connection.execute(query.order_by(trials.c.process))]


def forget_trials(connection: sa.Connection, model: str, ended: Iterable[int]) -> None:
    """Forgets the counts of trials that have ended; what decided them is in their events."""
    connection.execute(trials.delete().where(trials.c.model == model, trials.c.revision.in_(list(ended))))


def save_report(connection: sa.Connection, report: ReplicaReport, now: datetime) -> ReplicaReport | None:
    """Keeps what a replica said last, and forgets those long gone; what it had said before."""
    mine = sa.and_(
        replicas.c.model == report.model,
        replicas.c.environment == report.environment,
        replicas.c.replica == report.replica,
    )
    name = {"model": report.model, "environment": report.environment, "replica": report.replica}
    before = None
    if not insert_once(connection, replicas, {**name, "heard_at": now, "report": report}):
        before = connection.execute(sa.select(replicas.c.report).where(mine).with_for_update()).scalar()
        connection.execute(replicas.update().where(mine).values(heard_at=now, report=report))
    connection.execute(replicas.delete().where(~mine, replicas.c.heard_at < now - _FORGOTTEN_AFTER))
    return before


def read_replicas(
    connection: sa.Connection, model: str, since: datetime, environment: str = ""
) -> list[Replica]:
    """The replicas of a model in an environment heard of since a moment, by name."""
    mine = (replicas.c.model == model) & (replicas.c.environment == environment)
    query = (
        sa.select(replicas.c.report, replicas.c.heard_at)
        .where(mine, replicas.c.heard_at >= since)
        .order_by(replicas.c.replica)
    )
    return [
        Replica(heard_at=heard_at, **msgspec.structs.asdict(report))
        for report, heard_at in connection.execute(query)
    ]
