"""The tables of training: recipes, and the trainings that came of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.kernel.database import Instant, Json, schema
from treadle.train.types import Recipe, Training

recipes = sa.Table(
    "recipes",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("recipe", Json(Recipe), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("commit", sa.Text),
    sa.Column("dirty", sa.Boolean, nullable=False),
)

trainings = sa.Table(
    "trainings",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("recipe", sa.Text, sa.ForeignKey(recipes.c.id), nullable=False),
    sa.Column("replica", sa.Integer, nullable=False),
    sa.Column("ended_at", Instant, nullable=False),
    sa.Column("training", Json(Training), nullable=False),
    sa.Index("trainings_by_recipe", "recipe", "replica", "ended_at"),
)


def _add_once(connection: sa.Connection, table: sa.Table, **values: Any) -> None:
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(table).values(values).on_conflict_do_nothing())


def add_recipe(
    connection: sa.Connection, identity: str, recipe: Recipe, at: datetime, commit: str | None, *, dirty: bool
) -> None:
    """Keeps a recipe, once."""
    _add_once(connection, recipes, id=identity, recipe=recipe, created_at=at, commit=commit, dirty=dirty)


def find_recipe(connection: sa.Connection, identity: str) -> sa.RowMapping | None:
    """A recipe's row."""
    query = sa.select(recipes).where(recipes.c.id == identity)
    return connection.execute(query).mappings().first()


def add_training(connection: sa.Connection, identity: str, training: Training, at: datetime) -> None:
    """Keeps a training under the identity that it was asked for by, once."""
    _add_once(
        connection,
        trainings,
        id=identity,
        recipe=training.recipe,
        replica=training.replica,
        ended_at=at,
        training=training,
    )


def find_training(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> Training | None:
    """The latest training that fulfils the conditions."""
    query = (
        sa.select(trainings.c.training).where(*where).order_by(trainings.c.ended_at.desc(), trainings.c.id)
    )
    found: Training | None = connection.execute(query.limit(1)).scalar()
    return found
