"""The registry's tables: models, versions, and every change of a version's status."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.kernel.database import Instant, Json, schema
from treadle.registry.types import ModelVersion, NewVersion, Status, Transition

models = sa.Table(
    "models",
    schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", Instant, nullable=False),
)

versions = sa.Table(
    "model_versions",
    schema,
    sa.Column("model", sa.Text, sa.ForeignKey(models.c.name), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("approved_by", sa.Text),
    sa.Column("spec", Json(NewVersion), nullable=False),
)
sa.Index(
    "one_version_in_production",
    versions.c.model,
    unique=True,
    sqlite_where=versions.c.status == "production",
    postgresql_where=versions.c.status == "production",
)

transitions = sa.Table(
    "model_transitions",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("override", sa.Boolean, nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["model_versions.model", "model_versions.number"]),
    sa.UniqueConstraint("model", "key", "number"),
)


def lock_model(connection: sa.Connection, name: str, at: datetime | None = None) -> bool:
    """Makes everybody else who changes this model wait until the transaction ends.

    Args:
        connection: The transaction.
        name: The model.
        at: When given, the model is made if there is none.

    Returns:
        Whether there is such a model.
    """
    if at is not None:
        insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert(models).values(name=name, created_at=at).on_conflict_do_nothing())
    query = sa.select(models.c.name).where(models.c.name == name).with_for_update()
    return connection.execute(query).first() is not None


def model_names(connection: sa.Connection) -> list[str]:
    """All models, by name."""
    return list(connection.execute(sa.select(models.c.name).order_by(models.c.name)).scalars())


def _version(row: sa.RowMapping) -> ModelVersion:
    return ModelVersion(
        **msgspec.structs.asdict(row["spec"]),
        number=row["number"],
        id=row["id"],
        created_at=row["created_at"],
        status=row["status"],
        approved_by=row["approved_by"],
    )


def find_version(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> ModelVersion | None:
    """The newest version that fulfils the conditions."""
    query = sa.select(versions).where(*where).order_by(versions.c.number.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return _version(row) if row else None


def list_versions(connection: sa.Connection, model: str | None) -> list[ModelVersion]:
    """Versions, newest first."""
    query = sa.select(versions).order_by(
        versions.c.created_at.desc(), versions.c.model, versions.c.number.desc()
    )
    if model is not None:
        query = query.where(versions.c.model == model)
    return [_version(row) for row in connection.execute(query).mappings()]


def add_version(connection: sa.Connection, new: NewVersion, identity: str, at: datetime) -> ModelVersion:
    """Adds a version under the model's next number; the model must be locked."""
    last = sa.select(sa.func.max(versions.c.number)).where(versions.c.model == new.model)
    number = (connection.execute(last).scalar() or 0) + 1
    connection.execute(
        versions.insert().values(
            model=new.model,
            number=number,
            id=identity,
            run=new.run,
            created_at=at,
            status="candidate",
            spec=new,
        )
    )
    return ModelVersion(
        **msgspec.structs.asdict(new), number=number, id=identity, created_at=at, status="candidate"
    )


def set_status(
    connection: sa.Connection, version: ModelVersion, after: Status, approved_by: str | None
) -> None:
    """Changes where a version stands."""
    connection.execute(
        versions.update()
        .where(versions.c.model == version.model, versions.c.number == version.number)
        .values(status=after, approved_by=approved_by)
    )


def add_transition(connection: sa.Connection, transition: Transition, key: str) -> int:
    """Adds to a model's history, under the next number; the model must be locked."""
    last = sa.select(sa.func.max(transitions.c.seq)).where(transitions.c.model == transition.model)
    seq = (connection.execute(last).scalar() or 0) + 1
    values = msgspec.structs.asdict(transition)
    connection.execute(transitions.insert().values(**values, seq=seq, key=key))
    return seq


def read_transitions(connection: sa.Connection, model: str, key: str | None = None) -> list[Transition]:
    """A model's history, or what was done under one key, in the order in which it was made."""
    wanted = [column for column in transitions.c if column.name not in {"seq", "key"}]
    query = sa.select(*wanted).where(transitions.c.model == model).order_by(transitions.c.seq)
    if key is not None:
        query = query.where(transitions.c.key == key)
    return [Transition(**row) for row in connection.execute(query).mappings()]
