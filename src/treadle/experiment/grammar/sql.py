"""Comparisons as conditions of SQL, with :mod:`treadle.experiment.grammar.match`'s meaning.

One difference: ``ILIKE`` folds as the database does, which on SQLite is ASCII only.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from treadle.experiment.grammar.types import Comparison, Op, Value
from treadle.kernel.errors import InvalidInput

_SIGNS: dict[Op, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_LONGEST = 10_000  # SQLite refuses patterns of 50,000


class _Like(FunctionElement[bool]):
    """A text that matches a pattern, case and all, where nothing escapes."""

    inherit_cache = True
    type = sa.Boolean()


@compiles(_Like, "sqlite")
def _on_sqlite(element: _Like, compiler: Any, **how: Any) -> str:
    text, _, glob = (compiler.process(part, **how) for part in element.clauses)
    return f"({text} GLOB {glob})"  # its LIKE heeds no case


@compiles(_Like, "postgresql")
def _on_postgres(element: _Like, compiler: Any, **how: Any) -> str:
    text, pattern, _ = (compiler.process(part, **how) for part in element.clauses)
    return f"({text} LIKE {pattern} ESCAPE '')"


def _like(text: sa.ColumnElement[str], pattern: str) -> _Like:
    return _Like(text, sa.literal(pattern), sa.literal(_glob(pattern)))


def _glob(pattern: str) -> str:
    quoted = re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", pattern)
    return quoted.replace("%", "*").replace("_", "?")


def holds(column: sa.ColumnElement[Any], op: Op, value: Value) -> sa.ColumnElement[bool]:
    """Whether a comparison holds for a column; one without a value fulfils ``IS NULL`` alone.

    Raises:
        InvalidInput: If no database could look for the text.
    """
    for text in value if isinstance(value, tuple) else (value,):
        _check(text, pattern=op in {"LIKE", "ILIKE"})
    found: sa.ColumnElement[bool]
    if op in {"IS NULL", "IS NOT NULL"}:
        found = column.is_(None) if op == "IS NULL" else column.is_not(None)
    elif isinstance(value, tuple):
        found = column.in_(value) if op == "IN" else column.not_in(value)
    elif op == "LIKE":
        found = _like(column, str(value))
    elif op == "ILIKE":
        found = _Like(*map(sa.func.lower, _like(column, str(value)).clauses))
    else:
        found = _SIGNS[op](column, value)
    return found


def measured(column: sa.ColumnElement[Any], comparison: Comparison) -> sa.ColumnElement[bool]:
    """The same for a column of measurements, whose NULL is NaN: unequal to everything."""
    found = holds(column, comparison.op, comparison.value)
    return sa.or_(found, column.is_(None)) if comparison.op == "!=" else found


def _check(value: object, *, pattern: bool) -> None:
    if not isinstance(value, str):
        return
    if "\0" in value:
        raise InvalidInput("a filter can't have the character NUL", fix="leave it out")
    if pattern and len(value) > _LONGEST:
        raise InvalidInput(f"a pattern has up to {_LONGEST:,} characters, not {len(value):,}")
