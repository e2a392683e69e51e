"""Scans by Polars: one streaming selection for all that is an aggregate, and a stream for each grouping."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from treadle.kernel.errors import CorruptData
from treadle.kernel.scan import answers, asks
from treadle.kernel.scan.asks import Answers, Ask
from treadle.kernel.scan.columns import Column, Columns, by_name
from treadle.kernel.scan.expressions import Expression, missing_with
from treadle.kernel.scan.places import look, plain
from treadle.kernel.scan.polars_expr import column_of, condition, constant, number, value
from treadle.kernel.scan.polars_keys import repeats
from treadle.kernel.scan.polars_parts import N, collected, joined, parted, rows_of, top
from treadle.kernel.scan.port import Row, Scan, Source, files


class PolarsScan:
    """Parquet files and Polars frames.

    Memory is bounded: of what is grouped or joined by, at most :data:`~polars_parts.PART` values are held
    at once. What is told of few values by its meaning (cells, days) isn't parted.
    """

    name = "polars"

    def columns(self, table: Source) -> dict[str, Column]:
        """The table's columns, by name, in order.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read, or two columns have one name.
        """
        return _columns(_frame(table), table)

    def scan(self, table: Source, asks: Iterable[Ask[Any]]) -> Answers:
        """The answers to all asks.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read.
        """
        frame = _frame(table)
        with _read(table):
            return _Scan(frame, _columns(frame, table)).answer(list(asks))

    def examples(self, table: Source, that: Expression, columns: Sequence[str], most: int) -> list[Row]:
        """Values of some columns in the first rows for which a condition doesn't hold.

        Raises:
            CorruptData: If the table can't be read.
        """
        frame = _frame(table)
        known = _columns(frame, table)
        wanted = [value(known[name]).alias(f"c{i}") for i, name in enumerate(columns)]
        with _read(table):
            found = collected(frame.filter(condition(that, known).not_()).head(most).select(wanted))
        return [tuple(map(plain, row)) for row in found.rows()]

    def shared(self, table: Source, other: Source, columns: Sequence[str]) -> answers.Shared:
        """Which rows of a table have their like in another one.

        Raises:
            CorruptData: If a table can't be read.
        """
        frames = _frame(table), _frame(other)
        mine, theirs = (_columns(frame, source) for frame, source in zip(frames, (table, other), strict=True))
        names = [f"k{i}" for i in range(len(columns))]
        pairs = [joined(mine[name], theirs[name]) for name in columns]
        left, right = (
            frame.select(key.alias(name) for key, name in zip(keys, names, strict=True))
            for frame, keys in zip(frames, zip(*pairs, strict=True), strict=True)
        )
        left = left.filter(pl.any_horizontal(pl.col(names).is_not_null()))
        rows, examples = 0, []
        with _read(table):
            for one, beside in parted([left, right], names, max(map(rows_of, frames))):
                both = one.join(beside, on=names, how="semi", nulls_equal=True)
                least = [pl.col(name).sort_by(names).first() for name in names]
                found = collected(both.select(pl.len().alias(N), *least))
                rows += int(found[N][0])
                examples += [found.select(names)] if found[N][0] else []
        if not rows:
            return answers.Shared(0, None)
        return answers.Shared(rows, tuple(map(plain, pl.concat(examples).sort(names).row(0))))


class _Scan(Scan):
    """One scan of one frame."""

    def __init__(self, frame: pl.LazyFrame, columns: Columns) -> None:
        self._frame, self._columns = frame, columns
        self._selected: dict[str, pl.Expr] = {}
        self._groupings: list[pl.LazyFrame] = []
        self._row: dict[str, Any] = {}
        self._grouped: list[pl.DataFrame] = []

    @cached_property
    def _total(self) -> int:
        """How many rows there are, before they are scanned."""
        return rows_of(self._frame)

    def answer(self, asked: list[Ask[Any]]) -> Answers:
        """Builds each answer from the one row of aggregates and the groupings, collected together."""
        makers = self.makers(asked)
        chosen = [expression.alias(name) for name, expression in self._selected.items()]
        frames = ([self._frame.select(chosen)] if chosen else []) + self._groupings
        found = pl.collect_all(frames, engine="streaming")
        if chosen:
            self._row = found[0].row(0, named=True)
            found = found[1:]
        self._grouped = found
        return Answers({ask: make() for ask, make in makers})

    def _value(self, key: str, expression: pl.Expr) -> Callable[[], Any]:
        self._selected.setdefault(key, expression)
        return lambda: self._row[key]

    def _count(self, key: str, expression: pl.Expr) -> Callable[[], int]:
        found = self._value(key, expression)
        return lambda: int(found() or 0)

    def _rows(self) -> Callable[[], int]:
        return self._count(N, pl.len())

    def _group(self, frame: pl.LazyFrame) -> Callable[[], pl.DataFrame]:
        at = len(self._groupings)
        self._groupings.append(frame)
        return lambda: self._grouped[at]

    def _nulls(self, column: Column) -> Callable[[], int]:
        return self._count(f"nulls {column.name}", pl.col(column.name).null_count())

    def _there(self, column: Column) -> Callable[[], int]:
        """Rows with a value."""
        rows, missing = self._rows(), self._missing(column)
        return lambda: rows() - missing().count

    def rows(self, ask: asks.CountRows) -> Callable[[], answers.RowCount]:
        del ask  # there is nothing more to it
        rows = self._rows()
        return lambda: answers.RowCount(rows())

    def extent(self, ask: asks.FindExtent) -> Callable[[], answers.Extent]:
        column = self._columns[ask.column]
        # Polars leaves NaN out by itself, and gives it only where there is nothing else.
        found = pl.col(ask.column).cast(pl.Float64) if column.is_float else value(column)
        low = self._value(f"min {ask.column}", found.min())
        high = self._value(f"max {ask.column}", found.max())
        return lambda: answers.Extent(plain(low()), plain(high()))

    def distinct(self, ask: asks.EstimateDistinct) -> Callable[[], answers.Distinct]:
        found = value(self._columns[ask.column]).drop_nulls()
        about = self._count(f"about {ask.column}", found.approx_n_unique())
        return lambda: answers.Distinct(float(about()), float(about()))

    def missing(self, ask: asks.CountMissing) -> Callable[[], answers.Missing]:
        return self._missing(self._columns[ask.column])

    def _missing(self, column: Column) -> Callable[[], answers.Missing]:
        nulls = self._nulls(column)
        if not column.is_float:
            return lambda: answers.Missing(nulls())
        nans = self._count(f"nans {column.name}", pl.col(column.name).is_nan().sum())
        return lambda: answers.Missing(nulls(), nans())

    def moments(self, ask: asks.FindMoments) -> Callable[[], answers.Moments]:
        column = self._columns[ask.column]
        there, found = self._there(column), number(column)
        if column.is_float:
            found = pl.when(found.is_finite()).then(found)
        count = self._count(f"finite {column.name}", found.count())
        mean = self._value(f"mean {column.name}", found.mean())
        spread = self._value(f"spread {column.name}", found.var(ddof=0))
        away = found.cast(pl.Float64) - (ask.around or 0.0)
        cube = self._value(f"cube {column.name} {ask.around}", (away * away * away).mean())
        return lambda: answers.Moments(
            count(),
            there() - count(),
            float(mean() or 0.0),
            float(spread() or 0.0) * count(),
            0.0 if ask.around is None else float(cube() or 0.0) * count(),
        )

    def bins(self, ask: asks.CountBins) -> Callable[[], answers.Bins]:
        column, edges = self._columns[ask.column], ask.edges
        rows, there = self._rows(), self._there(column)
        found = number(column) if column.kind != "integer" else value(column)
        below = [
            self._count(f"bin {column.name} {edge!r}", (found <= _edge(column, edge)).sum()) for edge in edges
        ]

        def make() -> answers.Bins:
            upto = [0, *(count() for count in below), there()]
            counts = tuple(after - before for before, after in pairwise(upto))
            return answers.Bins(counts, rows() - there())

        return make

    def where(self, ask: asks.CountWhere) -> Callable[[], answers.Truth]:
        found, rows, key = condition(ask.that, self._columns), self._rows(), repr(ask.that)
        true, unknown = self._count(f"true {key}", found.sum()), self._unknown(ask.that, found, key)
        return lambda: answers.Truth(true(), rows() - unknown() - true(), unknown())

    def _unknown(self, that: Expression, found: pl.Expr, key: str) -> Callable[[], int]:
        """For how many rows it can't be told."""
        column = missing_with(that)
        if column is not None:
            missing = self._missing(self._columns[column])
            return lambda: missing().count
        return self._count(f"unknown {key}", found.null_count())

    def _counted(self, by: pl.Expr) -> pl.LazyFrame:
        return self._frame.select(by.alias("v")).group_by("v").agg(pl.len().alias("n"))

    def values(self, ask: asks.CountValues) -> Callable[[], answers.ValueCounts]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)
        listed = pl.concat(
            [pl.select(constant(one).alias("v")) for one in ask.values], how="vertical_relaxed"
        )
        chosen = self._frame.select(value(column).alias("v")).filter(pl.col("v").is_in(listed["v"].implode()))
        found = self._group(chosen.group_by("v").agg(pl.len().alias("n")))

        def make() -> answers.ValueCounts:
            by_value = {plain(one): int(count) for one, count in found().rows()}
            counts = tuple(by_value.get(one, 0) for one in ask.values)
            return answers.ValueCounts(counts, there() - sum(counts), rows() - there())

        return make

    def top(self, ask: asks.FindTop) -> Callable[[], answers.Top]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)
        ranked = top(self._frame.select(value(column).alias("v")), ask.most, self._total)
        found = self._group(ranked) if isinstance(ranked, pl.LazyFrame) else ranked

        def make() -> answers.Top:
            counts = {plain(one): int(count) for one, count in found().rows()}
            other = there() - sum(counts.values())
            return answers.Top(counts, other, rows() - there(), ask.most)  # type: ignore[arg-type]

        return make

    def repeats(self, ask: asks.FindRepeats) -> Callable[[], answers.Repeats]:
        rows, keys = self._rows(), [value(self._columns[name]) for name in ask.columns]
        return lambda: repeats(self._frame, keys, rows())

    def cells(self, ask: asks.CountCells) -> Callable[[], answers.Cells]:
        chosen = [self._cell(key).alias(f"k{i}") for i, key in enumerate(ask.columns)]
        by = [f"k{i}" for i in range(len(chosen))]
        found = self._group(self._frame.select(chosen).group_by(by).agg(pl.len().alias(N)))
        return lambda: answers.Cells({tuple(map(plain, key)): int(n) for *key, n in found().rows()})

    def _cell(self, key: str | asks.Binned) -> pl.Expr:
        if isinstance(key, str):
            return value(self._columns[key])
        column = self._columns[key.column]
        found = number(column)
        place = pl.when(found.is_not_null()).then(pl.lit(0))
        return pl.sum_horizontal(
            [place, *((found > edge).cast(pl.Int32) for edge in key.edges)], ignore_nulls=False
        )

    def days(self, ask: asks.CountDays) -> Callable[[], answers.Days]:
        column = self._columns[ask.column]
        day = value(column) if column.kind == "date" else value(column).dt.date()
        found = self._group(self._counted(day).sort("v"))

        def make() -> answers.Days:
            counts = {one: int(count) for one, count in found().rows()}
            missing = counts.pop(None, 0)
            return answers.Days(counts, missing)

        return make

    def sample(self, ask: asks.SampleRows) -> Callable[[], answers.Sample]:
        rows = self._total
        step = max(1, rows // max(ask.size, 1))
        chosen = [_sampled(self._columns[name]).alias(f"c{i}") for i, name in enumerate(ask.columns)]
        frame = (
            self._frame.with_row_index(N).filter(pl.col(N).hash(seed=1) % step == 0)
            if step > 1
            else (self._frame)
        )
        found = self._group(frame.select(chosen))
        return lambda: answers.Sample(
            rows=rows,
            size=ask.size,
            columns={name: _array(found()[f"c{i}"]) for i, name in enumerate(ask.columns)},
        )


def _sampled(column: Column) -> pl.Expr:
    if column.is_number or column.kind == "boolean":
        return number(column)
    if column.is_time:
        return value(column).cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    return value(column).cast(pl.String)


def _array(values: pl.Series) -> Any:
    if values.dtype == pl.String:
        return np.array(values.to_list(), dtype=object)
    return values.fill_null(math.nan).to_numpy()


def _edge(column: Column, edge: float) -> float | int:
    """At most 3.5 is at most 3 to a whole number, and needs no floats."""
    whole = column.kind == "integer" and math.isfinite(edge) and abs(edge) < 2**62
    return math.floor(edge) if whole else edge


def _frame(table: Source) -> pl.LazyFrame:
    if isinstance(table, pl.DataFrame):
        return table.lazy()
    if isinstance(table, pl.LazyFrame):
        return table
    paths = files(table)
    if paths is None:
        raise TypeError(f"Polars reads no {type(table).__name__}")
    look(paths)
    with _read(table):
        schemas = [pl.read_parquet_schema(path) for path in paths]
        if all(schema == schemas[0] for schema in schemas):
            return pl.scan_parquet(list(paths), hive_partitioning=False)
        parts = [pl.scan_parquet(path, hive_partitioning=False) for path in paths]
        return pl.concat(parts, how="diagonal_relaxed")


def _columns(frame: pl.LazyFrame, table: Source) -> dict[str, Column]:
    paths = files(table)
    with _read(table):
        schema = frame.collect_schema()
    where = str(paths[0]) if paths else "the table"
    return by_name([column_of(name, kind) for name, kind in schema.items()], where)


@contextmanager
def _read(table: Source) -> Iterator[None]:
    """Tells what can't be read.

    Raises:
        CorruptData: Instead of Polars' own errors.
    """
    paths: list[Path] | None = files(table)
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).partition("\n")[0]
        twice = re.search(r"column with name '(.*)' has more than one occurrence", first)
        raise CorruptData(
            f"two columns are called {twice[1]!r}" if twice else f"the data can't be read: {first}",
            where=str(paths[0]) if paths else None,
            fix="rename one of them"
            if twice
            else "check that every file is complete Parquet with the same columns",
        ) from error
