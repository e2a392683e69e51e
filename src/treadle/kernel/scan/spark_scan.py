"""Scans by Spark: one aggregation for all that is an aggregate, and a job for each grouping."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812 - as Spark's own documents call it

from treadle.kernel.errors import CorruptData, Unavailable
from treadle.kernel.scan import answers, asks
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.asks import Answers, Ask
from treadle.kernel.scan.columns import Column, Columns, by_name
from treadle.kernel.scan.expressions import Expression
from treadle.kernel.scan.places import look, plain
from treadle.kernel.scan.port import Row, Scan, Source, files
from treadle.kernel.scan.spark_expr import Expr, column_of, condition, constant, micros, number, value

_ZONE = "spark.sql.session.timeZone"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SparkScan:
    """Spark's frames, and files that its workers can read.

    Args:
        session: Reads files; when left out a new one of the Spark that is running, or that is started by
            its own settings (``spark-defaults.conf``, ``PYSPARK_SUBMIT_ARGS``).
    """

    name = "spark"

    def __init__(self, session: Any = None) -> None:
        self._session = session

    def columns(self, table: Source) -> dict[str, Column]:
        """The table's columns, by name, in order.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read, or two columns have one name.
        """
        with self._open(table) as frame:
            return _columns(frame, table)

    def scan(self, table: Source, asks: Iterable[Ask[Any]]) -> Answers:
        """The answers to all asks.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read.
        """
        with self._open(table) as frame:
            return _Scan(frame, _columns(frame, table)).answer(list(asks))

    def examples(self, table: Source, that: Expression, columns: Sequence[str], most: int) -> list[Row]:
        """Values of some columns in rows for which a condition doesn't hold.

        Raises:
            CorruptData: If the table can't be read.
        """
        with self._open(table) as frame:
            known = _columns(frame, table)
            chosen = frame.filter(~condition(that, known)).limit(most)
            found = chosen.select(*(_told(value(known[name]), known[name]) for name in columns)).collect()
            kinds = [known[name] for name in columns]
            return [tuple(map(_plain, row, kinds)) for row in found]

    def shared(self, table: Source, other: Source, columns: Sequence[str]) -> answers.Shared:
        """Which rows of a table have their like in another one.

        Raises:
            CorruptData: If a table can't be read.
        """
        with self._open(table) as frame, self._open(other) as beside:
            mine, theirs = _columns(frame, table), _columns(beside, other)
            left = frame.select(*(value(mine[name]).alias(f"a{i}") for i, name in enumerate(columns)))
            right = beside.select(*(value(theirs[name]).alias(f"b{i}") for i, name in enumerate(columns)))
            same = [F.col(f"a{i}").eqNullSafe(F.col(f"b{i}")) for i in range(len(columns))]
            left = left.filter(reduce(lambda x, y: x | y, (F.col(a).isNotNull() for a in left.columns)))
            both = left.join(right, reduce(lambda x, y: x & y, same), "left_semi")
            keys = [_told(F.col(f"a{i}"), mine[name]).alias(f"a{i}") for i, name in enumerate(columns)]
            found = both.select(F.struct(*keys).alias("k")).agg(F.count("*"), F.min("k")).first()
            kinds = [mine[name] for name in columns]
            return answers.Shared(int(found[0]), tuple(map(_plain, found[1], kinds)) if found[0] else None)

    @contextmanager
    def _open(self, table: Source) -> Iterator[Any]:
        """The frame, with moments told in UTC as long as it is used.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read.
            Unavailable: If Spark can't be started.
        """
        paths = files(table)
        session = table.sparkSession if paths is None else self._found()
        zone = session.conf.get(_ZONE)
        session.conf.set(_ZONE, "UTC")
        try:
            if paths is None:
                yield table
                return
            look(paths)
            names = [re.sub(r"([\\*?,{}\[\]])", r"\\\1", str(path.resolve())) for path in paths]
            if paths[0].suffix.lower() == ".csv":
                yield session.read.csv(names, header=True, inferSchema=True, enforceSchema=False)
            else:
                yield session.read.option("mergeSchema", "true").parquet(*names)
        except (PySparkException, Py4JJavaError) as error:
            raise _unreadable(error, str(paths[0]) if paths else None) from error
        finally:
            session.conf.set(_ZONE, zone)

    def _found(self) -> Any:
        """A session for files.

        Raises:
            Unavailable: If Spark can't be started.
        """
        if self._session is None:
            from pyspark.sql import SparkSession

            try:
                # Its time zone is set while it scans; in a session of its own nobody else is touched by that.
                self._session = SparkSession.builder.getOrCreate().newSession()
            except (PySparkException, Py4JJavaError, OSError) as error:
                raise Unavailable(
                    f"Spark can't be started: {str(error).strip().partition(chr(10))[0]}",
                    fix="install Java 17 or newer (JAVA_HOME), and see what Spark wrote above",
                ) from error
        return self._session


class _Scan(Scan):
    """One scan of one frame."""

    def __init__(self, frame: Any, columns: Columns) -> None:
        self._frame, self._columns = frame, columns
        self._selected: dict[str, Expr] = {}
        self._row: Any = None

    def answer(self, asked: list[Ask[Any]]) -> Answers:
        """Builds each answer from the one row of aggregates; groupings are jobs of their own."""
        makers = self.makers(asked)
        if self._selected:
            self._row = self._frame.agg(*self._selected.values()).first()
        return Answers({ask: make() for ask, make in makers})

    def _value(self, key: str, aggregate: Expr) -> Callable[[], Any]:
        self._selected.setdefault(key, aggregate)
        at = list(self._selected).index(key)
        return lambda: self._row[at]

    def _count(self, key: str, aggregate: Expr) -> Callable[[], int]:
        found = self._value(key, aggregate)
        return lambda: int(found() or 0)

    def _rows(self) -> Callable[[], int]:
        return self._count("rows", F.count(F.lit(1)))

    def _there(self, column: Column) -> Callable[[], int]:
        """Rows with a value."""
        return self._count(f"there {column.name}", F.count(value(column)))

    def rows(self, ask: asks.CountRows) -> Callable[[], answers.RowCount]:
        del ask  # there is nothing more to it
        rows = self._rows()
        return lambda: answers.RowCount(rows())

    def missing(self, ask: asks.CountMissing) -> Callable[[], answers.Missing]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)
        if not column.is_float:
            return lambda: answers.Missing(rows() - there())
        stored = F.col("`" + column.name.replace("`", "``") + "`")
        nans = self._count(f"nans {column.name}", F.count_if(F.isnan(stored)))
        return lambda: answers.Missing(rows() - there() - nans(), nans())

    def moments(self, ask: asks.FindMoments) -> Callable[[], answers.Moments]:
        column = self._columns[ask.column]
        there, found = self._there(column), number(column)
        if column.is_float:
            found = F.when(F.abs(found) < float("inf"), found)
        count = self._count(f"finite {ask.column}", F.count(found))
        mean = self._value(f"mean {ask.column}", F.avg(found))
        spread = self._value(f"spread {ask.column}", F.var_pop(found))
        away = found.cast("double") - (ask.around or 0.0)
        cube = self._value(f"cube {ask.column} {ask.around}", F.avg(away * away * away))
        return lambda: answers.Moments(
            count(),
            there() - count(),
            float(mean() or 0.0),
            float(spread() or 0.0) * count(),
            0.0 if ask.around is None else float(cube() or 0.0) * count(),
        )

    def extent(self, ask: asks.FindExtent) -> Callable[[], answers.Extent]:
        column = self._columns[ask.column]
        told = _told(value(column), column)
        low = self._value(f"min {ask.column}", F.min(told))
        high = self._value(f"max {ask.column}", F.max(told))
        return lambda: answers.Extent(_plain(low(), column), _plain(high(), column))

    def bins(self, ask: asks.CountBins) -> Callable[[], answers.Bins]:
        column = self._columns[ask.column]
        rows, there, found = self._rows(), self._there(column), number(column)
        below = [
            self._count(f"bin {ask.column} {edge!r}", F.count_if(found <= float(edge))) for edge in ask.edges
        ]

        def make() -> answers.Bins:
            upto = [0, *(count() for count in below), there()]
            counts = tuple(after - before for before, after in pairwise(upto))
            return answers.Bins(counts, rows() - there())

        return make

    def distinct(self, ask: asks.EstimateDistinct) -> Callable[[], answers.Distinct]:
        found = F.approx_count_distinct(value(self._columns[ask.column]))
        about = self._count(f"about {ask.column}", found)
        return lambda: answers.Distinct(float(about()), float(about()))

    def where(self, ask: asks.CountWhere) -> Callable[[], answers.Truth]:
        found, rows, key = condition(ask.that, self._columns), self._rows(), repr(ask.that)
        true = self._count(f"true {key}", F.count_if(found))
        false = self._count(f"false {key}", F.count_if(~found))
        return lambda: answers.Truth(true(), false(), rows() - true() - false())

    def _grouped(self, column: Column, only: Expr) -> Any:
        """Each value and its number of rows."""
        named = self._frame.select(value(column).alias("v")).filter(only)
        return named.groupBy("v").agg(F.count(F.lit(1)).alias("n"))

    def values(self, ask: asks.CountValues) -> Callable[[], answers.ValueCounts]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)

        def make() -> answers.ValueCounts:
            only = F.col("v").isin(*map(constant, ask.values)) if ask.values else F.lit(False)
            found = self._grouped(column, only).select(_told(F.col("v"), column), "n").collect()
            by_value = {_plain(one, column): int(count) for one, count in found}
            counts = tuple(by_value.get(one, 0) for one in ask.values)
            return answers.ValueCounts(counts, there() - sum(counts), rows() - there())

        return make

    def top(self, ask: asks.FindTop) -> Callable[[], answers.Top]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)

        def make() -> answers.Top:
            ranked = self._grouped(column, F.col("v").isNotNull()).orderBy(F.desc("n"), F.asc("v"))
            found = ranked.limit(ask.most).select(_told(F.col("v"), column), "n").collect()
            counts = {_plain(one, column): int(count) for one, count in found}
            other = there() - sum(counts.values())
            return answers.Top(counts, other, rows() - there(), ask.most)  # type: ignore[arg-type]

        return make

    def repeats(self, ask: asks.FindRepeats) -> Callable[[], answers.Repeats]:
        columns = [self._columns[name] for name in ask.columns]
        by = [f"k{i}" for i in range(len(columns))]

        def make() -> answers.Repeats:
            keys = self._frame.select(
                *(_told(value(c), c).alias(k) for c, k in zip(columns, by, strict=True))
            )
            twice = keys.dropna().groupBy(*by).agg(F.count(F.lit(1)).alias("n")).filter("n > 1")
            found = twice.agg(F.count(F.lit(1)), F.sum("n"), F.min(F.struct(*by))).first()
            key = tuple(map(_plain, found[2], columns)) if found[0] else None
            return answers.Repeats(int(found[0]), int(found[1] or 0), key)  # type: ignore[arg-type]

        return make

    def cells(self, ask: asks.CountCells) -> Callable[[], answers.Cells]:
        def make() -> answers.Cells:
            names = [f"k{i}" for i in range(len(ask.columns))]
            keys = [self._cell(key).alias(name) for key, name in zip(ask.columns, names, strict=True)]
            found = self._frame.select(*keys).groupBy(*names).count().collect()
            kinds = [self._columns[key] if isinstance(key, str) else None for key in ask.columns]
            return answers.Cells({tuple(map(_plain, key, kinds)): int(count) for *key, count in found})

        return make

    def _cell(self, key: str | asks.Binned) -> Expr:
        if isinstance(key, str):
            return _told(value(self._columns[key]), self._columns[key])
        found = number(self._columns[key.column])
        places = [F.when(found > float(edge), 1).otherwise(0) for edge in key.edges]
        return F.when(found.isNotNull(), reduce(lambda x, y: x + y, places, F.lit(0)))

    def days(self, ask: asks.CountDays) -> Callable[[], answers.Days]:
        def make() -> answers.Days:
            day = F.to_date(value(self._columns[ask.column]))
            found = self._frame.groupBy(day.alias("d")).count().orderBy("d").collect()
            counts = {one: int(count) for one, count in found}
            missing = counts.pop(None, 0)
            return answers.Days(counts, missing)

        return make

    def sample(self, ask: asks.SampleRows) -> Callable[[], answers.Sample]:
        rows = self._rows()
        columns = [self._columns[name] for name in ask.columns]

        def make() -> answers.Sample:
            step = max(1, rows() // max(ask.size, 1))
            frame = self._frame
            if step > 1:
                frame = frame.filter(F.pmod(F.xxhash64(F.monotonically_increasing_id()), F.lit(step)) == 0)
            found = frame.select(*map(_sampled, columns)).collect()
            values = zip(*found, strict=True) if found else ((),) * len(columns)
            arrays = [_array(one, column) for one, column in zip(values, columns, strict=True)]
            return answers.Sample(rows(), ask.size, dict(zip(ask.columns, arrays, strict=True)))

        return make


def _told(found: Expr, column: Column) -> Expr:
    """A value as it is brought here: moments as numbers, for Spark would tell them in the machine's zone."""
    return micros(found) if column.kind == "timestamp" else found


def _plain(found: Any, column: Column | None) -> Scalar | None:
    if column is not None and column.kind == "timestamp" and found is not None:
        return _EPOCH + timedelta(microseconds=int(found))
    if column is not None and column.kind == "integer" and found is not None:
        return int(found)
    return plain(found)


def _sampled(column: Column) -> Expr:
    if column.is_number or column.kind == "boolean":
        return number(column)
    return micros(value(column)) / 1e6 if column.is_time else value(column).cast("string")


def _array(values: Sequence[Any], column: Column) -> Any:
    if column.is_number or column.is_time or column.kind == "boolean":
        return np.array([np.nan if one is None else one for one in values], dtype=np.float64)
    return np.array(values, dtype=object)


def _columns(frame: Any, table: Source) -> dict[str, Column]:
    paths = files(table)
    return by_name(
        [column_of(name, kind) for name, kind in frame.dtypes], str(paths[0]) if paths else "the table"
    )


def _unreadable(error: Exception, where: str | None) -> CorruptData:
    said = str(error.java_exception.getMessage()) if isinstance(error, Py4JJavaError) else str(error)
    first = said.partition("\n")[0]
    twice = re.search(r"COLUMN_ALREADY_EXISTS\].*?`(.*?)`", first)
    return CorruptData(
        f"two columns are called {twice[1]!r}" if twice else f"the data can't be read: {first}",
        where=where,
        fix="rename one of them" if twice else "check that Spark can read it",
    )
