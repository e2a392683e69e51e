"""The tables of the SQL door: what they hold, and how their rows are read from the metadata store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import sqlalchemy as sa

from treadle.experiment import series, tables
from treadle.experiment.search_terms import number as as_number
from treadle.experiment.search_terms import raw
from treadle.experiment.sql_plan import Need
from treadle.experiment.sql_types import SqlColumn, SqlTable
from treadle.experiment.types import DEFAULT, DEFAULT_ID
from treadle.kernel.errors import InvalidInput

Columns: TypeAlias = list[Any]

MOST_POINTS = 20_000_000
_AT_ONCE = 50_000
_PIECE = 500
_US = 1_000_000.0


def _table(name: str, about: str, *columns: tuple[str, str, str]) -> SqlTable:
    return SqlTable(name, about, tuple(SqlColumn(*column) for column in columns))


_RUN = ("run", "VARCHAR", "the run's id")
TABLES = (
    _table(
        "runs",
        "a run that isn't deleted; no other table has rows of deleted ones",
        ("id", "VARCHAR", "its identifier"),
        ("name", "VARCHAR", "its name"),
        ("experiment", "VARCHAR", "the name of its experiment"),
        ("status", "VARCHAR", "running, scheduled, finished, failed or killed"),
        ("source", "VARCHAR", "script, job, notebook or mlflow"),
        ("user", "VARCHAR", "who ran it"),
        ("started_at", "TIMESTAMP", "when it began, in UTC"),
        ("ended_at", "TIMESTAMP", "when it ended, in UTC"),
        ("seconds", "DOUBLE", "how long it took"),
        ("recipe", "VARCHAR", "the recipe that it executed"),
        ("cycle", "VARCHAR", "the cycle that it was part of"),
        ("replica", "BIGINT", "which replica of the recipe"),
        ("seed", "BIGINT", "its seed"),
        ("message", "VARCHAR", "why it failed"),
    ),
    _table("experiments", "an experiment that isn't deleted", ("id", "VARCHAR", "its number"),
           ("name", "VARCHAR", "its name"), ("created_at", "TIMESTAMP", "when it was made, in UTC"),
           ("updated_at", "TIMESTAMP", "when it was changed last, in UTC")),
    _table("params", "a parameter of a run", _RUN, ("name", "VARCHAR", "its name"),
           ("value", "VARCHAR", "as text"), ("number", "DOUBLE", "as a number, if it is one")),
    _table("metrics", "the latest value of a metric of a run", _RUN, ("name", "VARCHAR", "its name"),
           ("value", "DOUBLE", "NULL for NaN"), ("step", "BIGINT", "at which step"),
           ("logged_at", "TIMESTAMP", "when, in UTC")),
    _table("points", "one value of a metric's curve", _RUN, ("name", "VARCHAR", "the metric"),
           ("step", "BIGINT", "the step"), ("logged_at", "TIMESTAMP", "when, in UTC"),
           ("value", "DOUBLE", "NULL for NaN")),
    _table("tags", "a tag of a run", _RUN, ("name", "VARCHAR", "its name"), ("value", "VARCHAR", "its text")),
    _table("inputs", "a dataset that a run used", _RUN, ("name", "VARCHAR", "its name"),
           ("digest", "VARCHAR", "of its content"), ("context", "VARCHAR", "what for"),
           ("source_type", "VARCHAR", "what kind of place it came from"), ("source", "VARCHAR", "which")),
    _table("artifacts", "a file of a run", _RUN, ("path", "VARCHAR", "where it lies"),
           ("digest", "VARCHAR", "BLAKE3 of its bytes"), ("size", "BIGINT", "in bytes"),
           ("kept_at", "TIMESTAMP", "when it was kept, in UTC")),
    _table("models", "a registered version", ("model", "VARCHAR", "the model"),
           ("version", "BIGINT", "its number"), ("status", "VARCHAR", "where it stands"), _RUN,
           ("created_at", "TIMESTAMP", "when it was registered, in UTC"),
           ("approved_by", "VARCHAR", "who let it into production")),
)  # fmt: skip
"""All tables; ``models`` is filled by whoever opens the door, the others from here."""

_RUNS, _METRICS = tables.runs, tables.metrics
_READ: dict[str, tuple[Any, ...]] = {
    "params": (tables.params, "run", "name", "value"),
    "tags": (tables.tags, "run", "name", "value"),
    "inputs": (tables.inputs, "run", "name", "digest", "context", "source_type", "source"),
}


class Reader:
    """Reads rows for one query.

    Args:
        connection: The metadata store, in one consistent state.
        needs: What is needed of each table.
    """

    def __init__(self, connection: sa.Connection, needs: dict[str, Need]) -> None:
        self._connection = connection
        self._needs = needs
        query = sa.select(_RUNS.c.id).where(_RUNS.c.lifecycle != "active").limit(1)
        self._deleted = connection.execute(query).first() is not None

    def read(self, name: str) -> Iterator[Columns]:
        """A table's rows, column by column, some at a time; moments in microseconds since 1970."""
        if name == "runs":
            return self._runs()
        if name == "experiments":
            return self._experiments()
        if name == "points":
            return self._points()
        if name == "metrics":
            moment, value = _METRICS.c.at, as_number(_METRICS.c.value)
            return self._beside("metrics", _METRICS, "run", value, _METRICS.c.step, moment)
        if name == "artifacts":
            files = tables.artifacts
            facts = (files.c.path, files.c.digest, files.c.size, raw(files.c.at))
            return self._beside("artifacts", files, "owner", *facts, named=False)
        table, run, *rest = _READ[name]
        return self._beside(name, table, run, *(table.c[one] for one in rest[1:]))

    # ── runs and what is beside them ─────────────────────────────────────

    def _runs(self) -> Iterator[Columns]:
        c = _RUNS.c
        home = sa.select(tables.experiments.c.name).where(tables.experiments.c.id == c.experiment)
        named = sa.func.coalesce(home.scalar_subquery(), DEFAULT)
        took = sa.cast(raw(c.ended_at) - raw(c.started_at), sa.Double) / _US
        moments = (raw(c.started_at), raw(c.ended_at))
        query = sa.select(
            c.id, c.name, named, c.status, c.source, c.user, *moments, took, c.recipe, c.cycle, c.replica,
            c.seed, c.message,
        )  # fmt: skip
        return self._stream(query.where(*self._which_runs()))

    def _which_runs(self) -> list[sa.ColumnElement[bool]]:
        only = self._needs.get("runs", Need()).only
        found: list[sa.ColumnElement[bool]] = [_RUNS.c.lifecycle == "active"]
        if "id" in only:
            found.append(_RUNS.c.id.in_(only["id"]))
        if "status" in only:
            found.append(_RUNS.c.status.in_(only["status"]))
        if "experiment" in only:
            homes = sa.select(tables.experiments.c.id).where(
                tables.experiments.c.name.in_(only["experiment"])
            )
            known = list(self._connection.execute(homes).scalars())
            if DEFAULT in only["experiment"]:
                known.append(DEFAULT_ID)
            found.append(_RUNS.c.experiment.in_(known))
        return found

    def _of_runs(self, name: str, run: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
        """Which rows of a table beside the runs are needed, by their runs."""
        need = self._needs.get(name, Need())
        found: list[sa.ColumnElement[bool]] = []
        if "run" in need.only:
            found.append(run.in_(need.only["run"]))
        through = need.through_runs and bool(self._needs.get("runs", Need()).only)
        # An artifact may be a logged model's; only a look at the runs tells.
        if through or self._deleted or name == "artifacts":
            which = self._which_runs() if through else [_RUNS.c.lifecycle == "active"]
            found.append(run.in_(sa.select(_RUNS.c.id).where(*which)))
        return found

    def _beside(
        self, name: str, table: sa.Table, run: str, *rest: sa.ColumnElement[Any], named: bool = True
    ) -> Iterator[Columns]:
        columns = [table.c[run], *([table.c.name] if named else []), *rest]
        query = sa.select(*columns).where(*self._of_runs(name, table.c[run]))
        only = self._needs.get(name, Need()).only.get("name")
        return self._stream(query.where(table.c.name.in_(only)) if named and only is not None else query)

    def _experiments(self) -> Iterator[Columns]:
        c = tables.experiments.c
        query = sa.select(c.id, c.name, raw(c.created_at), raw(c.updated_at))
        return self._stream(query.where(c.lifecycle == "active"))

    def _stream(self, query: sa.Select[Any]) -> Iterator[Columns]:
        result = self._connection.execution_options(stream_results=True).execute(query)
        for rows in result.partitions(_AT_ONCE):
            yield [list(column) for column in zip(*rows, strict=True)]

    # ── curves ───────────────────────────────────────────────────────────

    def _points(self) -> Iterator[Columns]:
        chunks, only = tables.chunks, self._needs.get("points", Need()).only.get("name")
        mine = self._of_runs("points", chunks.c.run)
        if only is not None:
            mine.append(chunks.c.name.in_(["", *only]))
        counted = sa.select(sa.func.sum(chunks.c.points)).where(*mine)
        count = int(self._connection.execute(counted).scalar() or 0)
        if count > MOST_POINTS:
            raise InvalidInput(
                f"the query would read {count:,} points; up to {MOST_POINTS:,} can be read at once",
                fix="narrow it by run = '…', run IN ('…', …) or name = '…', or join runs and filter those",
            )
        runs = sa.select(chunks.c.run).where(*mine).distinct().order_by(chunks.c.run)
        ids = list(self._connection.execute(runs).scalars())
        for start in range(0, len(ids), _PIECE):
            yield from self._of_piece(ids[start : start + _PIECE], only)

    def _of_piece(self, ids: Sequence[str], only: tuple[str, ...] | None) -> Iterator[Columns]:
        chunks = tables.chunks
        query = sa.select(chunks.c.run, chunks.c.data).where(chunks.c.run.in_(ids))
        if only is not None:
            query = query.where(chunks.c.name.in_(["", *only]))
        held: dict[str, list[series.Curve]] = {}
        current = None
        ordered = query.order_by(chunks.c.run, chunks.c.id)
        for run, data in self._connection.execution_options(stream_results=True).execute(ordered):
            if run != current:
                yield from _unrolled(current, held)
                current, held = run, {}
            for name, curve in series.unpack(data).items():
                if only is None or name in only:
                    held.setdefault(name, []).append(curve)
        yield from _unrolled(current, held)


def _unrolled(run: str | None, held: dict[str, list[series.Curve]]) -> Iterator[Columns]:
    """A run's curves as rows, without what came twice."""
    for name, pieces in held.items():
        curve = series.distinct(series.join(pieces))
        values = np.ma.masked_array(curve.values, mask=np.isnan(curve.values))
        yield [run, name, curve.steps, curve.at, values]
