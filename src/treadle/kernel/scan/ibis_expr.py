"""Conditions and columns as expressions of Ibis; the backend's time zone is UTC, as Ibis sets it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import reduce
from typing import Any, TypeAlias

import ibis
from ibis.expr import datatypes as dt

from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.columns import Column, Columns, Kind

Table: TypeAlias = Any
Expr: TypeAlias = Any
"""``ibis.expr.types.Value``, which has no types here: Ibis is optional."""

_KINDS: list[tuple[type[dt.DataType], Kind, str]] = [
    (dt.Boolean, "boolean", "boolean"),
    (dt.String, "text", "text"),
    (dt.UUID, "text", "text"),
    (dt.Date, "date", "date"),
    (dt.Time, "time", "time"),
    (dt.Binary, "binary", "binary"),
    (dt.Array, "nested", "list"),
    (dt.Struct, "nested", "struct"),
    (dt.Map, "nested", "map"),
]
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip
_CALLS: dict[str, Callable[..., Expr]] = {
    "abs": lambda x: x.abs(),
    "floor": lambda x: _rounded(x, lambda y: y.floor()),
    "ceil": lambda x: _rounded(x, lambda y: y.ceil()),
    "length": lambda x: x.length(),
    "lower": lambda x: x.lower(),
    "upper": lambda x: x.upper(),
    "trim": lambda x: x.re_replace("^ +", "").re_replace(" +$", ""),
    "starts_with": lambda x, y: x.startswith(y),
    "ends_with": lambda x, y: x.endswith(y),
    "contains": lambda x, y: x.contains(y),
    "coalesce": lambda x, *more: x.coalesce(*more),
    "year": lambda x: x.year(),
    "month": lambda x: x.month(),
    "day": lambda x: x.day(),
    "hour": lambda x: x.cast("timestamp").hour(),
    "seconds_between": lambda x, y: seconds(y) - seconds(x),
}


def column_of(name: str, kind: dt.DataType) -> Column:
    """A column as Ibis describes it."""
    if kind.is_integer():
        return Column(name, "integer", str(kind.copy(nullable=True)))
    if kind.is_floating():
        return Column(name, "number", str(kind.copy(nullable=True)))
    if kind.is_decimal():
        digits = "" if kind.precision is None else f"({kind.precision}, {kind.scale})"
        return Column(name, "number" if kind.scale != 0 else "integer", f"decimal{digits}")
    if kind.is_timestamp():
        return Column(name, "timestamp", "timestamptz" if kind.timezone else "timestamp")
    for known, meant, called in _KINDS:
        if isinstance(kind, known):
            return Column(name, meant, called)
    return Column(name, "other", str(kind.copy(nullable=True)))


def value(table: Table, column: Column) -> Expr:
    """A column's value: a null where there is NaN, moments in UTC without a zone, decimals as floats."""
    found = table[column.name]
    if column.is_float:
        wide = found.cast("float64")
        return wide.isnan().ifelse(ibis.null("float64"), wide)
    if column.kind == "number":
        return found.cast("float64")
    if column.kind == "text":
        return found.cast("string")
    return found.cast("timestamp") if column.kind == "timestamp" else found


def number(table: Table, column: Column) -> Expr:
    """The value of a number or boolean as a float."""
    found = value(table, column)
    if column.kind == "boolean":  # Postgres casts none
        return found.ifelse(1.0, (~found).ifelse(0.0, ibis.null("float64")))
    return found.cast("float64")


def seconds(moment: Expr) -> Expr:
    """Seconds since 1970, to the microsecond."""
    at = moment.cast("timestamp")
    return at.truncate("s").epoch_seconds().cast("float64") + at.microsecond().cast("float64") / 1e6


def condition(table: Table, node: ex.Expression, columns: Columns) -> Expr:  # noqa: C901, PLR0911 - one a node
    """A condition as one expression."""

    def of(part: ex.Expression) -> Expr:
        return condition(table, part, columns)

    match node:
        case ex.Name():
            return value(table, columns[node.column])
        case ex.Value():
            return constant(node.value)
        case ex.Compare():
            return _COMPARE[node.operator](*_alike(table, node.left, node.right, columns))
        case ex.Compute():
            return _computed(node.operator, of(node.left), of(node.right))
        case ex.All():
            return reduce(operator.and_, map(of, node.parts))
        case ex.Any():
            return reduce(operator.or_, map(of, node.parts))
        case ex.Not():
            return ~of(node.part)
        case ex.IsMissing():
            return of(node.part).isnull()
        case ex.In():
            sides = [_alike(table, node.part, ex.Value(one), columns) for one in node.values]
            return sides[0][0].isin([one for _, one in sides])
        case ex.Matches():
            return of(node.part).re_search(whole(node.pattern))
        case ex.Call():
            return _CALLS[node.function](*map(of, node.arguments))


def whole(pattern: str) -> str:
    r"""A portable pattern that matches a text as a whole.

    Postgres' dot is a line feed too, and its ``\x`` takes all the digits that follow: neither is used.
    """
    folded, inside, found = pattern.startswith("(?i)"), False, []
    for piece in re.findall(r"\\x0b|\\.|.", pattern.removeprefix("(?i)"), re.DOTALL):
        inside = (inside or piece == "[") and piece != "]"
        found.append(r"[^\n]" if piece == "." and not inside else {r"\x0b": "\x0b"}.get(piece, piece))
    return f"{'(?i)' if folded else ''}^(?:{''.join(found)})$"


def _alike(table: Table, left: ex.Expression, right: ex.Expression, columns: Columns) -> tuple[Expr, Expr]:
    """Both sides; a day beside a moment becomes its midnight."""
    kinds = {ex.kind_of(side, columns, "") for side in (left, right)}
    sides = condition(table, left, columns), condition(table, right, columns)
    if kinds == {"date", "timestamp"}:
        return sides[0].cast("timestamp"), sides[1].cast("timestamp")
    return sides


def _computed(sign: ex.Operation, left: Expr, right: Expr) -> Expr:
    x, y = left.cast("float64"), right.cast("float64")
    if sign in {"/", "%"}:
        y = y.nullif(0.0)
    found = _remainder(x, y) if sign == "%" else _COMPUTE[sign](x, y)
    return found.isnan().ifelse(ibis.null("float64"), found)


def _remainder(x: Expr, y: Expr) -> Expr:
    """With the sign of what is divided; backends have others, or none for fractions."""
    times = _rounded((x / y).abs(), lambda z: z.floor())
    return x.sign() * (x.abs() - times * y.abs())


def _rounded(x: Expr, how: Callable[[Expr], Expr]) -> Expr:
    """Rounding gives whole numbers, of which none is infinite."""
    wide = x.cast("float64")
    return wide.isinf().ifelse(wide, how(wide.isinf().ifelse(0.0, wide)).cast("float64"))


def constant(value: Scalar) -> Expr:
    """A constant; moments in UTC without a zone."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return ibis.literal(moment, "timestamp")
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return (
            ibis.literal(Decimal(value), "decimal(38, 0)")
            if abs(value) < 10**38
            else ibis.literal(float(value))
        )
    if isinstance(value, bool | int | float | str | date):
        return ibis.literal(value)
    raise TypeError(f"{value!r} is no constant")
