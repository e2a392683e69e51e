"""How many rows a day should have, from the days before it. No I/O.

Counts are compared on a logarithmic scale, so that what is allowed is a share. What is expected is the
median of the same weekday's earlier counts; how much days differ by chance is told by the changes from
one week to the next, whose median absolute deviation neither a trend nor a few odd days move. A count's
own Poisson noise is the least that is assumed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from datetime import date, timedelta

import msgspec

WEEKS = 8
"""How many earlier days of the weekday what is expected is the median of, at most."""

LEAST = 4
"""With fewer earlier days of the weekday nothing is said."""

_SPAN = 26
_WEEK = timedelta(days=7)
_NORMAL = 1.4826
_LEAST_CHANGES = 4


class Volume(msgspec.Struct, frozen=True):
    """What is expected of a day.

    Attributes:
        rows: What it has.
        expected: What its weekday usually has.
        error: Standard error of the prediction, on the logarithmic scale.
        freedom: Degrees of freedom of that error.
        days: Earlier days of the weekday behind it.
    """

    rows: int
    expected: float
    error: float
    freedom: float
    days: int

    @property
    def statistic(self) -> float:
        """How many standard errors the day lies away."""
        return (_log(self.rows) - math.log(self.expected)) / self.error

    @property
    def p_value(self) -> float:
        """Of a day so far away or further, on either side, if nothing has changed."""
        from scipy.special import stdtr

        return 2 * float(stdtr(self.freedom, -abs(self.statistic)))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Where a day's rows lie with confidence ``1 - alpha``."""
        from scipy.special import stdtrit

        reach = math.exp(float(stdtrit(self.freedom, 1 - alpha / 2)) * self.error)
        return self.expected / reach, self.expected * reach


def expect(days: Mapping[date, int], day: date, *, whole: bool = True) -> Volume | str:
    """What is expected of a day, or why nothing can be.

    The standard error is that of the median of the earlier counts and of the day itself. A normal
    sample's median absolute deviation has the precision of a standard deviation of 37 % as many values
    (Rousseeuw and Croux, JASA 88, 1993); changes that follow each other share a day, which leaves less:
    a quarter of their number is taken for the degrees of freedom.

    Args:
        days: Rows by day.
        day: The day that is judged.
        whole: Whether a day between the first and ``day`` that isn't named had no rows; else it isn't known.
    """
    first = min(days)
    earlier = [day - _WEEK * week for week in range(1, _SPAN + 1) if day - _WEEK * week >= first]
    counts = [days[one] if not whole else days.get(one, 0) for one in earlier if whole or one in days]
    counts = counts[:WEEKS]
    name = f"{day:%A}s"
    if len(counts) < LEAST:
        return f"{len(counts)} earlier {name} are too few to tell ({LEAST} are needed)"
    expected = statistics.median(counts)
    if expected <= 0:
        return f"earlier {name} had no rows"
    changes = _changes(days, day, whole=whole)
    if len(changes) < _LEAST_CHANGES:
        return f"{len(changes)} changes from one week to the next are too few to tell how days differ"
    spread = _NORMAL * statistics.median(map(abs, changes)) / math.sqrt(2)
    spread = max(spread, math.sqrt(1 / expected))
    error = spread * math.sqrt(1 + math.pi / (2 * len(counts)))
    return Volume(days[day], expected, error, max(len(changes) / 4, 1.0), len(counts))


def _changes(days: Mapping[date, int], day: date, *, whole: bool) -> list[float]:
    """The changes of the logarithm from one week to the next, over all weekdays, before the day."""
    first = max(min(days), day - _WEEK * _SPAN)
    found = []
    for back in range(1, (day - first).days + 1):
        now = day - timedelta(days=back)
        then = now - _WEEK
        if then < first or not (whole or (now in days and then in days)):
            continue
        if days.get(now, 0) or days.get(then, 0):  # weekdays without rows say nothing
            found.append(_log(days.get(now, 0)) - _log(days.get(then, 0)))
    return found


def _log(count: int) -> float:
    return math.log(max(count, 0.5))
