"""How a deployment stands to what its callers are promised: error budgets, and how fast they burn. Pure.

Multi-window, multi-burn-rate alerts after Google's *Site Reliability Workbook*, chapter 5,
https://sre.google/workbook/alerting-on-slos/: a rate that uses up 2 % of the budget of 30 days in an
hour (14.4), 5 % in six hours (6) or 10 % in three days (1), each confirmed by a window of a twelfth. They are
slow by design; one that falls is seen by :mod:`treadle.deploy.falling`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Literal, NamedTuple

from treadle.deploy.falling import Counted, Fall, fall
from treadle.deploy.types import BurnRate, Counts, Moment, ServiceLevel
from treadle.kernel.config import ObjectiveConfig

BUDGET = timedelta(days=30)


class _Window(NamedTuple):
    severity: Literal["page", "ticket"]
    limit: float
    long: timedelta
    short: timedelta


_WINDOWS = (
    _Window("page", 14.4, timedelta(hours=1), timedelta(minutes=5)),
    _Window("page", 6.0, timedelta(hours=6), timedelta(minutes=30)),
    _Window("ticket", 1.0, timedelta(days=3), timedelta(hours=6)),
)
FALLS_FROM = min(one.limit for one in _WINDOWS if one.severity == "page")
"""Burn rates above this wake somebody sooner or later; one that is above it beyond doubt is a fall."""

MOST_ALLOWED = 0.5
"""Where more of the requests than this go wrong, a deployment has fallen whatever is declared."""

# One failed request of three in an hour is a burn rate of 333, and nothing to wake anybody for.
_LEAST_BAD = 3
_QUICK_SHARE = 0.99

SPANS = (BUDGET, *(span for one in _WINDOWS for span in (one.long, one.short)))
"""The times of which the counts are needed."""


def levels(
    objective: ObjectiveConfig, totals: Mapping[timedelta, Counts], recent: Sequence[Moment]
) -> Iterator[ServiceLevel]:
    """Each objective, and how it stands.

    Args:
        objective: What is promised.
        totals: What came of the requests in each of :data:`SPANS`.
        recent: What came of them in each stretch of the last minutes, oldest first.
    """
    if objective.availability is not None:
        bad = {span: counts.errors for span, counts in totals.items()}
        yield _level("availability", objective.availability / 100, bad, totals, errors_of(recent))
    if objective.p99_ms is not None:
        bad = {span: counts.slow for span, counts in totals.items()}
        stretches = [Counted(one.at, one.counts.slow, one.counts.requests) for one in recent]
        yield _level("latency", _QUICK_SHARE, bad, totals, stretches)


def _level(
    name: Literal["availability", "latency"],
    target: float,
    bad: Mapping[timedelta, int],
    totals: Mapping[timedelta, Counts],
    stretches: Sequence[Counted],
) -> ServiceLevel:
    budget = 1 - target
    rates = {
        span: bad[span] / counts.requests / budget if counts.requests else None
        for span, counts in totals.items()
    }
    # Slow answers come in bursts in which all are: only errors are an outage.
    fell = fall(stretches, min(MOST_ALLOWED, FALLS_FROM * budget), outages=name == "availability")
    burns = tuple(_burn(window, rates, bad[window.long]) for window in _WINDOWS)
    used = rates[BUDGET]
    left = None if used is None else 1 - used
    return ServiceLevel(
        name=name,
        target=target,
        requests=totals[BUDGET].requests,
        bad=bad[BUDGET],
        budget_left=left,
        burns=burns,
        fallen=fell is not None,
        sentence=_sentence(name, target, left, burns, fell),
    )


def _burn(window: _Window, rates: Mapping[timedelta, float | None], bad: int) -> BurnRate:
    long, short = rates[window.long], rates[window.short]
    burning = bad >= _LEAST_BAD and all(rate is not None and rate >= window.limit for rate in (long, short))
    return BurnRate(
        severity=window.severity,
        limit=window.limit,
        long=_span(window.long),
        short=_span(window.short),
        long_rate=long,
        short_rate=short,
        burning=burning,
    )


def _sentence(
    name: str, target: float, left: float | None, burns: tuple[BurnRate, ...], fell: Fall | None
) -> str:
    does = "answered without an error" if name == "availability" else "answered in time"
    said = f"{target * 100:.6g} % of the requests are to be {does}"
    if left is None:
        return f"{said}; none came in 30 days"
    said += (
        f"; {left:.0%} of the budget is left" if left >= 0 else f"; the budget is overdrawn by {-left:.0%}"
    )
    if fell:
        return f"{said}; fallen: {of_how_many(fell)} were not"
    burning = next((one for one in burns if one.burning), None)
    if burning:
        return f"{said}; burning at {burning.long_rate:.3g} times its rate for {burning.long}"
    return said


def errors_of(recent: Sequence[Moment]) -> list[Counted]:
    """How many requests failed in each stretch."""
    return [Counted(one.at, one.counts.errors, one.counts.requests) for one in recent]


def of_how_many(fell: Fall) -> str:
    """Which requests went wrong, in words."""
    return f"{fell.bad:,} of {fell.total:,} requests of the last {fell.seconds:.0f} seconds"


def _span(span: timedelta) -> str:
    for unit, letter in ((timedelta(days=1), "d"), (timedelta(hours=1), "h")):
        if span >= unit:
            return f"{span // unit}{letter}"
    return f"{span // timedelta(minutes=1)}m"
