"""Parameters of many runs as columns: numbers or categories, whatever they were written as. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from treadle.experiment.types import Scalar

NUMBER = r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?"
"""What a text is that counts as a number, as a regular expression of Python's and of Postgres'."""

_NUMBER = re.compile(NUMBER)
_LOG_FROM = 10
_MISSING = "not set"


class Column(msgspec.Struct, frozen=True):
    """One parameter in many runs.

    Attributes:
        name: The parameter.
        kind: Whether it is measured or only told apart.
        values: Each run's value: a float for numbers, text for categories; None where it has none.
        log: For numbers: whether they are all above 0, span at least a decade, and half of them lie in the
            lowest third, so that a logarithmic axis shows them better.
    """

    name: str
    kind: Literal["number", "category"]
    values: tuple[float | str | None, ...]
    log: bool = False

    @property
    def distinct(self) -> int:
        """How many values there are, none being one."""
        return len(set(self.values))


def number_of(value: Scalar | None) -> float | None:
    """The number that a parameter is or is written as; None if it is none.

    Up to 40 digits before and after the point and two in the exponent, so that every database
    and every language reads the same number.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    found = float(value)
    return found if math.isfinite(found) else None


def columns(params: Sequence[Mapping[str, Scalar]]) -> list[Column]:
    """The parameters in which runs differ, by name.

    A parameter is a number if every run that has it wrote one, as a number or as text (which
    is how tracking clients send all parameters); a category otherwise.
    """
    names = sorted({name for one in params for name in one})
    made = [_column(name, [one.get(name) for one in params]) for name in names]
    return [column for column in made if column.distinct > 1]


def _column(name: str, values: Sequence[Scalar | None]) -> Column:
    there = [value for value in values if value is not None]
    numbers = [number_of(value) for value in there]
    found = [number for number in numbers if number is not None]
    if found and len(found) == len(there):
        low, high = min(found), max(found)
        by_run = tuple(number_of(value) for value in values)
        return Column(
            name, "number", by_run, log=low > 0 and high / low >= _LOG_FROM and _middle(found) <= high / 3
        )
    return Column(name, "category", tuple(None if value is None else shown(value) for value in values))


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def categories(column: Column, most: int) -> list[str]:
    """A column's categories, the frequent first, at most so many; what has no value is one."""
    counts = Counter(_MISSING if value is None else str(value) for value in column.values)
    return [name for name, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most]]


def category(value: float | str | None) -> str:
    """A value as a category."""
    return _MISSING if value is None else str(value)


def shown(value: Scalar) -> str:
    """A parameter's value as people read it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
