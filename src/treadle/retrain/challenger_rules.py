"""Whether one of two versions is better, looked at as often as one likes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from treadle.retrain.challenger_types import Verdict

LEAST_ROWS = 20
"""Fewer rows of a day say nothing of a metric."""
_KNOWN = 0.9
"""A day counts once so many of its predictions have labels."""
_EFFECT = 1.0
"""The variance of the effects that the e-value is averaged over, in variances of a block's gain."""
_LARGEST = 700.0
"""The exponential of more is no number of double precision."""


class Day(NamedTuple):
    """How a day went.

    Attributes:
        number: Days since 1970.
        rows: Predictions of production's.
        known: Of these, with a label.
        gain: By how much the challenger was better on those; None where the metric says nothing of them.
    """

    number: int
    rows: int
    known: int
    gain: float | None

    @property
    def counts(self) -> bool:
        """Whether its labels are there, so that it isn't judged by those that come early."""
        return self.gain is not None and self.known >= max(LEAST_ROWS, _KNOWN * self.rows)

    @property
    def awaited(self) -> bool:
        """Whether it will count once its labels have come."""
        return self.rows >= LEAST_ROWS and self.known < _KNOWN * self.rows


def blocks(days: Sequence[Day], first: int, length: int, today: int) -> list[float]:
    """The mean gain of each block of days, oldest first.

    A block ends with the calendar, so that no later look groups days otherwise. It counts once all of its
    days do; or once a later one does and so do half of its days: labels that haven't come by then seldom do.

    Args:
        days: All days that have predictions, oldest first.
        first: The day that the first block begins with.
        length: How many days a block has.
        today: The day that isn't over yet.
    """
    grouped: dict[int, list[Day]] = {}
    for day in days:
        grouped.setdefault((day.number - first) // length, []).append(day)
    found: list[float] = []
    later = False
    for place, group in sorted(grouped.items(), reverse=True):
        counted = [day.gain for day in group if day.counts and day.gain is not None]
        awaited = sum(day.awaited for day in group)
        whole = first + (place + 1) * length <= today and not awaited
        if counted and (whole or (later and len(counted) >= awaited)):
            found.append(fmean(counted))
            later = later or whole
    return found[::-1]


def e_value(gains: Sequence[float]) -> float:
    """The evidence that the mean gain of a block isn't 0; at most 1 on average while it is.

    The likelihood ratio of the t statistic, averaged over effects: normal around 0, with a standard
    deviation of one block's. Of independent normal blocks of any variance its course is a martingale that
    begins at 1, so that it ever reaches ``1 / alpha`` with a chance of at most ``alpha``, looked at after
    every block (Lai, Annals of Statistics 4, 1976; Perez-Ortiz, Lardy, de Heide and Gruenwald, Annals of
    Statistics 52, 2024; Wang and Ramdas, Sequential Analysis 44, 2025).

    Args:
        gains: Of each block.
    """
    explained = _explained(gains)
    count = len(gains)
    if not count:
        return 1.0
    log = -count / 2 * math.log1p(-_shrunk(count) * explained) - math.log1p(count * _EFFECT) / 2
    return math.exp(min(log, _LARGEST))


def interval(gains: Sequence[float], alpha: float, least: int = 2) -> tuple[float, float]:
    """Between which bounds a block's mean gain lies, at every look at once.

    They hold the means that :func:`e_value` doesn't speak against with ``1 / alpha``. In 20,000 simulated
    half years without a gain, in blocks of a week, with ``alpha`` 5 %, it was ever wrong in 2.1 % where days
    are normal, 3.1 % of skewed (exponential) days, 2.5 % where each day correlates with the one before by
    0.3 and 4.4 % by 0.6. Beyond that blocks should be longer: ``bench/RESULTS.md`` tells.

    Args:
        gains: Of each block.
        alpha: The chance that it is ever wrong.
        least: With fewer blocks nothing is said.

    Returns:
        The bounds; infinite where nothing is said.
    """
    count = len(gains)
    if count < max(least, 2):
        return -math.inf, math.inf
    mean = fmean(gains)
    share = -math.expm1((2 * math.log(alpha) - math.log1p(count * _EFFECT)) / count) / _shrunk(count)
    if share >= 1:
        return -math.inf, math.inf
    off = sum((gain - mean) ** 2 for gain in gains)
    half = math.sqrt(off * share / (1 - share) / count)
    return mean - half, mean + half


def needed(gains: Sequence[float], alpha: float, most: int) -> int | None:
    """How many blocks decide if mean and spread stay what they are; None for over ``most``."""
    explained = _explained(gains)
    for count in range(2, most + 1):
        log = -count / 2 * math.log1p(-_shrunk(count) * explained) - math.log1p(count * _EFFECT) / 2
        if log >= -math.log(alpha):
            return count
    return None


def correlation(gains: Sequence[float]) -> float | None:
    """How each goes together with the one before; None of fewer than 14, or where none differ."""
    if len(gains) < 14:
        return None
    mean = fmean(gains)
    off = [gain - mean for gain in gains]
    alone = sum(one * one for one in off)
    return sum(a * b for a, b in zip(off[1:], off, strict=False)) / alone if alone else None


def verdict(low: float, high: float) -> Verdict:
    """What an interval of gains says."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "open"


def _explained(gains: Sequence[float]) -> float:
    """Which share of the sum of squares is that of the mean."""
    total = sum(gain * gain for gain in gains)
    return min(1.0, fmean(gains) ** 2 * len(gains) / total) if total else 0.0


def _shrunk(count: int) -> float:
    return count * _EFFECT / (1 + count * _EFFECT)
