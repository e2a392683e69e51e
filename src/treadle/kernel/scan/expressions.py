"""Conditions on rows: what a row can be asked, as values that every engine can compile.

The meaning is the same on every engine: a missing value (null, and NaN of a float) makes what is
computed of it missing, as in SQL; arithmetic is that of 64-bit floats, and dividing by zero gives
a missing value; texts are compared by their code points; moments without a zone are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Literal as Choice
from typing import TypeAlias

import msgspec

from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.columns import Column

Comparison = Choice["=", "<>", "<", "<=", ">", ">="]
Operation = Choice["+", "-", "*", "/", "%"]


class Node(msgspec.Struct, frozen=True):
    """The base of every part of a condition."""


class Name(Node, frozen=True):
    """A column's value."""

    column: str


class Value(Node, frozen=True):
    """A constant."""

    value: Scalar


class Compare(Node, frozen=True):
    """Two values beside each other."""

    operator: Comparison
    left: Expression
    right: Expression


class Compute(Node, frozen=True):
    """Arithmetic; ``%`` has the sign of what is divided."""

    operator: Operation
    left: Expression
    right: Expression


class All(Node, frozen=True):
    """Every part holds."""

    parts: tuple[Expression, ...]


class Any(Node, frozen=True):
    """Some part holds."""

    parts: tuple[Expression, ...]


class Not(Node, frozen=True):
    """It doesn't hold."""

    part: Expression


class IsMissing(Node, frozen=True):
    """There is no value."""

    part: Expression


class In(Node, frozen=True):
    """It is one of some constants."""

    part: Expression
    values: tuple[Scalar, ...]


class Matches(Node, frozen=True):
    """A text as a whole has a pattern; see :mod:`treadle.kernel.scan.patterns`."""

    part: Expression
    pattern: str


class Call(Node, frozen=True):
    """A function of :data:`FUNCTIONS`."""

    function: str
    arguments: tuple[Expression, ...]


Expression: TypeAlias = (
    Name | Value | Compare | Compute | All | Any | Not | IsMissing | In | Matches | Call
)  # fmt: skip


class Signature(msgspec.Struct, frozen=True):
    """What a function takes and gives.

    Attributes:
        takes: The kinds of its arguments; a name that repeats is the same kind in all places.
        gives: The kind of its value.
        more: Whether the last argument may be repeated.
    """

    takes: tuple[str, ...]
    gives: str
    more: bool = False


FUNCTIONS: Mapping[str, Signature] = {
    "abs": Signature(("number",), "number"),
    "floor": Signature(("number",), "number"),
    "ceil": Signature(("number",), "number"),
    "length": Signature(("text",), "number"),
    "lower": Signature(("text",), "text"),
    "upper": Signature(("text",), "text"),
    "trim": Signature(("text",), "text"),
    "starts_with": Signature(("text", "text"), "boolean"),
    "ends_with": Signature(("text", "text"), "boolean"),
    "contains": Signature(("text", "text"), "boolean"),
    "coalesce": Signature(("same", "same"), "same", more=True),
    "year": Signature(("time",), "number"),
    "month": Signature(("time",), "number"),
    "day": Signature(("time",), "number"),
    "hour": Signature(("time",), "number"),
    "seconds_between": Signature(("time", "time"), "number"),
}
"""The functions of conditions; ``matches(text, 'pattern')`` is a node of its own."""

_TIMES = ("date", "timestamp")


def names(expression: Expression) -> Iterator[str]:
    """The columns that a condition speaks of, in order, each once."""
    seen: dict[str, None] = {}
    for node in walk(expression):
        if isinstance(node, Name):
            seen.setdefault(node.column)
    yield from seen


def walk(node: Expression) -> Iterator[Expression]:
    """A condition and all its parts."""
    yield node
    for part in parts(node):
        yield from walk(part)


def parts(node: Expression) -> tuple[Expression, ...]:
    """The direct parts of a node."""
    match node:
        case Compare() | Compute():
            return (node.left, node.right)
        case All() | Any():
            return node.parts
        case Not() | IsMissing() | In() | Matches():
            return (node.part,)
        case Call():
            return node.arguments
        case _:
            return ()


def missing_with(expression: Expression) -> str | None:
    """The column with which a condition is missing, and with which alone: then its nulls needn't be counted.

    None if it speaks of several columns, or can be missing, or not, for another reason.
    """
    columns = list(names(expression))
    nodes = walk(expression)
    if len(columns) != 1 or any(isinstance(node, Compute | IsMissing) for node in nodes):
        return None
    return None if any(isinstance(node, Call) for node in walk(expression)) else columns[0]


def check(expression: Expression, columns: Mapping[str, Column], where: str) -> None:
    """Refuses a condition that the columns can't answer.

    Raises:
        InvalidInput: If it names a column that isn't there, mixes kinds, or is no condition.
    """
    found = kind_of(expression, columns, where)
    if found != "boolean":
        raise InvalidInput(
            f"it gives a {found}, not true or false", where=where, fix="compare it with something"
        )


def kind_of(node: Expression, columns: Mapping[str, Column], where: str) -> str:  # noqa: C901 - one a node
    """The kind of a node's value: number, text, boolean, date or timestamp.

    Raises:
        InvalidInput: If it can't have one.
    """
    match node:
        case Name():
            return _of_column(node.column, columns, where)
        case Value():
            return of_constant(node.value)
        case Compare():
            _same([node.left, node.right], columns, where, "compared")
        case All() | Any() | Not():
            for part in parts(node):
                _must(part, "boolean", columns, where)
        case Compute():
            for part in parts(node):
                _must(part, "number", columns, where)
            return "number"
        case In():
            _same([node.part, *(Value(value) for value in node.values)], columns, where, "compared")
        case Matches():
            _must(node.part, "text", columns, where)
        case IsMissing():
            kind_of(node.part, columns, where)
        case Call():
            return _of_call(node, columns, where)
    return "boolean"


def of_constant(value: Scalar) -> str:
    """The kind of a constant."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "timestamp" if isinstance(value, datetime) else "date"


def _of_column(name: str, columns: Mapping[str, Column], where: str) -> str:
    if name not in columns:
        raise InvalidInput(f"the data has no column {name!r}", where=where, fix=did_you_mean(name, columns))
    kind = columns[name].kind
    if kind in {"integer", "number"}:
        return "number"
    if kind in {"boolean", "text", *_TIMES}:
        return kind
    raise InvalidInput(f"{name!r} is {columns[name].type}, which no condition can look at", where=where)


def _must(node: Expression, kind: str, columns: Mapping[str, Column], where: str) -> None:
    found = kind_of(node, columns, where)
    if found != kind and not (kind == "time" and found in _TIMES):
        raise InvalidInput(f"{show(node)} is a {found}, and a {kind} is needed there", where=where)


def _same(nodes: list[Expression], columns: Mapping[str, Column], where: str, what: str) -> str:
    kinds = [kind_of(node, columns, where) for node in nodes]
    if len(set(kinds)) == 1 or set(kinds) == set(_TIMES):
        return max(kinds)
    other = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
    raise InvalidInput(
        f"{show(nodes[0])} is a {kinds[0]} and {show(nodes[other])} a {kinds[other]}: they can't be {what}",
        where=where,
    )


def _of_call(node: Call, columns: Mapping[str, Column], where: str) -> str:
    signature = FUNCTIONS[node.function]
    takes = signature.takes
    enough = len(node.arguments) >= len(takes) if signature.more else len(node.arguments) == len(takes)
    if not enough:
        raise InvalidInput(
            f"{node.function} takes {len(takes)}{' or more' if signature.more else ''} "
            f"argument{'s' * (len(takes) != 1)}, not {len(node.arguments)}",
            where=where,
        )
    if "same" in takes:
        return _same(list(node.arguments), columns, where, "taken for each other")
    for argument, kind in zip(node.arguments, takes, strict=True):
        _must(argument, kind, columns, where)
    return signature.gives


def show(node: Expression) -> str:  # noqa: PLR0911 - one a node
    """A node as it would be written."""
    match node:
        case Name():
            plain = node.column.isidentifier()
            return node.column if plain else '"' + node.column.replace('"', '""') + '"'
        case Value():
            return constant(node.value)
        case Compare() | Compute():
            return f"({show(node.left)} {node.operator} {show(node.right)})"
        case All() | Any():
            word = " AND " if isinstance(node, All) else " OR "
            return f"({word.join(map(show, node.parts))})"
        case Not():
            return f"NOT {show(node.part)}"
        case IsMissing():
            return f"{show(node.part)} IS NULL"
        case In():
            return f"{show(node.part)} IN ({', '.join(map(constant, node.values))})"
        case Matches():
            return f"matches({show(node.part)}, {constant(node.pattern)})"
        case Call():
            return f"{node.function}({', '.join(map(show, node.arguments))})"


def constant(value: Scalar) -> str:
    """A constant as it would be written."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return "'" + value.replace("'", "''") + "'"


def between(column: Column, low: float, high: float) -> Expression | None:
    """Within ``[low, high]``; an infinite end is open, and two of them ask nothing."""
    ends: list[Expression] = []
    if math.isfinite(low):
        ends.append(Compare(">=", Name(column.name), _end(column, low)))
    if math.isfinite(high):
        ends.append(Compare("<=", Name(column.name), _end(column, high)))
    if len(ends) < 2:
        return ends[0] if ends else None
    return All(tuple(ends))


def _end(column: Column, value: float) -> Value:
    return Value(int(value) if column.kind == "integer" and value == int(value) else float(value))
