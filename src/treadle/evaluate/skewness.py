"""Bounds of means whose rows or clusters are skewed: Hall's correction of Student's t, where it widens.

If most clusters gain a little and a rare one loses much, most samples have too few of the rare ones: the mean
looks too high and its error too small at once, and a lower bound of t holds far less often than it says.
With ``T = (estimate - truth) / error`` and the skewness s of the estimate, ``T + s T^2 / 3 + s^2 T^3 / 27 +
s / 6`` is nearly normal (Hall, JRSS B 54, 1992, 221-228; without the cubic term Johnson, JASA 73, 1978,
536-544).

What a sample shows of s is too little, most of all where it matters. So here it counts for half as much
again, and three quarters of its standard error are taken for unseen, on both sides: by simulation that makes
bounds of 5 to 100 exponential values hold. A bound is never moved inwards, more skewness seen never narrows
it, and there is an end to it: where a single value makes up all of the spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from treadle.evaluate.models.measures import Floats

_UNDERSTATED = 1.5
_UNSEEN = 0.75
_FEWEST = 3
_LINEAR = 1e-6
_LEAST_NORMAL, _MOST_NORMAL = 1e-4, 30.0


class Tilt(NamedTuple):
    """How lopsided the error of an estimate is.

    Attributes:
        skewness: Its third cumulant over the cube of its standard error; of a mean of n values their own
            skewness over the root of n. Above 0 the upper bound is in danger, below 0 the lower one.
        error: The standard error of that, if nothing were skewed.
    """

    skewness: float
    error: float

    def of(self, times: float) -> Tilt:
        """With so many times as many values of the same kind."""
        return Tilt(self.skewness / math.sqrt(times), self.error / times)

    def bent(self, curvature: float) -> Tilt:
        """On another scale: a function h of the estimate, whose error is h' times as large.

        A line's statistic there lacks ``h'' / (2 h')`` standard errors times its square, which is three times
        that in Hall's terms.

        Args:
            curvature: ``h'' / h'`` standard errors of the estimate.
        """
        return Tilt(self.skewness + 1.5 / _UNDERSTATED * curvature, self.error)

    @property
    def mirrored(self) -> Tilt:
        """Of the estimate with its sign turned."""
        return Tilt(-self.skewness, self.error)

    @property
    def seen(self) -> bool:
        """Whether it is more than chance."""
        return abs(self.skewness) > 2 * self.error

    @property
    def downwards(self) -> float:
        """The skewness that the lower bound allows for."""
        return max(_UNSEEN * self.error - _UNDERSTATED * self.skewness, 0.0)

    @property
    def upwards(self) -> float:
        """The skewness that the upper bound allows for."""
        return max(_UNSEEN * self.error + _UNDERSTATED * self.skewness, 0.0)


NONE = Tilt(0.0, 0.0)


class Sample(NamedTuple):
    """Independent values that an estimate is a sum of.

    Attributes:
        values: What each adds to what it deviates by; in sum about 0.
        scales: The standard deviation that each is expected to have, but for a factor; None where alike.
    """

    values: Floats
    scales: Floats | None = None


def tilt(samples: Sequence[Sample]) -> Tilt:
    """How lopsided the sum of independent samples is.

    A sample's skewness is that of its values in units of their own scales, ``n^0.5 (n - 1)^0.5 / (n - 2)``
    times the plain one (G1 in Joanes & Gill, The Statistician 47, 1998), with a standard error of about
    ``(6 / n)^0.5``. Each value counts with the cube of its scale.
    """
    squares = third = error = 0.0
    for sample in samples:
        n, (skewness, own, cubes) = len(sample.values), _moments(*sample)
        squares += own
        third += skewness * cubes
        error += 6 / n * cubes**2
    if squares <= 0:
        return NONE
    return Tilt(third / squares**1.5, math.sqrt(error) / squares**1.5)


def of_mean(skewness: float, n: int) -> Tilt:
    """How lopsided the mean of n independent values is.

    Args:
        skewness: Of the values, the plain one.
        n: How many there are.
    """
    unbiased = math.sqrt(n * (n - 1)) / (n - 2) * skewness if n >= _FEWEST else 0.0
    return Tilt(unbiased / math.sqrt(n), math.sqrt(6) / n)


def _moments(values: Floats, scales: Floats | None) -> tuple[float, float, float]:
    """The skewness of values, and the sums of the squares and of the cubes of their scales."""
    import numpy as np

    n = len(values)
    if scales is not None:
        values = values / scales
        values -= values.mean()
    mean = float(np.einsum("i,i->", values, values)) / n
    if mean <= 0:
        return 0.0, 0.0, 0.0
    cubes = float(np.einsum("i,i,i->", values, values, values)) / n
    skewness = math.sqrt(n * (n - 1)) / (n - 2) * cubes / mean**1.5 if n >= _FEWEST else 0.0
    if scales is None:
        variance = n / (n - 1) * mean  # n is more than 1: of one value nothing differs
        return skewness, n * variance, n * variance**1.5
    return skewness, mean * float((scales**2).sum()), mean**1.5 * float((scales**3).sum())


def reaches(tail: float, df: float, tilted: Tilt) -> tuple[float, float]:
    """How many standard errors below and above an estimate its bounds lie: Student's, and what skewness adds.

    Args:
        tail: The error level of each bound, at most a half.
        df: Degrees of freedom of the standard error.
        tilted: The estimate's skewness.
    """
    from scipy.special import ndtri

    normal = -float(ndtri(tail))
    return _reach(normal, df, tilted.downwards), _reach(normal, df, tilted.upwards)


def p_value(statistic: float, df: float, tilted: Tilt) -> float:
    """The level at which a bound of :func:`reaches` meets a line: small where the truth is surely below it.

    Args:
        statistic: ``(estimate - line) / error``.
        df: Degrees of freedom of the standard error.
        tilted: The estimate's skewness.
    """
    from scipy.special import ndtr, stdtr

    far, skewness = abs(statistic), tilted.downwards if statistic > 0 else tilted.upwards
    if skewness == 0 or far == math.inf:
        return float(ndtr(statistic) if math.isinf(df) else stdtr(df, statistic))
    from scipy.optimize import brentq

    def short(normal: float) -> float:
        return _reach(normal, df, skewness) - far

    if short(_LEAST_NORMAL) >= 0:
        return 0.5
    within = short(_MOST_NORMAL) > 0
    tail = float(ndtr(-brentq(short, _LEAST_NORMAL, _MOST_NORMAL, xtol=1e-12)) if within else stdtr(df, -far))
    return 1 - tail if statistic > 0 else tail


def _reach(normal: float, df: float, skewness: float) -> float:
    """How far out a bound lies: no further than where a single value makes up all of the spread.

    Of such values, rare and alike, the exact bound for one that was seen is Garwood's (Biometrika 28, 1936).
    Of few values it counts times the cube of what Student's quantile exceeds the normal one by; so bounds of
    five exponential values hold as without it.
    """
    plain = _student(normal, df)
    if skewness == 0 or normal <= 0:
        return plain
    from scipy.special import gammainccinv, ndtr

    one = float(gammainccinv(2, ndtr(-normal))) - 1
    few = plain / normal
    return max(min(plain + _added(normal, skewness), one * few * few * few), plain)  # ** would raise, not end


def _student(normal: float, df: float) -> float:
    """Student's quantile of the same level as the normal one."""
    from scipy.special import ndtr, stdtrit

    return normal if math.isinf(df) else -float(stdtrit(df, ndtr(-normal)))


def _added(quantile: float, skewness: float) -> float:
    """What Hall's quantile exceeds the normal one by.

    For large skewness his cubic bends back; then it is the largest for any smaller one.
    """
    farthest = _farthest(quantile)
    if skewness >= 4.5 / farthest + 2.25 / farthest**3:  # which takes most from a statistic so large
        return farthest - quantile
    if skewness < _LINEAR:  # where the cubic's root is lost in rounding
        return skewness * (quantile**2 / 3 + 1 / 6)
    hall = 3 / skewness * (1 + math.cbrt(skewness * (quantile + skewness / 6) - 1))
    return max(hall - quantile, 0.0)


def _farthest(quantile: float) -> float:
    """What a statistic must be to be worth a quantile whatever the skewness.

    With the skewness that takes most from it in the cubic: the root of ``x^4 - 4 q x^3 - 3 x^2 - 3/4`` above
    4 q, by Newton.
    """
    x = 4 * quantile + 2.0
    for _ in range(50):
        step = (x**4 - 4 * quantile * x**3 - 3 * x**2 - 0.75) / (4 * x**3 - 12 * quantile * x**2 - 6 * x)
        x -= step
        if abs(step) < 1e-12 * x:
            break
    return x
