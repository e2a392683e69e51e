"""The registry's tables: what is known of each version, and every change of its status.

Which versions there are stands in the catalogue's tables; each has one row there and one here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.kernel.database import Instant, Json, schema
from treadle.registry import catalog_store
from treadle.registry.catalog_types import CatalogVersion
from treadle.registry.rules import STATUS_OF, missing, stage_of
from treadle.registry.types import Approval, ModelVersion, Origin, Passport, Status, Transition

versions = sa.Table(
    "model_versions",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("governed", sa.Boolean, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("approved_by", sa.Text),
    sa.Column("spec", Json(Passport), nullable=False),
    sa.ForeignKeyConstraint(
        ["model", "number"],
        [catalog_store.versions.c.model, catalog_store.versions.c.number],
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    sa.Index("model_versions_by_time", "created_at", "model", "number"),
)
_OWN = versions.c.origin == "treadle"
LIVE = sa.and_(versions.c.governed, versions.c.status == "production")
"""The one version that Treadle has in production; MLflow's clients may put others there."""
sa.Index(
    "one_version_of_a_run",
    versions.c.run,
    unique=True,
    sqlite_where=_OWN,
    postgresql_where=_OWN,
)
sa.Index(
    "one_version_in_production",
    versions.c.model,
    unique=True,
    sqlite_where=LIVE,
    postgresql_where=LIVE,
)

# The history of a version that was deleted stays: its model's numbers are never given again.
transitions = sa.Table(
    "model_transitions",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("override", sa.Boolean, nullable=False),
    sa.ForeignKeyConstraint(["model"], [catalog_store.models.c.name], onupdate="CASCADE", ondelete="CASCADE"),
    sa.UniqueConstraint("model", "key", "number"),
)


approvals = sa.Table(
    "model_approvals",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("withdrawn_at", Instant),
    sa.Column("withdrawn_by", sa.Text, nullable=False, server_default=""),
    sa.Column("withdrawn_reason", sa.Text, nullable=False, server_default=""),
    sa.ForeignKeyConstraint(
        ["model", "number"],
        [catalog_store.versions.c.model, catalog_store.versions.c.number],
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    sa.Index("model_approvals_by_version", "model", "number", "at"),
)


def is_governed(connection: sa.Connection, model: str) -> bool:
    """Whether a model has a version that Treadle made or put to work."""
    query = sa.select(versions.c.number).where(versions.c.model == model, versions.c.governed).limit(1)
    return connection.execute(query).first() is not None


def find_version(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> ModelVersion | None:
    """The newest version that fulfils the conditions."""
    query = _select().where(*where).order_by(versions.c.number.desc()).limit(1)
    found = _complete(connection, query)
    return found[0] if found else None


def list_versions(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[ModelVersion]:
    """The versions that fulfil the conditions, newest first."""
    query = _select().where(*where)
    return _complete(
        connection,
        query.order_by(versions.c.created_at.desc(), versions.c.model, versions.c.number.desc()),
    )


def _select() -> sa.Select[Any]:
    entry = catalog_store.versions
    beside = (entry.c.description, entry.c.source, entry.c.logged_model, entry.c.updated_at)
    same = sa.and_(entry.c.model == versions.c.model, entry.c.number == versions.c.number)
    return sa.select(versions, *beside).join(entry, same)


def _complete(connection: sa.Connection, query: sa.Select[Any]) -> list[ModelVersion]:
    rows = connection.execute(query).mappings().all()
    tags, aliases = catalog_store.beside_versions(connection, [(row["model"], row["number"]) for row in rows])
    found = []
    for row in rows:
        key = row["model"], row["number"]
        plain = {name: value for name, value in row.items() if name != "spec"}
        spec = {name: getattr(row["spec"], name) for name in Passport.__struct_fields__}
        one = ModelVersion(**spec, **plain, tags=tags[key], aliases=tuple(aliases[key]))
        found.append(msgspec.structs.replace(one, missing=missing(one)))
    return found


def add_version(
    connection: sa.Connection,
    entry: CatalogVersion,
    spec: Passport,
    identity: str,
    origin: Origin,
    *,
    governed: bool,
) -> None:
    """Adds what is known of a version that has just been entered in the catalogue."""
    plain = {name: getattr(spec, name) for name in Passport.__struct_fields__}
    connection.execute(
        versions.insert().values(
            model=entry.model,
            number=entry.number,
            id=identity,
            origin=origin,
            governed=governed,
            run=entry.run,
            created_at=entry.created_at,
            status=STATUS_OF[entry.stage],
            spec=Passport(**plain),
        )
    )


def set_status(
    connection: sa.Connection,
    version: ModelVersion,
    after: Status,
    approved_by: str | None,
    at: datetime,
    *,
    governed: bool,
) -> None:
    """Changes where a version stands, in the words of both."""
    connection.execute(
        versions.update()
        .where(versions.c.model == version.model, versions.c.number == version.number)
        .values(status=after, approved_by=approved_by, governed=governed)
    )
    catalog_store.update_version(connection, version.model, version.number, at, stage=stage_of(after))
    catalog_store.update_model(connection, version.model, at)


def add_transition(connection: sa.Connection, transition: Transition, key: str) -> None:
    """Adds to a model's history, under the next number; the model must be locked."""
    last = sa.select(sa.func.max(transitions.c.seq)).where(transitions.c.model == transition.model)
    seq = (connection.execute(last).scalar() or 0) + 1
    values = msgspec.structs.asdict(transition)
    connection.execute(transitions.insert().values(**values, seq=seq, key=key))


def read_transitions(connection: sa.Connection, model: str, key: str | None = None) -> list[Transition]:
    """A model's history, or what was done under one key, in the order in which it was made."""
    wanted = [column for column in transitions.c if column.name not in {"seq", "key"}]
    query = sa.select(*wanted).where(transitions.c.model == model).order_by(transitions.c.seq)
    if key is not None:
        query = query.where(transitions.c.key == key)
    return [Transition(**row) for row in connection.execute(query).mappings()]


def add_approval(connection: sa.Connection, approval: Approval) -> None:
    """Adds an approval."""
    connection.execute(approvals.insert().values(**msgspec.structs.asdict(approval)))


def withdraw_approval(
    connection: sa.Connection, approval: Approval, at: datetime, actor: str, reason: str
) -> None:
    """Marks an approval as taken back."""
    values = {"withdrawn_at": at, "withdrawn_by": actor, "withdrawn_reason": reason}
    connection.execute(approvals.update().where(approvals.c.id == approval.id).values(**values))


def read_approvals(connection: sa.Connection, model: str, number: int) -> list[Approval]:
    """All approvals of a version, oldest first."""
    query = sa.select(approvals).where(approvals.c.model == model, approvals.c.number == number)
    rows = connection.execute(query.order_by(approvals.c.at, approvals.c.id)).mappings()
    return [Approval(**row) for row in rows]


def makers_of(connection: sa.Connection, version: ModelVersion) -> set[str]:
    """Who made or registered a version."""
    first = next(
        (
            one.actor
            for one in read_transitions(connection, version.model)
            if one.number == version.number and one.before is None
        ),
        "",
    )
    return {first, version.made_by} - {""}
