"""How many rows a day should have, from the days before it. No I/O.

Counts are compared on a logarithmic scale, so that what is allowed is a share and growth in per cent is a
straight line. What is expected is the median of the same weekday's earlier counts, each moved to the day
along the trend that all weekdays share; the trend is a median of medians of slopes, which neither odd days
nor a bad week bends. How far days lie from what is expected is told by the changes from one week to the
next, and by how far earlier days lay from what they were expected to be, whichever is more: the latter
also sees what a straight line misses. A count's own Poisson noise is the least that is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from statistics import median
from typing import TypeAlias

import msgspec

WEEKS = 8
"""How many earlier weeks a day is expected from, at most."""

LEAST = 4
"""With fewer earlier days of the weekday nothing is said."""

_SPAN = 26
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_NORMAL = 1.4826
_LEAST_CHANGES = 4
_LEAST_ERRORS = 8
_EMPTY = math.log(0.5)

Weekday: TypeAlias = Mapping[int, float]
"""A weekday's rows as logarithms, by how many weeks ago."""


class Volume(msgspec.Struct, frozen=True):
    """What is expected of a day.

    Attributes:
        rows: What it has.
        expected: What it should have.
        trend: By how much weekdays grow a week, as a share.
        error: Standard error of the prediction, on the logarithmic scale.
        freedom: Degrees of freedom of that error.
        days: Earlier days of the weekday behind it.
    """

    rows: int
    expected: float
    trend: float
    error: float
    freedom: float
    days: int

    @property
    def statistic(self) -> float:
        """How many standard errors the day lies away."""
        return (_log(self.rows) - math.log(self.expected)) / self.error

    @property
    def p_value(self) -> float:
        """Of a day so far away or further, on either side, if nothing has changed.

        The larger of two: of t, and of a Poisson count, whose tails a logarithm of few rows doesn't have.
        """
        from scipy.special import pdtr, pdtrc, stdtr

        tail = min(pdtr(self.rows, self.expected), pdtrc(self.rows - 1, self.expected) if self.rows else 1.0)
        return min(2 * max(float(stdtr(self.freedom, -abs(self.statistic))), float(tail)), 1.0)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Where a day's rows lie with confidence ``1 - alpha``."""
        from scipy.special import stdtrit

        reach = math.exp(float(stdtrit(self.freedom, 1 - alpha / 2)) * self.error)
        return self.expected / reach, self.expected * reach


class _Trend(msgspec.Struct, frozen=True):
    """A slope a week, and the sum of squares of the weeks that it rests on."""

    slope: float
    squares: float


def expect(days: Mapping[date, int], day: date, *, whole: bool = True) -> Volume | str:
    """What is expected of a day, or why nothing can be.

    The standard error is that of the day itself, of the median of the earlier counts, and of the trend from
    their middle to the day. A normal sample's median absolute deviation has the precision of a standard
    deviation of 37 % as many values (Rousseeuw and Croux, JASA 88, 1993); changes that follow each other
    share a day, which leaves less: a quarter of their number is taken for the degrees of freedom.

    Args:
        days: Rows by day.
        day: The day that is judged.
        whole: Whether a day between the first and ``day`` that isn't named had no rows; else it isn't known.
    """
    weekdays = [_weekday(days, day + _DAY * i, day, whole=whole) for i in range(7)]
    earlier = _window(weekdays[0], 0)
    name = f"{day:%A}s"
    if len(earlier) < LEAST:
        return f"{len(earlier)} earlier {name} are too few to tell ({LEAST} are needed)"
    if median(earlier.values()) <= _EMPTY:
        return f"earlier {name} had no rows"
    trend = _trend(weekdays, 0)
    changes = list(_changes(weekdays, trend.slope))
    if len(changes) < _LEAST_CHANGES:
        return f"{len(changes)} changes from one week to the next are too few to tell how days differ"
    expected = _moved(earlier, trend.slope, 0)
    spread = max(_deviation(changes) / math.sqrt(2), math.exp(-expected / 2))
    # A repeated median of slopes has about 2/pi of the precision of least squares.
    away = sum(earlier) / len(earlier)
    unsure = math.pi / 2 * (1 / len(earlier) + away**2 / trend.squares)
    missed = list(_missed(weekdays))
    error = max(spread * math.sqrt(1 + unsure), _deviation(missed) if len(missed) >= _LEAST_ERRORS else 0.0)
    freedom = max(len(changes) / 4, 1.0)
    return Volume(days[day], math.exp(expected), math.expm1(trend.slope), error, freedom, len(earlier))


def _weekday(days: Mapping[date, int], newest: date, before: date, *, whole: bool) -> Weekday:
    """The rows of one weekday, by how many weeks they lie before its ``newest``; all before a day."""
    first = min(days)
    dates = {weeks: newest - _WEEK * weeks for weeks in range(1, _SPAN + 1)}
    return {
        weeks: _log(days.get(one, 0))
        for weeks, one in dates.items()
        if first <= one < before and (whole or one in days)
    }


def _window(weekday: Weekday, after: int) -> dict[int, float]:
    """The newest :data:`WEEKS` values that are more than so many weeks old."""
    older = [weeks for weeks in weekday if weeks > after]
    return {weeks: weekday[weeks] for weeks in older[:WEEKS]}


def _trend(weekdays: Sequence[Weekday], after: int) -> _Trend:
    """The slope a week of what is more than so many weeks old, over all weekdays.

    The median over all days of the median slope between a day and the others of its weekday: repeated
    medians (Siegel, Biometrika 69, 1982), by seasons as Hirsch, Slack and Smith (Water Resources
    Research 18, 1982) do it with Theil's and Sen's slope, which a bad week bends more.
    """
    slopes, squares = [], 0.0
    for weekday in weekdays:
        known = _window(weekday, after)
        for week, rows in known.items():
            others = [
                (rows - those) / (then - week)
                for then, those in known.items()
                if then != week and not rows == those == _EMPTY
            ]
            if others:
                slopes.append(median(others))
        if known:
            middle = sum(known) / len(known)
            squares += sum((week - middle) ** 2 for week in known)
    return _Trend(median(slopes) if slopes else 0.0, squares)


def _moved(known: Mapping[int, float], slope: float, to: int) -> float:
    """The median of a weekday's rows, moved along the trend."""
    return median(rows + slope * (week - to) for week, rows in known.items())


def _changes(weekdays: Iterable[Weekday], slope: float) -> Iterator[float]:
    """The changes from one week to the next that the trend doesn't explain."""
    for weekday in weekdays:
        for (week, rows), (then, before) in pairwise(weekday.items()):
            if then == week + 1 and not rows == before == _EMPTY:  # weekdays without rows say nothing
                yield rows - before - slope


def _missed(weekdays: Sequence[Weekday]) -> Iterator[float]:
    """How far the days of the last weeks lay from what was expected of them."""
    for ago in range(1, WEEKS + 1):
        known = [(weekday, _window(weekday, ago)) for weekday in weekdays if ago in weekday]
        known = [(weekday, window) for weekday, window in known if len(window) >= LEAST]
        if not known:
            continue
        slope = _trend(weekdays, ago).slope
        for weekday, window in known:
            if median(window.values()) > _EMPTY:
                yield weekday[ago] - _moved(window, slope, ago)


def _deviation(found: Sequence[float]) -> float:
    """The standard deviation from zero of what is normal but for odd values."""
    return _NORMAL * median(map(abs, found))


def _log(count: int) -> float:
    return math.log(count) if count else _EMPTY
