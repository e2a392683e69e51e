"""Scans by Ibis, of warehouses: one aggregation for all that is an aggregate, a query for each grouping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import pairwise
from typing import Any

import ibis
import numpy as np
from ibis.common.exceptions import IbisError, OperationNotDefinedError, UnsupportedOperationError

from treadle.kernel.errors import CorruptData, InvalidInput
from treadle.kernel.scan import answers, asks
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.asks import Answers, Ask
from treadle.kernel.scan.columns import Column, Columns, by_name
from treadle.kernel.scan.expressions import Expression
from treadle.kernel.scan.ibis_expr import Expr, column_of, condition, constant, number, seconds, value
from treadle.kernel.scan.places import plain
from treadle.kernel.scan.port import Row, Scan, Source

_TURN = 2654435761  # 2**32 divided by the golden ratio: its multiples spread evenly (Knuth, volume 3)
_ROUND = 2**32


class IbisScan:
    """Tables of Ibis, wherever their backend keeps them; only answers leave it."""

    name = "ibis"

    def columns(self, table: Source) -> dict[str, Column]:
        """The table's columns, by name, in order.

        Raises:
            InvalidInput: If it is no table of Ibis.
            CorruptData: If two columns have one name, but for case.
        """
        if not isinstance(table, ibis.Table):
            raise InvalidInput(
                f"Ibis scans its own tables, not a {type(table).__name__}",
                fix="give all rows of one check as tables of one backend",
            )
        with _asked():
            return by_name([column_of(name, kind) for name, kind in table.schema().items()], _name(table))

    def scan(self, table: Source, asks: Iterable[Ask[Any]]) -> Answers:
        """The answers to all asks.

        Raises:
            InvalidInput: If the backend can't be asked something.
            CorruptData: If the table can't be read.
        """
        return _Scan(table, self.columns(table)).answer(list(asks))

    def examples(self, table: Source, that: Expression, columns: Sequence[str], most: int) -> list[Row]:
        """Values of some columns in rows for which a condition doesn't hold.

        Raises:
            CorruptData: If the table can't be read.
        """
        known = self.columns(table)
        wanted = {f"c{i}": value(table, known[name]) for i, name in enumerate(columns)}
        with _asked():
            found = _fetch(table.filter(~condition(table, that, known)).limit(most).select(**wanted))
        return [_key(one, [known[name] for name in columns]) for one in found]

    def shared(self, table: Source, other: Source, columns: Sequence[str]) -> answers.Shared:
        """Which rows of a table have their like in another one of the same backend.

        Raises:
            InvalidInput: If the other isn't a table of the same backend.
            CorruptData: If a table can't be read.
        """
        mine, theirs = self.columns(table), self.columns(other)
        names = [f"k{i}" for i in range(len(columns))]
        with _asked():
            left = table.select(
                **{k: value(table, mine[name]) for k, name in zip(names, columns, strict=True)}
            )
            right = other.select(
                **{k: value(other, theirs[name]) for k, name in zip(names, columns, strict=True)}
            )
            left = left.filter(reduce(lambda x, y: x | y, (left[k].notnull() for k in names)))
            both = left.semi_join(right, [left[k].identical_to(right[k]) for k in names])
            [(rows,)] = _fetch(both.aggregate(n=both.count()))
            first = _fetch(both.order_by(names).limit(1)) if rows else []
        example = _key(first[0], [mine[name] for name in columns]) if first else None
        return answers.Shared(int(rows), example)


class _Scan(Scan):
    """One scan of one table."""

    def __init__(self, table: Any, columns: Columns) -> None:
        self._table, self._columns = table, columns
        self._selected: dict[str, Expr] = {}
        self._row: tuple[Any, ...] = ()

    def answer(self, asked: list[Ask[Any]]) -> Answers:
        """Builds each answer from the one row of aggregates; groupings are queries of their own."""
        with _asked():
            makers = self.makers(asked)
            if self._selected:
                named = {f"a{i}": one for i, one in enumerate(self._selected.values())}
                [self._row] = _fetch(self._table.aggregate(**named))
            return Answers({ask: make() for ask, make in makers})

    def _value(self, key: str, aggregate: Expr) -> Callable[[], Any]:
        self._selected.setdefault(key, aggregate)
        at = list(self._selected).index(key)
        return lambda: self._row[at]

    def _count(self, key: str, aggregate: Expr) -> Callable[[], int]:
        found = self._value(key, aggregate)
        return lambda: int(found() or 0)

    def _rows(self) -> Callable[[], int]:
        return self._count("rows", self._table.count())

    def _there(self, column: Column) -> Callable[[], int]:
        """Rows with a value."""
        return self._count(f"there {column.name}", value(self._table, column).count())

    def _grouped(self, **keys: Expr) -> Any:
        """Each combination of keys and its number of rows, ``n``."""
        named = self._table.select(**keys)
        return named.group_by(list(keys)).aggregate(n=named.count())

    def rows(self, ask: asks.CountRows) -> Callable[[], answers.RowCount]:
        del ask  # there is nothing more to it
        rows = self._rows()
        return lambda: answers.RowCount(rows())

    def missing(self, ask: asks.CountMissing) -> Callable[[], answers.Missing]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)
        if not column.is_float:
            return lambda: answers.Missing(rows() - there())
        stored = self._count(f"stored {column.name}", self._table[column.name].count())
        return lambda: answers.Missing(rows() - stored(), stored() - there())

    def moments(self, ask: asks.FindMoments) -> Callable[[], answers.Moments]:
        column = self._columns[ask.column]
        there, found = self._there(column), number(self._table, column)
        if column.is_float:
            found = found.isinf().ifelse(ibis.null("float64"), found)
        count = self._count(f"finite {ask.column}", found.count())
        mean = self._value(f"mean {ask.column}", found.mean())
        spread = self._value(f"spread {ask.column}", found.var(how="pop"))
        away = found.cast("float64") - (ask.around or 0.0)
        cube = self._value(f"cube {ask.column} {ask.around}", (away * away * away).mean())
        return lambda: answers.Moments(
            count(),
            there() - count(),
            float(mean() or 0.0),
            float(spread() or 0.0) * count(),
            0.0 if ask.around is None else float(cube() or 0.0) * count(),
        )

    def extent(self, ask: asks.FindExtent) -> Callable[[], answers.Extent]:
        column = self._columns[ask.column]
        low = self._value(f"min {ask.column}", value(self._table, column).min())
        high = self._value(f"max {ask.column}", value(self._table, column).max())
        return lambda: answers.Extent(_plain(low(), column), _plain(high(), column))

    def bins(self, ask: asks.CountBins) -> Callable[[], answers.Bins]:
        column = self._columns[ask.column]
        rows, there, found = self._rows(), self._there(column), number(self._table, column)
        below = [
            self._count(f"bin {ask.column} {edge!r}", (found <= float(edge)).ifelse(1, 0).sum())
            for edge in ask.edges
        ]

        def make() -> answers.Bins:
            upto = [0, *(count() for count in below), there()]
            counts = tuple(after - before for before, after in pairwise(upto))
            return answers.Bins(counts, rows() - there())

        return make

    def distinct(self, ask: asks.EstimateDistinct) -> Callable[[], answers.Distinct]:
        about = self._count(
            f"about {ask.column}", value(self._table, self._columns[ask.column]).approx_nunique()
        )
        return lambda: answers.Distinct(float(about()), float(about()))

    def where(self, ask: asks.CountWhere) -> Callable[[], answers.Truth]:
        found, rows, key = condition(self._table, ask.that, self._columns), self._rows(), repr(ask.that)
        true = self._count(f"true {key}", found.ifelse(1, 0).sum())
        false = self._count(f"false {key}", (~found).ifelse(1, 0).sum())
        return lambda: answers.Truth(true(), false(), rows() - true() - false())

    def values(self, ask: asks.CountValues) -> Callable[[], answers.ValueCounts]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)

        def make() -> answers.ValueCounts:
            grouped = self._grouped(v=value(self._table, column))
            found = _fetch(grouped.filter(grouped.v.isin([constant(one) for one in ask.values])))
            by_value = {_plain(one, column): int(count) for one, count in found}
            counts = tuple(by_value.get(one, 0) for one in ask.values)
            return answers.ValueCounts(counts, there() - sum(counts), rows() - there())

        return make

    def top(self, ask: asks.FindTop) -> Callable[[], answers.Top]:
        column = self._columns[ask.column]
        rows, there = self._rows(), self._there(column)

        def make() -> answers.Top:
            grouped = self._grouped(v=value(self._table, column))
            ranked = grouped.filter(grouped.v.notnull()).order_by([ibis.desc("n"), "v"])
            found = _fetch(ranked.limit(ask.most))
            counts = {_plain(one, column): int(count) for one, count in found}
            other = there() - sum(counts.values())
            return answers.Top(counts, other, rows() - there(), ask.most)  # type: ignore[arg-type]

        return make

    def repeats(self, ask: asks.FindRepeats) -> Callable[[], answers.Repeats]:
        columns = [self._columns[name] for name in ask.columns]
        by = [f"k{i}" for i in range(len(columns))]

        def make() -> answers.Repeats:
            grouped = self._grouped(
                **{k: value(self._table, one) for k, one in zip(by, columns, strict=True)}
            )
            twice = grouped.filter(grouped.n > 1, *(grouped[k].notnull() for k in by))
            [(keys, rows)] = _fetch(twice.aggregate(keys=twice.count(), rows=twice.n.sum()))
            first = _fetch(twice.order_by(by).limit(1)) if keys else []
            key = _key(first[0][:-1], columns) if first else None
            return answers.Repeats(int(keys), int(rows or 0), key)  # type: ignore[arg-type]

        return make

    def cells(self, ask: asks.CountCells) -> Callable[[], answers.Cells]:
        def make() -> answers.Cells:
            found = _fetch(self._grouped(**{f"k{i}": self._cell(key) for i, key in enumerate(ask.columns)}))
            kinds = [self._columns[key] if isinstance(key, str) else None for key in ask.columns]
            return answers.Cells({_key(key, kinds): int(count) for *key, count in found})

        return make

    def _cell(self, key: str | asks.Binned) -> Expr:
        if isinstance(key, str):
            return value(self._table, self._columns[key])
        found = number(self._table, self._columns[key.column])
        places = [(found > float(edge)).ifelse(1, 0) for edge in key.edges]
        none = ibis.null("int64")
        return found.notnull().ifelse(reduce(lambda x, y: x + y, places, ibis.literal(0, "int64")), none)

    def days(self, ask: asks.CountDays) -> Callable[[], answers.Days]:
        def make() -> answers.Days:
            column = self._columns[ask.column]
            day = value(self._table, column) if column.kind == "date" else value(self._table, column).date()
            counts = {one: int(count) for one, count in _fetch(self._grouped(d=day).order_by("d"))}
            missing = counts.pop(None, 0)
            return answers.Days(dict(sorted(counts.items())), missing)

        return make

    def sample(self, ask: asks.SampleRows) -> Callable[[], answers.Sample]:
        rows = self._rows()
        columns = [self._columns[name] for name in ask.columns]

        def make() -> answers.Sample:
            step = max(1, rows() // max(ask.size, 1))
            chosen = {f"c{i}": _sampled(self._table, one) for i, one in enumerate(columns)}
            frame = self._table.select(**chosen)
            if step > 1:
                numbered = self._table.select(**chosen, r=ibis.row_number())
                turned = (numbered.r.cast("int64") * _TURN) % _ROUND
                frame = numbered.filter(turned < _ROUND // step).drop("r")
            found = _fetch(frame)
            values = zip(*found, strict=True) if found else ((),) * len(columns)
            arrays = [_array(one, column) for one, column in zip(values, columns, strict=True)]
            return answers.Sample(rows(), ask.size, dict(zip(ask.columns, arrays, strict=True)))

        return make


def _sampled(table: Any, column: Column) -> Expr:
    if column.is_number or column.kind == "boolean":
        return number(table, column)
    return seconds(value(table, column)) if column.is_time else value(table, column).cast("string")


def _array(values: Sequence[Any], column: Column) -> Any:
    if column.is_number or column.is_time or column.kind == "boolean":
        return np.array([np.nan if one is None else one for one in values], dtype=np.float64)
    return np.array(values, dtype=object)


def _fetch(table: Any) -> list[tuple[Any, ...]]:
    """The rows of a result, which is small."""
    found = table.to_pyarrow()
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def _key(values: Iterable[Any], columns: Sequence[Column | None]) -> tuple[Scalar | None, ...]:
    return tuple(map(_plain, values, columns))


def _plain(found: Any, column: Column | None) -> Scalar | None:
    if found is not None and column is not None:
        if column.kind == "integer":
            return int(found)
        if column.kind == "boolean":
            return bool(found)
    return plain(found)


def _name(table: Any) -> str:
    return str(table.get_name()) if hasattr(table.op(), "name") else "the table"


@contextmanager
def _asked() -> Iterator[None]:
    """Tells what a backend can't answer.

    Raises:
        InvalidInput: If it never can.
        CorruptData: If it couldn't this time.
    """
    try:
        yield
    except (OperationNotDefinedError, UnsupportedOperationError) as error:
        raise InvalidInput(
            f"the warehouse can't be asked this by Ibis: {_first(error)}",
            fix="leave the check out, or check a copy of the rows as Parquet",
        ) from error
    except (InvalidInput, CorruptData, TypeError, KeyError):
        raise
    except Exception as error:  # each backend's driver has errors of its own
        if isinstance(error, IbisError) or type(error).__module__.partition(".")[0] != "treadle":
            raise CorruptData(
                f"the table can't be read: {_first(error)}", fix="ask the warehouse the same in SQL"
            ) from error
        raise


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
