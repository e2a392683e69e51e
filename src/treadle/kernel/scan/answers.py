"""What a scan found: typed values, each of which can be merged with that of another part of the rows.

Merging the answers of the parts of a table gives that of the whole: exactly, but for what is said to be
a sample or an estimate. The exception is :class:`Repeats`: whether a value stands in two parts can't be
told from two counts, so an engine finds repeats over the whole table at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Self, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Scalar: TypeAlias = bool | int | float | str | date | datetime
"""A value of a column: decimals as floats, moments with their zone (UTC where the column has none)."""


class Answer(msgspec.Struct, frozen=True):
    """The base of what a scan found."""

    def merge(self, other: Self) -> Self:
        """The answer over both parts of the rows."""
        raise NotImplementedError


class RowCount(Answer, frozen=True):
    """How many rows there are."""

    rows: int

    def merge(self, other: Self) -> Self:
        """The sum."""
        return msgspec.structs.replace(self, rows=self.rows + other.rows)


class Missing(Answer, frozen=True):
    """Values that aren't there.

    Attributes:
        nulls: Nulls.
        nans: Floats that are no number: to a model they are missing as well.
    """

    nulls: int
    nans: int = 0

    @property
    def count(self) -> int:
        """Both kinds."""
        return self.nulls + self.nans

    def merge(self, other: Self) -> Self:
        """The sums."""
        return msgspec.structs.replace(self, nulls=self.nulls + other.nulls, nans=self.nans + other.nans)


class Moments(Answer, frozen=True):
    """Mean and spread of the finite values of a column; booleans count as 0 and 1.

    Attributes:
        count: How many values are finite.
        infinite: How many are not.
        mean: Their mean; 0 without values.
        m2: The sum of squared deviations from it.
        cubes: The sum of cubed deviations from the value that was asked for; 0 where none was.
    """

    count: int
    infinite: int
    mean: float
    m2: float
    cubes: float = 0.0

    @property
    def variance(self) -> float:
        """The sample variance; 0 for fewer than two values."""
        return self.m2 / (self.count - 1) if self.count > 1 else 0.0

    def skewness(self, around: float) -> float:
        """The third moment over the cube of the deviation; 0 where nothing varies, or too much for a float.

        Args:
            around: The value that was asked for.
        """
        if self.m2 <= 0:
            return 0.0
        away = self.mean - around
        third = self.cubes - 3 * away * self.m2 - self.count * away**3
        found = third / self.count / (self.m2 / self.count) ** 1.5
        return found if math.isfinite(found) else 0.0

    def merge(self, other: Self) -> Self:
        """By the update of Chan, Golub and LeVeque (The American Statistician 37, 1983)."""
        count = self.count + other.count
        if not count:
            return msgspec.structs.replace(self, infinite=self.infinite + other.infinite)
        delta = other.mean - self.mean
        return msgspec.structs.replace(
            self,
            count=count,
            infinite=self.infinite + other.infinite,
            mean=self.mean + delta * other.count / count,
            m2=self.m2 + other.m2 + delta * delta * self.count * other.count / count,
            cubes=self.cubes + other.cubes,
        )


class Extent(Answer, frozen=True):
    """The least and the greatest value that isn't missing; None if there is none. Infinities count."""

    low: Scalar | None
    high: Scalar | None

    def merge(self, other: Self) -> Self:
        """The outermost."""
        lows: list[Any] = [end for end in (self.low, other.low) if end is not None]
        highs: list[Any] = [end for end in (self.high, other.high) if end is not None]
        return msgspec.structs.replace(self, low=min(lows, default=None), high=max(highs, default=None))


class Bins(Answer, frozen=True):
    """Rows between given edges.

    Attributes:
        counts: Bin *i* holds ``edges[i-1] < x <= edges[i]``; the first and the last have one edge.
        missing: Rows without a value.
    """

    counts: tuple[int, ...]
    missing: int

    def merge(self, other: Self) -> Self:
        """The sums."""
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return msgspec.structs.replace(self, counts=counts, missing=self.missing + other.missing)


class ValueCounts(Answer, frozen=True):
    """Rows with given values.

    Attributes:
        counts: Rows of each, in the order asked.
        other: Rows with any other value.
        missing: Rows without a value.
    """

    counts: tuple[int, ...]
    other: int
    missing: int

    def merge(self, other: Self) -> Self:
        """The sums."""
        return msgspec.structs.replace(
            self,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            other=self.other + other.other,
            missing=self.missing + other.missing,
        )


class Top(Answer, frozen=True):
    """The most frequent values.

    Attributes:
        counts: Their rows, the most frequent first; equal ones in the order of the values.
        other: Rows with any other value: 0 means that these are all values that there are.
        missing: Rows without a value.
        most: How many values are named at most.
    """

    counts: Mapping[Scalar, int]
    other: int
    missing: int
    most: int

    def merge(self, other: Self) -> Self:
        """Exact where both know all their values.

        Elsewhere a count is a lower bound, and at most ``other`` rows of a value are missing from it.
        """
        both = Counter(dict(self.counts))
        both.update(dict(other.counts))
        ranked = sorted(both.items(), key=rank)
        kept, cut = ranked[: self.most], ranked[self.most :]
        return msgspec.structs.replace(
            self,
            counts=dict(kept),
            other=self.other + other.other + sum(count for _, count in cut),
            missing=self.missing + other.missing,
        )


def rank(entry: tuple[Any, int]) -> tuple[int, Any]:
    """The order of :class:`Top`: by count, then by value."""
    return -entry[1], entry[0]


class Distinct(Answer, frozen=True):
    """About how many different values a column has; never a proof of anything.

    Attributes:
        low: The estimate; merged, the larger of the two: there are at least so many.
        high: The estimate; merged, their sum: there are at most so many.
    """

    low: float
    high: float

    def merge(self, other: Self) -> Self:
        """What holds whatever the parts have in common."""
        return msgspec.structs.replace(self, low=max(self.low, other.low), high=self.high + other.high)


class Repeats(Answer, frozen=True):
    """Values of a key that stand in more than one row, exactly; keys with a missing part aren't looked at.

    Attributes:
        keys: How many keys are repeated.
        rows: How many rows have one of them.
        example: One of them: the least.
    """

    keys: int
    rows: int
    example: tuple[Scalar, ...] | None = None


class Cells(Answer, frozen=True):
    """Rows by the combination of several columns' values; None is a missing value, a number a bin's place."""

    counts: Mapping[tuple[Scalar | None, ...], int]

    def merge(self, other: Self) -> Self:
        """The sums."""
        both = Counter(dict(self.counts))
        both.update(dict(other.counts))
        return msgspec.structs.replace(self, counts=dict(both))


class Truth(Answer, frozen=True):
    """For how many rows an expression holds.

    Attributes:
        true: It does.
        false: It doesn't.
        unknown: It can't be told, because a value is missing.
    """

    true: int
    false: int
    unknown: int

    def merge(self, other: Self) -> Self:
        """The sums."""
        return msgspec.structs.replace(
            self,
            true=self.true + other.true,
            false=self.false + other.false,
            unknown=self.unknown + other.unknown,
        )


class Days(Answer, frozen=True):
    """Rows by day (UTC).

    Attributes:
        counts: By day, the earliest first; days without rows are not named.
        missing: Rows without a time.
    """

    counts: Mapping[date, int]
    missing: int

    def merge(self, other: Self) -> Self:
        """The sums."""
        both = Counter(dict(self.counts))
        both.update(dict(other.counts))
        return msgspec.structs.replace(
            self, counts=dict(sorted(both.items())), missing=self.missing + other.missing
        )


class Sample(Answer, frozen=True):
    """Some of the rows, each as likely as any other, the same ones every time.

    Attributes:
        rows: How many rows they were drawn from.
        size: How many were wanted, about.
        columns: Their values: numbers and booleans as floats (missing: NaN), days and moments as floats
            in seconds since 1970, everything else as texts (missing: None).
    """

    rows: int
    size: int
    columns: Mapping[str, npt.NDArray[Any]]

    @property
    def drawn(self) -> int:
        """How many there are."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def merge(self, other: Self) -> Self:
        """Both, thinned so that every row of either part is again as likely to be there as any other."""
        share = min(self._share, other._share)
        rows = self.rows + other.rows
        if share * rows > 2 * self.size:
            share = self.size / rows
        mine, theirs = self._thin(share), other._thin(share)
        columns = {name: np.concatenate([mine[name], theirs[name]]) for name in self.columns}
        return msgspec.structs.replace(self, rows=rows, columns=columns)

    @property
    def _share(self) -> float:
        return self.drawn / self.rows if self.rows else 1.0

    def _thin(self, share: float) -> Mapping[str, npt.NDArray[Any]]:
        keep = min(self.drawn, round(share * self.rows))
        if keep == self.drawn:
            return self.columns
        at = np.linspace(0, self.drawn - 1, keep).round().astype(np.int64)
        return {name: values[at] for name, values in self.columns.items()}


class Shared(Answer, frozen=True):
    """Rows that stand in two tables.

    Attributes:
        rows: How many rows of the first have their like in the second.
        example: The values of one of them.
    """

    rows: int
    example: tuple[Scalar | None, ...] | None = None
