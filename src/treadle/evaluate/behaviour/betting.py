"""Stopping as soon as a mean of bounded differences is known to lie above or below a line. No I/O.

Testing by betting (Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B 86, 2024). Whoever
doubts that the mean of values of at least 0 is at most ``m`` bets a share ``c`` of what they have on each: it
becomes ``1 - c + c x / m`` times as much. If the mean is at most ``m`` that is a supermartingale whatever the
values' distribution, so that by Ville's inequality it ever reaches ``1 / alpha`` with a chance of at most
``alpha``. Which ``c`` earns most depends on how much values vary, which nobody knows beforehand; what is
started with is therefore spread over several (Cover's universal portfolio, Mathematical Finance 1, 1991).

Where nearly all differences are 0, as those of two versions are, this takes a fraction of the cases that
Wald's test of shares would (:mod:`treadle.evaluate.behaviour.sequential`): bets grow with what varies little.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from treadle.evaluate.behaviour.means import DIFFERENCE, Ends, Floats
from treadle.evaluate.types import Outcome

_SHARES = (np.arange(20) + 0.5) / 20
_STEPS = 25
_TIMES = 50


class Sided(NamedTuple):
    """What the values so far say of a line.

    Attributes:
        outcome: Pass where the mean surely lies above, fail where it surely lies below, else inconclusive.
        used: How many values were needed, or were there.
        low: What the mean surely isn't below, at whatever moment one stops.
        high: What it surely isn't above.
    """

    outcome: Outcome
    used: int
    low: float
    high: float


def evidence(values: Floats, mean: float) -> Floats:
    """The logarithm of what bets against a mean of at most ``mean`` became, after each value.

    Args:
        values: In the order in which they came, each at least 0.
        mean: The mean that is doubted, above 0.
    """
    with np.errstate(divide="ignore"):
        grown = np.log(1 - _SHARES[:, None] + _SHARES[:, None] * (values / mean))
    each = np.cumsum(grown, axis=1)
    most = np.maximum(each.max(axis=0), -1e300)
    found: Floats = most + np.log(np.exp(each - most).mean(axis=0))
    return found


def side_of(values: Floats, line: float, below: float, above: float, ends: Ends = DIFFERENCE) -> Sided:
    """On which side of a line the mean of values lies, as early as that is known.

    Args:
        values: In the order in which they came.
        line: The line, between the ends.
        below: The chance to say that the mean is below if it isn't.
        above: The chance to say that it is above if it isn't.
        ends: Between which values lie.
    """
    (low_end, high_end), first = ends, _first(values, line, below, above, ends)
    used = len(values) if first is None else first.used
    width = high_end - low_end
    return Sided(
        "inconclusive" if first is None else first.outcome,
        used,
        low_end + _surely(values[:used] - low_end, above, width),
        high_end - _surely(high_end - values[:used], below, width),
    )


class _First(NamedTuple):
    """When bets succeeded first, and which."""

    used: int
    outcome: Outcome


def _first(values: Floats, line: float, below: float, above: float, ends: Ends) -> _First | None:
    never = np.zeros(len(values), dtype=bool)
    up = evidence(values - ends[0], line - ends[0]) >= -math.log(above) if line > ends[0] else never
    down = evidence(ends[1] - values, ends[1] - line) >= -math.log(below) if line < ends[1] else never
    places = np.flatnonzero(up | down)
    if not len(places):
        return None
    return _First(int(places[0]) + 1, "pass" if up[places[0]] else "fail")


def needed(values: Floats, line: float, below: float, above: float, ends: Ends = DIFFERENCE) -> int | None:
    """How many values would have told, if more came as these did; None where not even many times as many.

    Args:
        values: Those that there are.
        line: As for :func:`side_of`, like the rest.
        below: The chance to say that the mean is below if it isn't.
        above: The chance to say that it is above if it isn't.
        ends: Between which values lie.
    """
    first = _first(np.tile(values, _TIMES), line, below, above, ends)
    return None if first is None else max(first.used, len(values) + 1)


def _surely(values: Floats, alpha: float, most: float) -> float:
    """What the mean of values from 0 to ``most`` surely isn't below: bets against less succeeded."""
    low, high = 0.0, most
    for _ in range(_STEPS if len(values) else 0):
        middle = (low + high) / 2
        if evidence(values, middle).max() >= -math.log(alpha):
            low = middle
        else:
            high = middle
    return low
