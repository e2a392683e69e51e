"""The table of evaluations: written once, never changed."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.evaluate.types import Basis, Evaluation, Verdict
from treadle.kernel.database import Instant, Json, schema

evaluations = sa.Table(
    "evaluations",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("baseline", sa.Text),
    sa.Column("data", sa.Text),
    sa.Column("metrics", Json(dict[str, float]), nullable=False),
    sa.Column("noise", sa.Float(53)),
    sa.Column("verdicts", Json(tuple[Verdict, ...]), nullable=False),
    sa.Column("basis", Json(Basis), nullable=False, server_default="{}"),
    sa.Index("evaluations_by_subject", "subject", "at", "id"),
)


def find(connection: sa.Connection, evaluation_id: str) -> Evaluation | None:
    """The evaluation of that identity, if there is one."""
    row = (
        connection.execute(sa.select(evaluations).where(evaluations.c.id == evaluation_id)).mappings().first()
    )
    return Evaluation(**row) if row else None


def keep(connection: sa.Connection, evaluation: Evaluation) -> Evaluation:
    """Adds an evaluation, unless one is kept under its identity; returns the one that is kept."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = msgspec.structs.asdict(evaluation)
    connection.execute(dialect.insert(evaluations).values(row).on_conflict_do_nothing(index_elements=["id"]))
    return find(connection, evaluation.id) or evaluation


def newest_first(connection: sa.Connection, subject: str | None = None) -> list[Evaluation]:
    """All evaluations, or those of a subject."""
    query = sa.select(evaluations).order_by(evaluations.c.at.desc(), evaluations.c.id.desc())
    if subject is not None:
        query = query.where(evaluations.c.subject == subject)
    return [Evaluation(**row) for row in connection.execute(query).mappings()]
