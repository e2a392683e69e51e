"""Scans by DuckDB: one aggregate query for all that is an aggregate, one query for each grouping."""

# ruff: noqa: S608 - the SQL is made of quoted names, quoted texts and numbers
from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from treadle.kernel.engine import Engine, quote
from treadle.kernel.scan import answers, asks
from treadle.kernel.scan.asks import Answers, Ask
from treadle.kernel.scan.columns import Column, Columns, by_name
from treadle.kernel.scan.duckdb_sql import column_of, condition_sql, constant_sql, number_sql, value_sql
from treadle.kernel.scan.expressions import Expression, In, Name, missing_with
from treadle.kernel.scan.places import look, plain
from treadle.kernel.scan.port import Row, Scan, Source, files

_T = "t"


class DuckDBScan:
    """The embedded engine; what doesn't fit in its memory spills to disk.

    Args:
        engine: Runs the queries.
    """

    name = "duckdb"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def columns(self, table: Source) -> dict[str, Column]:
        """The table's columns, by name, in order.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read, or two columns have one name.
        """
        paths = files(table)
        where = str(paths[0]) if paths else "the table"
        if paths is not None:
            look(paths)
            by_name([Column(name, "other", "") for name in self._written(paths)], where)
        described = self._engine.rows(
            f"SELECT column_name, column_type FROM (DESCRIBE {_T})", tables={_T: _given(table)}
        )
        return by_name([column_of(name, kind) for name, kind in described], where)

    def _written(self, paths: Sequence[Path]) -> list[str]:
        """The names of the first file's columns as they stand there: DuckDB renames those that repeat."""
        first = paths[0]
        if first.suffix.lower() == ".csv":
            return self._header(first)
        found = self._engine.rows("SELECT name, num_children FROM parquet_schema(?)", [str(first)])
        return list(_top_level([(str(name), int(children or 0)) for name, children in found]))

    def _header(self, path: Path) -> list[str]:
        """The names in the first line of a CSV file; none where it has no such line."""
        sql = "SELECT Delimiter, Quote, HasHeader FROM sniff_csv(?)"
        [(delimiter, mark, there)] = self._engine.rows(sql, [str(path)])
        if not there:
            return []
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, quotechar=mark if len(mark) == 1 else '"')
            return next(reader, [])

    def scan(self, table: Source, asks: Iterable[Ask[Any]]) -> Answers:
        """The answers to all asks.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read.
        """
        return _Scan(self._engine, _given(table), self.columns(table)).answer(list(asks))

    def examples(self, table: Source, that: Expression, columns: Sequence[str], most: int) -> list[Row]:
        """Values of some columns in the first rows for which a condition doesn't hold.

        Raises:
            CorruptData: If the table can't be read.
        """
        known = self.columns(table)
        wanted = ", ".join(value_sql(known[name]) for name in columns)
        sql = f"SELECT {wanted} FROM {_T} WHERE NOT {condition_sql(that, known)} LIMIT {int(most)}"
        return [tuple(map(plain, row)) for row in self._engine.rows(sql, tables={_T: _given(table)})]

    def shared(self, table: Source, other: Source, columns: Sequence[str]) -> answers.Shared:
        """Which rows of a table have their like in another one.

        Raises:
            CorruptData: If a table can't be read.
        """
        mine, theirs = self.columns(table), self.columns(other)
        names = [f"k{i}" for i in range(len(columns))]
        left = ", ".join(f"{value_sql(mine[one])} AS k{i}" for i, one in enumerate(columns))
        right = ", ".join(f"{value_sql(theirs[one])} AS k{i}" for i, one in enumerate(columns))
        same = " AND ".join(f"a.{name} IS NOT DISTINCT FROM b.{name}" for name in names)
        some = " OR ".join(f"a.{name} IS NOT NULL" for name in names)
        sql = (
            f"SELECT count(*), min(ROW({', '.join(names)})) FROM (SELECT {left} FROM {_T}) a "
            f"SEMI JOIN (SELECT {right} FROM u) b ON {same} WHERE {some}"
        )
        [(rows, example)] = self._engine.rows(sql, tables={_T: _given(table), "u": _given(other)})
        return answers.Shared(int(rows), _row(example))


class _Scan(Scan):
    """One scan of one table."""

    def __init__(self, engine: Engine, table: Any, columns: Columns) -> None:
        self._engine, self._table, self._columns = engine, table, columns
        self._selected: dict[str, int] = {}
        self._row: tuple[Any, ...] = ()

    def answer(self, asked: list[Ask[Any]]) -> Answers:
        """Builds each answer from the one row of aggregates; groupings have queries of their own."""
        makers = self.makers(asked)
        if self._selected:
            self._row = self._rows(f"SELECT {', '.join(self._selected)} FROM {_T}")[0]
        return Answers({ask: make() for ask, make in makers})

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._engine.rows(sql, tables={_T: self._table})

    def _value(self, aggregate: str) -> Callable[[], Any]:
        """Adds an aggregate to the query; gives its value once it has been run."""
        at = self._selected.setdefault(aggregate, len(self._selected))
        return lambda: self._row[at]

    def _count(self, aggregate: str) -> Callable[[], int]:
        value = self._value(aggregate)
        return lambda: int(value() or 0)

    def rows(self, ask: asks.CountRows) -> Callable[[], answers.RowCount]:
        del ask  # there is nothing more to it
        rows = self._count("count(*)")
        return lambda: answers.RowCount(rows())

    def extent(self, ask: asks.FindExtent) -> Callable[[], answers.Extent]:
        value = value_sql(self._columns[ask.column])
        low, high = self._value(f"min({value})"), self._value(f"max({value})")
        return lambda: answers.Extent(plain(low()), plain(high()))

    def distinct(self, ask: asks.EstimateDistinct) -> Callable[[], answers.Distinct]:
        about = self._count(f"approx_count_distinct({value_sql(self._columns[ask.column])})")
        return lambda: answers.Distinct(float(about()), float(about()))

    def where(self, ask: asks.CountWhere) -> Callable[[], answers.Truth]:
        sql = condition_sql(ask.that, self._columns)
        rows, unknown = self._count("count(*)"), self._unknown(ask.that, sql)
        if isinstance(ask.that, In) and isinstance(ask.that.part, Name):  # as a query of its own a hash join
            false = self._count(f"(SELECT count(*) FROM {_T} WHERE NOT {sql})")
        else:
            false = self._count(f"count_if(NOT {sql})")
        return lambda: answers.Truth(rows() - unknown() - false(), false(), unknown())

    def _unknown(self, that: Expression, sql: str) -> Callable[[], int]:
        """For how many rows it can't be told."""
        column = missing_with(that)
        if column is not None:
            missing = self.missing(asks.CountMissing(column))
            return lambda: missing().count
        rows, known = self._count("count(*)"), self._count(f"count({sql})")
        return lambda: rows() - known()

    def missing(self, ask: asks.CountMissing) -> Callable[[], answers.Missing]:
        column = self._columns[ask.column]
        rows, there = self._count("count(*)"), self._count(f"count({quote(column.name)})")
        if not column.is_float:
            return lambda: answers.Missing(rows() - there())
        nans = self._count(f"count_if(isnan({quote(column.name)}))")
        return lambda: answers.Missing(rows() - there(), nans())

    def moments(self, ask: asks.FindMoments) -> Callable[[], answers.Moments]:
        column = self._columns[ask.column]
        value, known = number_sql(column), quote(column.name)
        finite = f"CASE WHEN isfinite({known}) THEN {value} END" if column.is_float else value
        there, count = self._count(f"count({value})"), self._count(f"count({finite})")
        mean, spread = self._value(f"avg({finite})"), self._value(f"var_pop({finite})")
        away = f"(CAST({finite} AS DOUBLE) - ({ask.around or 0.0!r}))"
        cube = self._value("0.0" if ask.around is None else f"avg({away} * {away} * {away})")
        return lambda: answers.Moments(
            count(),
            there() - count(),
            float(mean() or 0.0),
            float(spread() or 0.0) * count(),
            float(cube() or 0.0) * count(),
        )

    def bins(self, ask: asks.CountBins) -> Callable[[], answers.Bins]:
        edges, rows, value = ask.edges, self._count("count(*)"), number_sql(self._columns[ask.column])
        there = self._count(f"count({value})")
        bounds = ", ".join(constant_sql(float(edge)) for edge in edges)
        found = self._value(f"histogram({value}, [{bounds}])") if edges else None

        def make() -> answers.Bins:
            by_edge = (found() if found else None) or {}
            counts = [int(by_edge.get(edge, 0)) for edge in edges]
            return answers.Bins((*counts, there() - sum(counts)), rows() - there())

        return make

    def values(self, ask: asks.CountValues) -> Callable[[], answers.ValueCounts]:
        value = value_sql(self._columns[ask.column])
        rows, there = self._count("count(*)"), self._count(f"count({value})")

        def make() -> answers.ValueCounts:
            listed = ", ".join(map(constant_sql, ask.values)) or "NULL"
            sql = f"SELECT {value} AS v, count(*) FROM {_T} WHERE v IN ({listed}) GROUP BY v"
            by_value = {plain(one): int(count) for one, count in self._rows(sql)}
            counts = tuple(by_value.get(one, 0) for one in ask.values)
            return answers.ValueCounts(counts, there() - sum(counts), rows() - there())

        return make

    def top(self, ask: asks.FindTop) -> Callable[[], answers.Top]:
        value = value_sql(self._columns[ask.column])
        rows, there = self._count("count(*)"), self._count(f"count({value})")

        def make() -> answers.Top:
            sql = (
                f"SELECT {value} AS v, count(*) AS n FROM {_T} WHERE v IS NOT NULL "
                f"GROUP BY v ORDER BY n DESC, v LIMIT {ask.most}"
            )
            counts = {plain(one): int(count) for one, count in self._rows(sql)}
            other = there() - sum(counts.values())
            return answers.Top(counts, other, rows() - there(), ask.most)  # type: ignore[arg-type]

        return make

    def repeats(self, ask: asks.FindRepeats) -> Callable[[], answers.Repeats]:
        return lambda: self._repeats(ask.columns)

    def _repeats(self, names: tuple[str, ...]) -> answers.Repeats:
        values = [value_sql(self._columns[name]) for name in names]
        keys = ", ".join(f"{value} AS k{i}" for i, value in enumerate(values))
        there = " AND ".join(f"k{i} IS NOT NULL" for i in range(len(names)))
        by = ", ".join(f"k{i}" for i in range(len(names)))
        sql = (
            f"SELECT count(*), sum(n), min(ROW({by})) FROM (SELECT {by}, count(*) AS n "
            f"FROM (SELECT {keys} FROM {_T}) WHERE {there} GROUP BY {by} HAVING n > 1)"
        )
        [(found, rows, example)] = self._rows(sql)
        return answers.Repeats(int(found), int(rows or 0), _row(example))  # type: ignore[arg-type]

    def cells(self, ask: asks.CountCells) -> Callable[[], answers.Cells]:
        return lambda: self._cells(ask.columns)

    def _cells(self, keys: tuple[str | asks.Binned, ...]) -> answers.Cells:
        values = ", ".join(self._cell(key) for key in keys)
        found = self._rows(f"SELECT {values}, count(*) FROM {_T} GROUP BY ALL")
        return answers.Cells({tuple(map(plain, key)): int(count) for *key, count in found})

    def _cell(self, key: str | asks.Binned) -> str:
        if isinstance(key, str):
            return value_sql(self._columns[key])
        value = number_sql(self._columns[key.column])
        places = " + ".join(f"CAST({value} > {constant_sql(float(edge))} AS INT)" for edge in key.edges)
        return places or f"CASE WHEN {value} IS NOT NULL THEN 0 END"

    def days(self, ask: asks.CountDays) -> Callable[[], answers.Days]:
        return lambda: self._days(self._columns[ask.column])

    def _days(self, column: Column) -> answers.Days:
        sql = f"SELECT CAST({value_sql(column)} AS DATE) AS d, count(*) FROM {_T} GROUP BY d ORDER BY d"
        found = {day: int(count) for day, count in self._rows(sql)}
        missing = found.pop(None, 0)
        return answers.Days(found, missing)

    def sample(self, ask: asks.SampleRows) -> Callable[[], answers.Sample]:
        return lambda: self._sample(ask)

    def _sample(self, ask: asks.SampleRows) -> answers.Sample:
        [(rows,)] = self._rows(f"SELECT count(*) FROM {_T}")
        step = max(1, int(rows) // max(ask.size, 1))
        values = ", ".join(f"{_sampled(self._columns[name])} AS c{i}" for i, name in enumerate(ask.columns))
        inner = f"SELECT {values}, row_number() OVER () AS r FROM {_T}"
        chosen = f"SELECT * EXCLUDE r FROM ({inner}) WHERE hash(r) % {step} = 0" if step > 1 else inner
        found = self._engine.columns(chosen, tables={_T: self._table})
        return answers.Sample(
            rows=int(rows),
            size=ask.size,
            columns={name: _array(found[f"c{i}"]) for i, name in enumerate(ask.columns)},
        )


def _sampled(column: Column) -> str:
    if column.is_number or column.kind == "boolean":
        return number_sql(column)
    if column.is_time:
        return f"epoch_us(CAST({value_sql(column)} AS TIMESTAMP)) / 1e6"
    return f"CAST({value_sql(column)} AS VARCHAR)"


def _array(values: Any) -> Any:
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    found = values.data.copy()
    found[np.ma.getmaskarray(values)] = None
    return found


def _row(found: Any) -> Row | None:
    """A row of several values as DuckDB gives it: a tuple, or a dictionary by place."""
    if found is None:
        return None
    values = found.values() if isinstance(found, dict) else found
    return tuple(map(plain, values))


def _given(table: Source) -> Any:
    paths = files(table)
    return table if paths is None else paths


def _top_level(described: Sequence[tuple[str, int]]) -> Iterable[str]:
    """The columns of a Parquet schema, which lists the fields of nested ones after them."""
    at = 1

    def skip(place: int) -> int:
        after = place + 1
        for _ in range(described[place][1]):
            after = skip(after)
        return after

    while at < len(described):
        yield described[at][0]
        at = skip(at)
