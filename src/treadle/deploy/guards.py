"""Evidence against a revision while it takes over, which may be looked at as often as one likes.

Each guard is a hypothesis about rates of bad requests, and its evidence an e-process: the
likelihood of what was seen, averaged over rates that would break the guard, over the largest
likelihood that keeps it. Whatever the true rates, if they keep the guard, the chance that the
evidence ever reaches ``1 / a`` is at most ``a`` (Ville's inequality), so it needs no schedule of
looks. Dividing by the largest likelihood is universal inference (Wasserman, Ramdas,
Balakrishnan 2020, https://arxiv.org/abs/1912.11436, section 8); it needs the counts only, not
their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

_ODDS = (2.0, 4.0, 10.0, 40.0, 400.0)
"""How many times the odds of a bad request are those that the guard allows: where evidence is looked for."""
_RATES = 25
_LOWEST = 1e-5


def evidence_above(bad: int, total: int, bound: float) -> float:
    """Log of the evidence that a rate is above a bound.

    Args:
        bad: How many requests were bad.
        total: Of how many.
        bound: The highest rate that is right, from 0 to 1.

    Returns:
        The natural logarithm of the e-value; infinite when the bound is 0 and one was bad.
    """
    if bound >= 1 or not bad:
        return -math.inf if bound >= 1 else min(0.0, _mean([_log(0, total, r) for r in _above(bound)]))
    if bound <= 0:
        return math.inf
    kept = _log(bad, total, min(bad / total, bound))
    return _mean([_log(bad, total, rate) for rate in _above(bound)]) - kept


def evidence_worse(bad: int, total: int, bad_beside: int, total_beside: int) -> float:
    """Log of the evidence that a rate is above another one that is seen at the same time.

    Args:
        bad: How many requests were bad.
        total: Of how many.
        bad_beside: How many were bad of what it is compared with.
        total_beside: Of how many.

    Returns:
        The natural logarithm of the e-value.
    """
    if not total or not total_beside:
        return -math.inf
    rate, beside = bad / total, bad_beside / total_beside
    if rate > beside:
        rate = beside = (bad + bad_beside) / (total + total_beside)
    kept = _log(bad, total, rate) + _log(bad_beside, total_beside, beside)
    found = [_log(bad, total, higher) + _log(bad_beside, total_beside, lower) for higher, lower in _pairs()]
    return _mean(found) - kept


def _log(bad: int, total: int, rate: float) -> float:
    """Log-likelihood of so many bad ones in a row of requests."""
    if (bad and rate <= 0) or (bad < total and rate >= 1):
        return -math.inf
    return (bad * math.log(rate) if bad else 0.0) + (
        (total - bad) * math.log1p(-rate) if bad < total else 0.0
    )


def _mean(logs: Sequence[float]) -> float:
    """Log of the mean of numbers whose logs are given."""
    top = max(logs)
    return (
        top + math.log(math.fsum(math.exp(one - top) for one in logs) / len(logs)) if top > -math.inf else top
    )


def _times(rate: float, odds: float) -> float:
    """A rate whose odds are so many times those of another."""
    return rate * odds / (1 + rate * (odds - 1))


@cache
def _above(bound: float) -> tuple[float, ...]:
    return tuple(_times(max(bound, _LOWEST), odds) for odds in _ODDS)


@cache
def _pairs() -> tuple[tuple[float, float], ...]:
    """Rates of which the first is higher, the second from 1e-5 to a half in even steps of its logarithm."""
    span = math.log(0.5 / _LOWEST)
    lower = [_LOWEST * math.exp(span * step / (_RATES - 1)) for step in range(_RATES)]
    return tuple((_times(rate, odds), rate) for rate in lower for odds in _ODDS)
