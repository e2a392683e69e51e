"""The table of load tests."""

from __future__ import annotations

import sqlalchemy as sa

from treadle.deploy.loadtest.types import LoadTest
from treadle.kernel.database import Instant, Json, schema

load_tests = sa.Table(
    "load_tests",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("result", Json(LoadTest), nullable=False),
    sa.Index("load_tests_by_model", "model", "at"),
)


def add(connection: sa.Connection, found: LoadTest) -> None:
    """Keeps a load test."""
    connection.execute(
        load_tests.insert().values(
            id=found.id, model=found.model, version=found.version, at=found.at, result=found
        )
    )


def latest(
    connection: sa.Connection, model: str, version: int | None = None, limit: int = 100
) -> list[LoadTest]:
    """A model's latest load tests, or a version's, newest first."""
    query = sa.select(load_tests.c.result).where(load_tests.c.model == model)
    if version is not None:
        query = query.where(load_tests.c.version == version)
    query = query.order_by(load_tests.c.at.desc(), load_tests.c.id.desc()).limit(limit)
    return list(connection.execute(query).scalars())
