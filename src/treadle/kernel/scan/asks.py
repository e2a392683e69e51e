"""What can be asked of the rows of a table. Each ask says the type of its answer.

An ask is a frozen value: two checks that need the same fact ask once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from treadle.kernel.scan import answers
from treadle.kernel.scan.answers import Answer, Scalar
from treadle.kernel.scan.expressions import Expression

A = TypeVar("A", bound=Answer)


class Ask(msgspec.Struct, Generic[A], frozen=True):
    """A question to all rows of a table."""


class CountRows(Ask[answers.RowCount], frozen=True):
    """How many rows there are."""


class CountMissing(Ask[answers.Missing], frozen=True):
    """How many values of a column are missing."""

    column: str


class FindMoments(Ask[answers.Moments], frozen=True):
    """Mean and variance of a column of numbers or booleans, and how skewed it is around a value if asked."""

    column: str
    around: float | None = None


class FindExtent(Ask[answers.Extent], frozen=True):
    """The least and the greatest value of a column."""

    column: str


class CountBins(Ask[answers.Bins], frozen=True):
    """How many rows of a column of numbers or booleans lie between given inner edges, increasing."""

    column: str
    edges: tuple[float, ...]


class CountValues(Ask[answers.ValueCounts], frozen=True):
    """How many rows of a column have each of given values, which are of the column's kind."""

    column: str
    values: tuple[Scalar, ...]


class FindTop(Ask[answers.Top], frozen=True):
    """The most frequent values of a column."""

    column: str
    most: int


class EstimateDistinct(Ask[answers.Distinct], frozen=True):
    """About how many different values a column has; each engine by its own sketch, some per cent off."""

    column: str


class FindRepeats(Ask[answers.Repeats], frozen=True):
    """The values of a key, of one or more columns, that stand in more than one row; exactly."""

    columns: tuple[str, ...]


class Binned(msgspec.Struct, frozen=True):
    """A column of numbers as the place of its bin, from 0 on; see :class:`CountBins`."""

    column: str
    edges: tuple[float, ...]


class CountCells(Ask[answers.Cells], frozen=True):
    """How many rows each combination of the columns' values has; for columns of few values."""

    columns: tuple[str | Binned, ...]


class CountWhere(Ask[answers.Truth], frozen=True):
    """For how many rows an expression holds."""

    that: Expression


class CountDays(Ask[answers.Days], frozen=True):
    """How many rows each day (UTC) of a column of days or moments has."""

    column: str


class SampleRows(Ask[answers.Sample], frozen=True):
    """About so many rows of some columns; all of them where there are fewer."""

    columns: tuple[str, ...]
    size: int


class Answers:
    """What a scan found, by what was asked.

    Args:
        found: The answers.
    """

    def __init__(self, found: Mapping[Ask[Any], Answer]) -> None:
        self._found = dict(found)

    def __getitem__(self, ask: Ask[A]) -> A:
        return cast("A", self._found[ask])

    def __contains__(self, ask: object) -> bool:
        return ask in self._found

    def __iter__(self) -> Iterator[Ask[Any]]:
        return iter(self._found)

    def merge(self, other: Answers) -> Answers:
        """What a scan of both parts finds.

        Raises:
            TypeError: If repeats were asked for, which no parts can tell.
        """
        return Answers({ask: _merged(ask, answer, other[ask]) for ask, answer in self._found.items()})


def _merged(ask: Ask[Any], one: Answer, other: Answer) -> Answer:
    if isinstance(one, answers.Repeats):
        raise TypeError(f"what repeats over two parts can't be told from theirs: {ask}")
    return one.merge(other)


def distinct(asks: Iterable[Ask[Any]]) -> list[Ask[Any]]:
    """Each ask once, in order."""
    return list(dict.fromkeys(asks))
