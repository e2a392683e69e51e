"""Conditions and columns as Spark's expressions; the session's time zone is taken to be UTC."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any, TypeAlias

from pyspark.sql import functions as F  # noqa: N812 - as Spark's own documents call it

from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.columns import Column, Columns, Kind

Expr: TypeAlias = Any
"""``pyspark.sql.Column``, which has no types here: Spark is optional."""

_KINDS: dict[str, tuple[Kind, str]] = {
    "tinyint": ("integer", "int8"),
    "smallint": ("integer", "int16"),
    "int": ("integer", "int32"),
    "bigint": ("integer", "int64"),
    "float": ("number", "float32"),
    "double": ("number", "float64"),
    "boolean": ("boolean", "boolean"),
    "date": ("date", "date"),
    "timestamp": ("timestamp", "timestamptz"),
    "timestamp_ntz": ("timestamp", "timestamp"),
    "binary": ("binary", "binary"),
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": operator.mod,
}  # fmt: skip
_CALLS: dict[str, Callable[..., Expr]] = {
    "abs": F.abs,
    "floor": lambda x: F.floor(x.cast("double")),
    "ceil": lambda x: F.ceil(x.cast("double")),
    "length": F.length,
    "lower": F.lower,
    "upper": F.upper,
    "trim": F.trim,
    "starts_with": lambda x, y: x.startswith(y),
    "ends_with": lambda x, y: x.endswith(y),
    "contains": lambda x, y: x.contains(y),
    "coalesce": F.coalesce,
    "year": F.year,
    "month": F.month,
    "day": F.dayofmonth,
    "hour": lambda x: F.hour(x.cast("timestamp")),
    "seconds_between": lambda x, y: (micros(y) - micros(x)) / 1e6,
}


_MICROSECOND = timedelta(microseconds=1)


def micros(moment: Expr) -> Expr:
    """Microseconds since 1970."""
    return F.unix_micros(moment.cast("timestamp"))


def column_of(name: str, kind: str) -> Column:
    """A column as Spark describes it."""
    if kind in _KINDS:
        return Column(name, *_KINDS[kind])
    if kind.startswith("decimal"):
        whole = kind.endswith(",0)")
        return Column(name, "integer" if whole else "number", kind.replace(",", ", "))
    if kind.startswith(("string", "varchar", "char")):
        return Column(name, "text", "text")
    if kind.startswith(("array", "struct", "map")):
        return Column(name, "nested", {"array": "list"}.get(kind.partition("<")[0], kind.partition("<")[0]))
    return Column(name, "time" if kind.startswith("time") else "other", kind.partition("(")[0])


def value(column: Column) -> Expr:
    """A column's value: a null where there is NaN, moments as instants, decimals as floats."""
    found = F.col("`" + column.name.replace("`", "``") + "`")
    if column.is_float:
        wide = found.cast("double")
        return F.when(~F.isnan(wide), wide)
    if column.kind == "number":
        return found.cast("double")
    return found.cast("timestamp") if column.kind == "timestamp" else found


def number(column: Column) -> Expr:
    """The value of a number or boolean as a float."""
    return value(column).cast("double")


def condition(node: ex.Expression, columns: Columns) -> Expr:  # noqa: C901, PLR0911 - one a node
    """A condition as one expression."""

    def of(part: ex.Expression) -> Expr:
        return condition(part, columns)

    match node:
        case ex.Name():
            return value(columns[node.column])
        case ex.Value():
            return constant(node.value)
        case ex.Compare():
            return _COMPARE[node.operator](*_alike(node.left, node.right, columns))
        case ex.Compute():
            return _computed(node.operator, of(node.left), of(node.right))
        case ex.All():
            return reduce(operator.and_, map(of, node.parts))
        case ex.Any():
            return reduce(operator.or_, map(of, node.parts))
        case ex.Not():
            return ~of(node.part)
        case ex.IsMissing():
            return of(node.part).isNull()
        case ex.In():
            sides = [_alike(node.part, ex.Value(one), columns) for one in node.values]
            return sides[0][0].isin(*(one for _, one in sides))
        case ex.Matches():
            return F.rlike(of(node.part), F.lit(java(node.pattern)))
        case ex.Call():
            return _CALLS[node.function](*map(of, node.arguments))


def java(pattern: str) -> str:
    """A portable pattern for Java's engine, which folds only ASCII unless it is told otherwise."""
    return rf"\A(?:{pattern.replace('(?i)', '(?iu)', 1) if pattern.startswith('(?i)') else pattern})\z"


def _alike(left: ex.Expression, right: ex.Expression, columns: Columns) -> tuple[Expr, Expr]:
    """Both sides; a day beside a moment becomes its midnight."""
    kinds = {ex.kind_of(side, columns, "") for side in (left, right)}
    sides = condition(left, columns), condition(right, columns)
    if kinds == {"date", "timestamp"}:
        return sides[0].cast("timestamp"), sides[1].cast("timestamp")
    return sides


def _computed(sign: ex.Operation, left: Expr, right: Expr) -> Expr:
    x, y = left.cast("double"), right.cast("double")
    if sign in {"/", "%"}:
        y = F.when(y != 0, y)
    found = _COMPUTE[sign](x, y)
    return F.when(~F.isnan(found), found)


def constant(value: Scalar) -> Expr:
    """A constant."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        whole = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
        return F.timestamp_micros(F.lit(whole))
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return F.lit(Decimal(value)) if abs(value) < 10**38 else F.lit(float(value))
    if isinstance(value, date | bool | int | float | str):
        return F.lit(value)
    raise TypeError(f"{value!r} is no constant")
