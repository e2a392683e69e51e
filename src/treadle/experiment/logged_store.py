"""The tables of logged models: the models, what is searched for beside them, and their runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.experiment.logged_types import LoggedModel, ModelMetric
from treadle.experiment.store import pieces, upsert
from treadle.experiment.tables import Real
from treadle.experiment.types import ModelLink
from treadle.kernel.database import Instant, schema

logged_models = sa.Table(
    "logged_models",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("artifacts", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("model_type", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("lifecycle", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("deleted_at", Instant),
    sa.Index("logged_models_by_experiment", "experiment", "lifecycle", "created_at", "id"),
    sa.Index("logged_models_by_run", "run"),
)

_MODEL = "logged_models.id"


def _texts(name: str) -> sa.Table:
    return sa.Table(
        name,
        schema,
        sa.Column("model", sa.Text, sa.ForeignKey(_MODEL, ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


model_params = _texts("logged_model_params")
model_tags = _texts("logged_model_tags")

model_metrics = sa.Table(
    "logged_model_metrics",
    schema,
    sa.Column("model", sa.Text, sa.ForeignKey(_MODEL, ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("dataset_name", sa.Text, primary_key=True),
    sa.Column("dataset_digest", sa.Text, primary_key=True),
    sa.Column("value", Real),
    sqlite_with_rowid=False,
)

run_models = sa.Table(
    "run_models",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("run_models_by_model", "model"),
    sqlite_with_rowid=False,
)

COLUMNS = tuple(logged_models.c)


def insert_model(connection: sa.Connection, model: LoggedModel) -> None:
    """Adds a logged model with its parameters and tags."""
    values = msgspec.structs.asdict(model)
    connection.execute(logged_models.insert().values({c.name: values[c.name] for c in COLUMNS}))
    put_texts(connection, model_params, model.id, model.params)
    put_texts(connection, model_tags, model.id, model.tags)


def find_model(connection: sa.Connection, identity: str, *, lock: bool = False) -> LoggedModel | None:
    """A logged model, deleted or not; locked until the transaction ends if that is asked for."""
    query = sa.select(*COLUMNS).where(logged_models.c.id == identity)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return complete(connection, [row])[0] if row else None


def update_model(connection: sa.Connection, identity: str, now: datetime, **values: Any) -> None:
    """Changes columns of a logged model."""
    change = logged_models.update().where(logged_models.c.id == identity)
    connection.execute(change.values(updated_at=now, **values))


def put_texts(connection: sa.Connection, table: sa.Table, model: str, texts: Mapping[str, str]) -> None:
    """Adds or replaces parameters or tags."""
    upsert(connection, table, [{"model": model, "name": n, "value": v} for n, v in sorted(texts.items())])


def delete_tag(connection: sa.Connection, model: str, name: str) -> None:
    """Takes a tag away."""
    connection.execute(model_tags.delete().where(model_tags.c.model == model, model_tags.c.name == name))


def complete(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> list[LoggedModel]:
    """The logged models of rows, with what is kept beside them, in the order of the rows."""
    params: dict[str, dict[str, str]] = {row["id"]: {} for row in rows}
    tags: dict[str, dict[str, str]] = {row["id"]: {} for row in rows}
    metrics: dict[str, list[ModelMetric]] = {row["id"]: [] for row in rows}
    for piece in pieces(params):
        for table, into in ((model_params, params), (model_tags, tags)):
            for model, name, value in connection.execute(sa.select(table).where(table.c.model.in_(piece))):
                into[model][name] = value
        query = sa.select(model_metrics).where(model_metrics.c.model.in_(piece))
        for row in connection.execute(query.order_by(*model_metrics.primary_key)).mappings():
            metrics[row["model"]].append(ModelMetric(**row))
    return [
        LoggedModel(
            **{column.name: row[column.name] for column in COLUMNS},
            params=params[row["id"]],
            tags=tags[row["id"]],
            metrics=tuple(metrics[row["id"]]),
        )
        for row in rows
    ]


def known_models(connection: sa.Connection, identities: Iterable[str]) -> set[str]:
    """Those of the identifiers that logged models have."""
    found: set[str] = set()
    for piece in pieces(sorted(set(identities))):
        query = sa.select(logged_models.c.id).where(logged_models.c.id.in_(piece))
        found.update(connection.execute(query).scalars())
    return found


def add_once(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts rows; one whose key is there already is passed over."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    if rows:
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def select_users(connection: sa.Connection, model: str, limit: int) -> list[str]:
    """At most so many runs that used a logged model."""
    mine = sa.and_(run_models.c.model == model, run_models.c.kind == "input")
    query = sa.select(run_models.c.run).where(mine).distinct().order_by(run_models.c.run).limit(limit)
    return list(connection.execute(query).scalars())


def select_links(connection: sa.Connection, runs: Iterable[str]) -> dict[str, list[ModelLink]]:
    """The logged models that runs used and made, by run, in the order of their steps."""
    found: dict[str, list[ModelLink]] = {}
    for piece in pieces(runs):
        query = sa.select(run_models).where(run_models.c.run.in_(piece))
        for row in connection.execute(
            query.order_by(run_models.c.kind, run_models.c.step, run_models.c.model)
        ):
            found.setdefault(row.run, []).append(ModelLink(row.model, row.kind, row.step))
    return found
