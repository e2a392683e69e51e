"""Alarms that may be looked at after every window, with a declared run length between false ones. No I/O.

A window's evidence is an *e-value*: a number of at least 0 that is 1 or less on average while nothing is
wrong, whatever happened before. A monitor's evidence for a change at some moment is the sum, over all moments
at which it may have begun, of the product of the e-values since (Shiryaev 1963, Roberts 1966; as an
*e-detector* Shin, Ramdas and Rinaldo, New England Journal of Statistics in Data Science 2, 2024):
``M(t) = e(t) * (M(t - 1) + 1)``. While nothing is wrong ``M(t) - t`` is a supermartingale, so the mean number
of windows until ``M`` first reaches ``L`` is at least ``L``: the run length that was declared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

EFFECTS = (0.5, 1.0, 2.0, 4.0)
"""How far, in standard errors of a window, a change is looked for; evidence is spread over these evenly."""

_HIGHEST = 1e300


class Detected(NamedTuple):
    """Where a monitor's evidence stands after a window.

    Attributes:
        evidence: Of a change at some moment so far.
        since: How many windows ago the change most likely began: 1 is the window itself.
    """

    evidence: float
    since: int


def e_value(z: float, effects: Sequence[float] = EFFECTS) -> float:
    """The evidence of a figure that is so many standard errors on the wrong side of what is allowed.

    The mean, over effects ``m``, of ``exp(m * z - m * m / 2)``: the likelihood ratio of a normal figure.
    Its mean is 1 where the figure is exactly as allowed, and less where it is better.
    """
    if math.isnan(z):
        return 1.0
    return min(math.fsum(math.exp(min(m * z - m * m / 2, 690.0)) for m in effects) / len(effects), _HIGHEST)


def detect(e_values: Iterable[float]) -> Detected:
    """A monitor's evidence after its windows, oldest first; a window that can't tell has 1.

    ``since`` is where a change that began there explains the windows best: the largest product of e-values
    up to now.
    """
    evidence, best, since, place = 0.0, 0.0, 0, 0
    for place, e in enumerate(e_values, start=1):
        evidence = min(e * (evidence + 1), _HIGHEST)
        if not since or best <= 0:
            best, since = 0.0, place
        best += math.log(max(e, 1e-300))
    return Detected(evidence, place - since + 1 if since else 0)


def discovered(evidence: Sequence[float], shares: Sequence[float], wanted: float) -> list[bool]:
    """Which monitors alarm, of several that share one run length.

    The most monitors, ``r`` of them, of which each has ``share * evidence >= wanted / r``: e-BH (Wang and
    Ramdas, Journal of the Royal Statistical Society B 84, 2022), by evidence that adds up over time
    (Dandapanthula and Ramdas, https://arxiv.org/abs/2501.04130, 2025). While nothing is wrong the first alarm
    of any of them comes after ``wanted`` windows on average at least, however they depend on each other:
    where ``r`` alarm, the sum of ``share * evidence`` is ``wanted`` or more, and that sum grows by at most
    the sum of the shares in a window.

    Args:
        evidence: Of each monitor, as :func:`detect` gives it.
        shares: Of each monitor, of all false alarms; in sum 1 at most.
        wanted: The run length, in windows.
    """
    held = [share * one for share, one in zip(shares, evidence, strict=True)]
    ordered = sorted(held, reverse=True)
    most = max((r for r, one in enumerate(ordered, start=1) if r * one >= wanted), default=0)
    return [bool(most) and most * one >= wanted for one in held]


def run_length(false_alarms: float, every: timedelta) -> float:
    """How many windows lie between two false alarms, for so many of them a year."""
    return max(timedelta(days=365.25) / every / false_alarms, 1.0)


def persists(states: Sequence[bool], wanted: int, among: int) -> bool:
    """Whether enough of the last windows, with the latest, were in alarm.

    Args:
        states: Whether each window was, oldest first.
        wanted: How many must have been.
        among: Of how many.
    """
    return bool(states) and states[-1] and sum(states[-among:]) >= wanted
