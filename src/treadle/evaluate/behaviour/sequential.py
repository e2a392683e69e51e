"""Stopping as soon as the answer is known. No I/O.

Wald's sequential probability ratio test (Annals of Mathematical Statistics 16, 1945), a case at a time. A
case counts with the share of its answers that passed, ``x``, and adds ``x log(p1/p0) +
(1 - x) log((1 - p1)/(1 - p0))`` for the rates p0 (good) and p1 (bad). For shares that likelihood ratio is
still a supermartingale under any mean of at least p0, however alike the answers to one case are, for
``exp`` is convex; by Ville's inequality it reaches 1/alpha with a chance of at most alpha. So both error
rates hold exactly, at the limits 1/alpha and 1/beta, which lie a little outside of Wald's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from treadle.evaluate.types import Outcome


class Sprt(NamedTuple):
    """A test of a pass rate.

    Attributes:
        good: The rate that should pass.
        bad: The rate that should fail.
        false_fail: The chance to fail at the good rate, or above.
        false_pass: The chance to pass at the bad rate, or below.
    """

    good: float
    bad: float
    false_fail: float
    false_pass: float

    @property
    def limits(self) -> tuple[float, float]:
        """Of the evidence: at most the first passes, at least the second fails."""
        return math.log(self.false_pass), -math.log(self.false_fail)

    def weight(self, share: float) -> float:
        """What a case adds to the evidence for the bad rate."""
        passed = share * math.log(self.bad / self.good)
        if share == 1:
            return passed
        if self.good == 1:
            return math.inf  # whoever should always pass didn't
        return passed + (1 - share) * math.log((1 - self.bad) / (1 - self.good))


class Decided(NamedTuple):
    """What the cases so far say.

    Attributes:
        outcome: Pass, fail, or inconclusive as long as more are needed.
        cases: How many were needed, or were there.
        evidence: The logarithm of the likelihood ratio, for the bad rate.
    """

    outcome: Outcome
    cases: int
    evidence: float


def decide(test: Sprt, shares: Sequence[float]) -> Decided:
    """Goes through cases in the order in which they were to be asked, until they decide.

    Args:
        test: The test.
        shares: Of each case, the share of its answers that passed.
    """
    passes, fails = test.limits
    evidence = 0.0
    for count, share in enumerate(shares, 1):
        evidence += test.weight(share)
        if evidence <= passes:
            return Decided("pass", count, evidence)
        if evidence >= fails:
            return Decided("fail", count, evidence)
    return Decided("inconclusive", len(shares), evidence)


def expected_cases(test: Sprt, rate: float) -> float:
    """How many cases it takes on average if answers to one case are all alike, by Wald's approximation.

    Args:
        test: The test.
        rate: The true pass rate.
    """
    passes, fails = test.limits
    drift = rate * test.weight(1) + (1 - rate) * test.weight(0)
    chance = _chance_to_fail(test, rate)
    up, down = test.weight(0), test.weight(1)
    if abs(drift) < 1e-12:
        return -passes * fails / (rate * down**2 + (1 - rate) * up**2)
    return (chance * fails + (1 - chance) * passes) / drift


def _chance_to_fail(test: Sprt, rate: float) -> float:
    """Wald's operating characteristic: ``(1 - B^h) / (A^h - B^h)``, where ``E exp(h w) = 1``."""
    passes, fails = test.limits
    up, down = test.weight(0), test.weight(1)
    drift = rate * down + (1 - rate) * up
    if abs(drift) < 1e-12:
        return -passes / (fails - passes)
    low, high = (1e-9, 1e3) if drift < 0 else (-1e3, -1e-9)

    def excess(h: float) -> float:
        return _log_sum(math.log(rate) + h * down if rate else -math.inf,
                        math.log(1 - rate) + h * up if rate < 1 else -math.inf)  # fmt: skip

    for _ in range(200):
        middle = (low + high) / 2
        if (excess(middle) > 0) == (drift < 0):
            high = middle
        else:
            low = middle
    h = (low + high) / 2
    a, b = h * fails, h * passes
    return math.exp(_log1mexp(b, a)) if h > 0 else 1 - math.exp(_log1mexp(a, b))


def _log_sum(a: float, b: float) -> float:
    top = max(a, b)
    return top + math.log(math.exp(a - top) + math.exp(b - top))


def _log1mexp(small: float, large: float) -> float:
    """``log((1 - e^small) / (e^large - e^small))`` for ``small < 0 < large``."""
    return math.log1p(-math.exp(small)) - large - math.log1p(-math.exp(small - large))


def sequence(shares: Sequence[float], alpha: float) -> tuple[float, float]:
    """Bounds for the mean of cases that hold at whatever moment one stops: a confidence sequence.

    Every mean whose mixture likelihood ratio stays below ``1 / alpha`` (Robbins' beta-binomial mixture with
    a uniform prior, Annals of Mathematical Statistics 41, 1970), with shares in place of counts as above.

    Args:
        shares: Of each case, the share of its answers that passed.
        alpha: The error level of both bounds together.
    """
    from scipy.special import betaln

    count, total = len(shares), float(sum(shares))
    limit = float(betaln(1 + total, 1 + count - total)) + math.log(alpha)

    def inside(mean: float) -> bool:
        # The mixture's likelihood ratio to this mean is less than 1 / alpha.
        log_likelihood = (total * math.log(mean) if total else 0.0) + (
            (count - total) * math.log1p(-mean) if count - total > 0 else 0.0
        )
        return log_likelihood > limit

    middle = total / count if count else 0.5
    return _edge(inside, middle, 0.0), _edge(inside, middle, 1.0)


def _edge(inside: Callable[[float], bool], middle: float, end: float) -> float:
    """Where a set of means that reaches from the middle towards an end stops."""
    if middle == end:
        return end
    near, far = middle, end
    for _ in range(60):
        half = (near + far) / 2
        if inside(half):
            near = half
        else:
            far = half
    return far
