"""Conditions and columns as Polars' expressions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

import polars as pl

from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.columns import Column, Columns, Kind

_MOMENT = pl.Datetime("us")
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_CALLS: dict[str, Callable[..., pl.Expr]] = {
    "abs": lambda x: x.abs(),
    "floor": lambda x: x.cast(pl.Float64).floor(),
    "ceil": lambda x: x.cast(pl.Float64).ceil(),
    "length": lambda x: x.str.len_chars(),
    "lower": lambda x: x.str.to_lowercase(),
    "upper": lambda x: x.str.to_uppercase(),
    "trim": lambda x: x.str.strip_chars(" "),
    "starts_with": lambda x, y: x.str.starts_with(y),
    "ends_with": lambda x, y: x.str.ends_with(y),
    "contains": lambda x, y: x.str.contains(y, literal=True),
    "coalesce": lambda *parts: pl.coalesce(parts),
    "year": lambda x: x.dt.year(),
    "month": lambda x: x.dt.month(),
    "day": lambda x: x.dt.day(),
    "hour": lambda x: x.cast(_MOMENT).dt.hour(),
    "seconds_between": lambda x, y: (_micros(y) - _micros(x)) / 1e6,
}


def _micros(moment: pl.Expr) -> pl.Expr:
    return moment.cast(_MOMENT).dt.epoch("us")


def column_of(name: str, kind: pl.DataType) -> Column:  # noqa: C901, PLR0911 - one a kind
    """A column as Polars describes it."""
    if kind.is_integer():
        return Column(name, "integer", str(kind).lower())
    if kind.is_float():
        return Column(name, "number", str(kind).lower())
    match kind:
        case pl.Decimal():
            kind_of: Kind = "number" if kind.scale else "integer"
            return Column(name, kind_of, f"decimal({kind.precision}, {kind.scale})")
        case pl.Boolean():
            return Column(name, "boolean", "boolean")
        case pl.String() | pl.Categorical() | pl.Enum():
            return Column(name, "text", "text")
        case pl.Date():
            return Column(name, "date", "date")
        case pl.Datetime():
            return Column(name, "timestamp", "timestamptz" if kind.time_zone else "timestamp")
        case pl.Time():
            return Column(name, "time", "time")
        case pl.Binary():
            return Column(name, "binary", "binary")
        case pl.List() | pl.Array():
            return Column(name, "nested", "list")
        case pl.Struct():
            return Column(name, "nested", "struct")
    return Column(name, "other", str(kind).lower())


def value(column: Column) -> pl.Expr:
    """A column's value: a null where there is NaN, moments in UTC without a zone, decimals as floats."""
    found = pl.col(column.name)
    if column.is_float:
        return (found if column.type == "float64" else found.cast(pl.Float64)).fill_nan(None)
    if column.kind == "integer" and column.type.startswith("decimal"):
        return found.cast(pl.Int128)
    if column.kind == "number":
        return found.cast(pl.Float64)
    if column.kind == "text":  # Categories as well; of texts it costs nothing
        return found.cast(pl.String)
    if column.type == "timestamptz":
        return found.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(_MOMENT)
    return found.cast(_MOMENT) if column.kind == "timestamp" else found


def number(column: Column) -> pl.Expr:
    """The value of a number or boolean as a float."""
    found = value(column)
    return found if column.kind == "number" else found.cast(pl.Float64)


def condition(node: ex.Expression, columns: Columns) -> pl.Expr:  # noqa: C901, PLR0911 - one a node
    """A condition as one expression."""

    def of(part: ex.Expression) -> pl.Expr:
        return condition(part, columns)

    match node:
        case ex.Name():
            return value(columns[node.column])
        case ex.Value():
            return constant(node.value)
        case ex.Compare():
            left, right = _alike(node.left, node.right, columns)
            found: pl.Expr = _COMPARE[node.operator](left, right)
            return found
        case ex.Compute():
            return _computed(node.operator, of(node.left), of(node.right))
        case ex.All():
            return reduce(operator.and_, map(of, node.parts))
        case ex.Any():
            return reduce(operator.or_, map(of, node.parts))
        case ex.Not():
            return of(node.part).not_()
        case ex.IsMissing():
            return of(node.part).is_null()
        case ex.In():
            return _within(node, columns)
        case ex.Matches():
            return of(node.part).str.contains(rf"\A(?:{node.pattern})\z")
        case ex.Call():
            return _CALLS[node.function](*map(of, node.arguments))


def _within(node: ex.In, columns: Columns) -> pl.Expr:
    kind = ex.kind_of(node.part, columns, "")
    part = condition(node.part, columns)
    if kind in {"date", "timestamp"}:
        part = part.cast(_MOMENT)
        return part.is_in(pl.Series([naive(one) for one in node.values], dtype=_MOMENT).implode())
    if kind == "number" and not all(_small(one) for one in node.values):
        part = part.cast(pl.Float64)
        return part.is_in(pl.Series([float(one) for one in node.values]).implode())  # type: ignore[arg-type]
    return part.is_in(pl.Series(list(node.values)).implode())


def _small(number: Scalar) -> bool:
    return isinstance(number, int) and abs(number) < 2**127


def _alike(left: ex.Expression, right: ex.Expression, columns: Columns) -> tuple[pl.Expr, pl.Expr]:
    """Both sides; a day beside a moment becomes its midnight."""
    kinds = {ex.kind_of(side, columns, "") for side in (left, right)}
    sides = condition(left, columns), condition(right, columns)
    if kinds == {"date", "timestamp"}:
        return sides[0].cast(_MOMENT), sides[1].cast(_MOMENT)
    return sides


def _computed(sign: ex.Operation, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    x, y = left.cast(pl.Float64), right.cast(pl.Float64)
    if sign in {"/", "%"}:
        y = pl.when(y != 0).then(y)
    if sign == "%":  # Polars has the sign of the divisor
        return ((x.abs() % y.abs()) * x.sign()).fill_nan(None)
    found = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign](x, y)
    return found.fill_nan(None)  # type: ignore[no-any-return]


def constant(value: Scalar) -> pl.Expr:
    """A constant; moments in UTC without a zone."""
    if isinstance(value, date):
        return pl.lit(naive(value) if isinstance(value, datetime) else value)
    if isinstance(value, int) and not isinstance(value, bool) and not _small(value):
        return pl.lit(float(value))
    return pl.lit(value)


def naive(moment: Scalar) -> datetime:
    """A day or a moment as one in UTC without a zone."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    if isinstance(moment, date):
        return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - in UTC, as all are here
    raise TypeError(f"{moment!r} is no day or moment")
