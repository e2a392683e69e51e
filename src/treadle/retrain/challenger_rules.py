"""Whether one of two versions is better, looked at after every day, for ever. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from statistics import fmean
from typing import Literal

import msgspec

Verdict = Literal["better", "worse", "open"]

_BEST_AT = 60
"""On about so many days the interval is as narrow as one of its kind can be."""
_LAGS = 7
"""So many days apart may still go together: weather, a week's course."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How a version that isn't in production does beside the one that is.

    Attributes:
        challenger: The version.
        production: The one in production.
        metric: What both are measured by.
        days: On how many days.
        rows: On how many labelled predictions.
        until: The end of the last of these days; None before the first.
        gain: By how much the challenger is better on a day, on average; less than 0 if it is worse.
        low: Lower end of its interval.
        high: Upper end of its interval.
        verdict: Better, worse, or open.
    """

    challenger: str
    production: str
    metric: str
    days: int
    rows: int
    until: datetime | None
    gain: float
    low: float
    high: float
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if not self.days:
            return f"{self.challenger} beside {self.production}: no day has its labels yet"
        seen = f"on {self.days} days and {self.rows:,} labelled rows"
        if math.isinf(self.high):
            return f"{self.challenger} beside {self.production}: {seen}, too few to tell"
        interval = f"{self.low:+.4f} to {self.high:+.4f} at every look"
        said = {"better": "is better", "worse": "is worse", "open": "can't be told apart"}[self.verdict]
        return (
            f"{self.challenger} beside {self.production}: {said}; by {self.metric} it gains {self.gain:+.4f} "
            f"a day ({interval}), {seen}"
        )


def interval(gains: Sequence[float], alpha: float, least: int) -> tuple[float, float]:
    """Between which bounds the mean gain so far lies, at every moment at once.

    An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics
    52, 2024, theorem 2.2): with chance ``1 - alpha``, in the limit of a late first look, it holds the mean of
    what was to be expected of each day given those before, on all days; the difference may change from day to
    day. So it may be looked at as often as one likes. The variance is that of the mean of days that go
    together for up to a week (Newey and West, Econometrica 55, 1987), and never less than if they didn't.

    In 3,000 simulated years without a gain, looked at daily from day 28 on, with ``alpha`` 5 %, it was ever
    wrong in 2.2 % where days are normal, 1.4 % of Student's t with 4 degrees of freedom, 5.2 % of skewed
    (exponential) days, 1.1 % of days whose spread varies; in 7.5 % where each day correlates with the one
    before by 0.3, and **15.7 % by 0.6**. A gain of half a day's standard deviation is found after 39 days.

    Args:
        gains: Of each day, oldest first.
        alpha: The chance that it is ever wrong.
        least: With fewer days nothing is said.

    Returns:
        The bounds; infinite where nothing is said.
    """
    days = len(gains)
    if days < max(least, 3):
        return -math.inf, math.inf
    mean, variance = fmean(gains), _long_run(gains)
    wide = 2 * math.log(1 / alpha)
    once = days * (wide + math.log(wide) + 1) / _BEST_AT + 1
    half = math.sqrt(2 * variance * once / (days * (once - 1)) * math.log(math.sqrt(once) / alpha))
    return mean - half, mean + half


def _long_run(gains: Sequence[float]) -> float:
    """The variance of a mean of days, times their number, where near days go together."""
    mean, days = fmean(gains), len(gains)
    off = [gain - mean for gain in gains]
    lags = min(_LAGS, days - 2)
    alone = sum(one * one for one in off)
    along = sum(
        2 * (1 - lag / (lags + 1)) * sum(a * b for a, b in zip(off[lag:], off, strict=False))
        for lag in range(1, lags + 1)
    )
    return max(alone + along, alone) / (days - 1 - lags)


def verdict(low: float, high: float) -> Verdict:
    """What an interval of gains says."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "open"
