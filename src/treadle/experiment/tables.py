"""The tables of experiments and runs.

A curve is kept in chunks: one row an append, however many points it brings, merged by metric
in the background (:mod:`treadle.experiment.curves`). The latest value of each metric, and
each parameter and tag, has a row of its own beside the run, for searching.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from treadle.experiment.transfer_types import Tally
from treadle.experiment.types import NonFinite, Scalar, Value, portable
from treadle.kernel.database import Instant, Json, schema


class Real(TypeDecorator[float]):
    """Any float. NaN is kept as NULL, because SQLite has no NaN; so it sorts last in both databases."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: sa.Dialect) -> float | None:  # noqa: ARG002 - SQLAlchemy's
        """To the database."""
        return None if value is None or value != value else float(value)  # noqa: PLR0124 - NaN

    def process_result_value(self, value: float | None, dialect: sa.Dialect) -> Value:  # noqa: ARG002 - SQLAlchemy's
        """From the database."""
        return NonFinite.NAN if value is None else portable(value)


Plain = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""A text that is ordered and indexed by its characters' numbers, not as a language has it."""

experiments = sa.Table(
    "experiments",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("lifecycle", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("artifacts", sa.Text, nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Column("deleted_at", Instant),
)

runs = sa.Table(
    "runs",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", Plain, nullable=False),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("user", Plain, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("params", Json(dict[str, Scalar]), nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Column("recipe", sa.Text),
    sa.Column("cycle", sa.Text),
    sa.Column("replica", sa.BigInteger),
    sa.Column("seed", sa.BigInteger),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("lifecycle", sa.Text, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("message", sa.Text),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", Instant),
    sa.Index("runs_by_start", "started_at", "id"),
    # With what is often asked for besides, so that a search passes over runs without fetching them.
    sa.Index(
        "runs_by_experiment",
        "experiment",
        "lifecycle",
        sa.text("started_at DESC"),
        "id",
        "status",
        "ended_at",
    ),
    sa.Index("runs_by_cycle", "cycle", "started_at", "id"),
    sa.Index("runs_by_deletion", "deleted_at"),
)

_RUN = "runs.id"


def head(value: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """The beginning of a text, as far as it is indexed."""
    return sa.func.substr(value, sa.literal_column("1"), sa.literal_column("120"))


sa.Index("runs_by_name", runs.c.experiment, runs.c.lifecycle, head(runs.c.name), runs.c.id)
sa.Index(
    "runs_by_user",
    runs.c.experiment,
    runs.c.lifecycle,
    head(runs.c.user),
    sa.text("started_at DESC"),
    runs.c.id,
)

metrics = sa.Table(
    "run_metrics",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey(_RUN, ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("value", Real),
    sa.Index("run_metrics_by_value", "experiment", "name", "value", "run"),
    sa.Index("run_metrics_by_name", "name", "value"),
    sqlite_with_rowid=False,
)

chunks = sa.Table(
    "run_chunks",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey(_RUN, ondelete="CASCADE"), primary_key=True),
    # Empty for a chunk as it was logged, which may have points of several metrics.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)


def _searched(name: str) -> sa.Table:
    """Names and texts beside a run. Long texts are indexed by their beginning."""
    table = sa.Table(
        name,
        schema,
        sa.Column("run", sa.Text, sa.ForeignKey(_RUN, ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("value", Plain, nullable=False),
        sqlite_with_rowid=False,
    )
    sa.Index(f"{name}_by_value", table.c.experiment, table.c.name, head(table.c.value), table.c.run)
    return table


params = _searched("run_params")
tags = _searched("run_tags")

inputs = sa.Table(
    "run_inputs",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey(_RUN, ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("source_type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("schema", sa.Text),
    sa.Column("profile", sa.Text),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Index("run_inputs_by_name", "experiment", "name", "digest"),
    sa.Index("run_inputs_by_version", "name", "digest"),
)

provenance = sa.Table(
    "run_provenance",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey(_RUN, ondelete="CASCADE"), primary_key=True),
    sa.Column("data", sa.Text, nullable=False),
)

# The writers of a run's other journals; ``runs.applied`` counts the main one.
writers = sa.Table(
    "run_writers",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey(_RUN, ondelete="CASCADE"), primary_key=True),
    sa.Column("writer", sa.Text, primary_key=True),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

media = sa.Table(
    "run_media",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey(_RUN, ondelete="CASCADE"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("data", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

# What came from another server, so that an import that was cut off goes on where it was.
imports = sa.Table(
    "imports",
    schema,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("id", Plain, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("stamp", sa.Text, nullable=False),
    sa.Column("whole", sa.Boolean, nullable=False),
    sa.Column("tally", Json(Tally), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Index("imports_by_source", "source", "id"),
)

# Of runs and of logged models, so that there is no one table to refer to.
artifacts = sa.Table(
    "artifact_files",
    schema,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
