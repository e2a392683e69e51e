"""The tables of runs. The latest value of each metric is kept apart from its curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

from treadle.experiment.rules import Changes
from treadle.experiment.types import (
    Artifact,
    LogArtifact,
    NewRun,
    NonFinite,
    Point,
    Run,
    Scalar,
    Value,
    portable,
)
from treadle.kernel.database import Instant, Json, schema
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import unknown

_PIECE = 500
_CHANGING = ("params", "tags", "status", "ended_at", "message", "applied")


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


runs = sa.Table(
    "runs",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("params", Json(dict[str, Scalar]), nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Column("recipe", sa.Text),
    sa.Column("cycle", sa.Text),
    sa.Column("replica", sa.BigInteger),
    sa.Column("seed", sa.BigInteger),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("message", sa.Text),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sa.Index("runs_by_start", "started_at", "id"),
    sa.Index("runs_by_experiment", "experiment", "started_at", "id"),
    sa.Index("runs_by_cycle", "cycle", "started_at", "id"),
)

metrics = sa.Table(
    "run_metrics",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("value", Real),
    sa.Index("run_metrics_by_value", "name", "value"),
    sqlite_with_rowid=False,
)

points = sa.Table(
    "run_points",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sa.Column("record", sa.BigInteger, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("value", Real),
    sqlite_with_rowid=False,
)

artifacts = sa.Table(
    "run_artifacts",
    schema,
    sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts rows; a row whose key is there already replaces the other columns."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    others = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    if rows:
        connection.execute(
            statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=others), rows
        )


def insert_run(connection: sa.Connection, new: NewRun) -> None:
    """Adds a run, unless one with its id is there."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = msgspec.structs.asdict(new) | {"status": "running", "applied": 0}
    connection.execute(dialect.insert(runs).values(values).on_conflict_do_nothing())


def find_run(connection: sa.Connection, run_id: str, *, lock: bool = False) -> Run:
    """A run, by its identifier or an unambiguous beginning of it; locked until the transaction ends.

    Raises:
        NotFound: If there is none.
        InvalidInput: If several begin so.
    """
    query = sa.select(runs).where(runs.c.id == run_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None and not lock:
        query = sa.select(runs).where(runs.c.id.startswith(run_id, autoescape=True)).limit(2)
        found = connection.execute(query).mappings().all()
        if len(found) > 1 and run_id:
            raise InvalidInput(
                f"several runs begin with {run_id!r}: {found[0]['id']}, {found[1]['id']}",
                fix="give more of the identifier",
            )
        row = found[0] if found and run_id else None
    if row is None:
        latest = sa.select(runs.c.id).order_by(runs.c.started_at.desc()).limit(1000)
        raise unknown("run", run_id, connection.execute(latest).scalars())
    return _with_metrics(connection, [row])[0]


def last_steps(connection: sa.Connection, run_id: str) -> dict[str, int]:
    """The last step of each metric of a run."""
    query = sa.select(metrics.c.name, metrics.c.step).where(metrics.c.run == run_id)
    return {row.name: row.step for row in connection.execute(query)}


def update_run(connection: sa.Connection, run: Run) -> None:
    """Writes what may change about a run, except its metrics and files."""
    values = {name: getattr(run, name) for name in _CHANGING}
    connection.execute(runs.update().where(runs.c.id == run.id).values(values))


def add_points(connection: sa.Connection, run_id: str, changes: Changes) -> None:
    """Adds to the curves and replaces the latest values."""
    if changes.points:
        rows = [
            {"run": run_id, "name": p.name, "step": p.step, "record": p.record, "at": p.at, "value": p.value}
            for p in changes.points
        ]
        connection.execute(points.insert(), rows)
    latest = changes.latest.values()
    rows = [{"run": run_id, "name": p.name, "step": p.step, "value": p.value} for p in latest]
    _upsert(connection, metrics, rows)


def put_artifacts(connection: sa.Connection, run_id: str, files: Iterable[LogArtifact]) -> None:
    """Adds or replaces files."""
    rows = [{"run": run_id, "path": f.path, "digest": f.digest, "size": f.size} for f in files]
    _upsert(connection, artifacts, rows)


def select_runs(
    connection: sa.Connection, experiment: str | None, cycle: str | None, sort: str, limit: int
) -> list[Run]:
    """Runs in an order; those that lack the metric come last.

    Raises:
        InvalidInput: If ``sort`` isn't ``started_at`` or ``metrics.NAME``, with or without a minus.
        NotFound: If no run has the metric.
    """
    query = sa.select(runs).limit(limit)
    key = sort.removeprefix("-")
    table, dot, metric = key.partition(".")
    column: sa.ColumnElement[Any]
    if key == "started_at":
        column = runs.c.started_at
    elif table == "metrics" and dot:
        _check_metric(connection, metric)
        joined = sa.and_(metrics.c.run == runs.c.id, metrics.c.name == metric)
        query, column = query.join(metrics, joined, isouter=True), metrics.c.value
        query = query.order_by(column.is_(None))
    else:
        raise InvalidInput(f"runs can't be sorted by {sort!r}", fix="use started_at or metrics.NAME, or -…")
    descending = sort.startswith("-")
    query = query.order_by(
        column.desc() if descending else column, runs.c.started_at.desc(), runs.c.id.desc()
    )
    if experiment is not None:
        query = query.where(runs.c.experiment == experiment)
    if cycle is not None:
        query = query.where(runs.c.cycle == cycle)
    return _with_metrics(connection, connection.execute(query).mappings().all())


def _check_metric(connection: sa.Connection, name: str) -> None:
    if not connection.execute(sa.select(metrics.c.run).where(metrics.c.name == name).limit(1)).first():
        known = connection.execute(sa.select(metrics.c.name).distinct().limit(1000))
        raise unknown("metric", name, known.scalars())


def select_points(connection: sa.Connection, run_id: str, metric: str) -> list[Point]:
    """A metric's curve, by step and then in the order of the journal.

    Raises:
        NotFound: If the run has no such metric.
    """
    query = (
        sa.select(points.c.step, points.c.at, points.c.value)
        .where(points.c.run == run_id, points.c.name == metric)
        .order_by(points.c.step, points.c.record)
    )
    found = [Point(*row) for row in connection.execute(query)]
    if not found:
        raise unknown("metric", metric, last_steps(connection, run_id))
    return found


def select_artifacts(connection: sa.Connection, run_id: str) -> list[Artifact]:
    """A run's files, by path."""
    query = sa.select(artifacts.c.path, artifacts.c.digest, artifacts.c.size).where(artifacts.c.run == run_id)
    return sorted((Artifact(*row) for row in connection.execute(query)), key=lambda found: found.path)


def _with_metrics(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> list[Run]:
    latest: dict[str, dict[str, Value]] = {row["id"]: {} for row in rows}
    for piece in _pieces(latest):
        query = sa.select(metrics.c.run, metrics.c.name, metrics.c.value).where(metrics.c.run.in_(piece))
        for run_id, name, value in connection.execute(query.order_by(metrics.c.name)):
            latest[run_id][name] = value
    return [Run(**row, metrics=latest[row["id"]]) for row in rows]


def _pieces(ids: Iterable[str]) -> Iterator[list[str]]:
    every = list(ids)
    for start in range(0, len(every), _PIECE):
        yield every[start : start + _PIECE]
