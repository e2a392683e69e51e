"""Whether two samples of vectors come from one distribution: the maximum mean discrepancy. No I/O.

Gretton, Borgwardt, Rasch, Schölkopf and Smola, A kernel two-sample test, JMLR 13, 2012. With the Gaussian
kernel ``k(x, y) = exp(-|x - y|^2 / (2 w^2))``, whose width ``w`` is the median distance of the pooled
rows, the unbiased estimate of the squared discrepancy (their lemma 6) is ::

    sum_{i != j} k(x_i, x_j) / (m (m - 1)) + sum_{i != j} k(y_i, y_j) / (n (n - 1)) - 2 mean k(x_i, y_j)

Where nothing has changed it is a degenerate U-statistic: its mean is 0, and its second and third moments
follow from those of the centred kernel over pairs and triangles of distinct rows, which the pooled sample
gives. Its law, in the limit a sum of weighted chi-squares, is taken for the gamma law with these moments
(Pearson's type III). Shuffles of the rows, which are exact, agree (see the tests), but can tell no level
below one over their number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ALIKE = 1e-12
_SYMMETRIC = 1e-3
"""With less skewness the gamma law is the normal one."""


class Discrepancy(NamedTuple):
    """How far apart two samples of vectors are.

    Attributes:
        value: The maximum mean discrepancy: the root of its unbiased square, 0 where that is negative. From 0
            to the root of 2.
        chance: What it exceeds with probability ``alpha`` when nothing has changed.
        p_value: The probability of such a value or a larger one when nothing has changed.
    """

    value: float
    chance: float
    p_value: float


class Moments(NamedTuple):
    """What the kernel is like over distinct rows, centred: of pairs, and of triangles.

    Attributes:
        square: The mean of ``k(a, b) ** 2``.
        cube: The mean of ``k(a, b) ** 3``.
        triangle: The mean of ``k(a, b) k(b, c) k(c, a)``.
    """

    square: float
    cube: float
    triangle: float


def discrepancy(before: Floats, after: Floats, alpha: float) -> Discrepancy:
    """The maximum mean discrepancy of two samples, and what chance makes of it.

    Time and memory grow with the square of the rows: hand in samples of a thousand or so.

    Args:
        before: The reference's rows, at least 4.
        after: The current rows, at least 4.
        alpha: The chance of an alarm when nothing has changed.
    """
    kernel = gaussian(np.vstack([before, after]).astype(np.float64))
    square = squared(kernel, len(before))
    spread, skew = null_law(moments(kernel), len(before), len(after))
    if spread < _ALIKE:  # all rows are one
        return Discrepancy(0.0, 0.0, 1.0)
    return Discrepancy(
        math.sqrt(max(square, 0.0)),
        math.sqrt(max(spread * upper_quantile(alpha, skew), 0.0)),
        upper_tail(square / spread, skew),
    )


def gaussian(rows: Floats) -> Floats:
    """The kernel of every pair of rows; its width is the median distance of two of them."""
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0.0)
    width = float(np.median(distances[np.triu_indices(len(rows), 1)]))
    found: Floats = np.exp(-distances / (2 * width)) if width else (distances == 0).astype(np.float64)
    return found


def squared(kernel: Floats, m: int) -> float:
    """The unbiased squared discrepancy of the first ``m`` rows and the rest."""
    n = len(kernel) - m
    first, rest = kernel[:m, :m], kernel[m:, m:]
    within = (first.sum() - np.trace(first)) / (m * (m - 1)) + (rest.sum() - np.trace(rest)) / (n * (n - 1))
    return float(within - 2 * kernel[:m, m:].mean())


def moments(kernel: Floats) -> Moments:
    """The moments of the centred kernel, by U-centring (Székely and Rizzo, Annals of Statistics 42, 2014)."""
    rows = len(kernel)
    centred = kernel.copy()
    np.fill_diagonal(centred, 0.0)
    sums = centred.sum(axis=1)
    centred -= (sums[:, None] + sums[None, :]) / (rows - 2) - sums.sum() / ((rows - 1) * (rows - 2))
    np.fill_diagonal(centred, 0.0)
    pairs = rows * (rows - 1)
    twice = centred @ centred
    return Moments(
        float((centred**2).sum()) / pairs,
        float((centred**3).sum()) / pairs,
        float((twice * centred).sum()) / (pairs * (rows - 2)),
    )


def null_law(found: Moments, m: int, n: int) -> tuple[float, float]:
    """The standard deviation and skewness of the squared discrepancy where nothing has changed.

    The square is a sum over unordered pairs of ``2 a k``, with ``a`` the weight ``1 / (m (m - 1))`` within
    the one sample, ``1 / (n (n - 1))`` within the other and ``-1 / (m n)`` between them; of products of such
    terms only those have a mean other than 0 in which no row comes once: squares, cubes and triangles.
    """
    x, y, across = 1 / (m * (m - 1)), 1 / (n * (n - 1)), -1 / (m * n)
    pairs = ((math.comb(m, 2), x), (math.comb(n, 2), y), (m * n, across))
    triangles = (
        math.comb(m, 3) * x**3
        + math.comb(n, 3) * y**3
        + (math.comb(m, 2) * n * x + m * math.comb(n, 2) * y) * across**2
    )
    variance = 4 * found.square * sum(many * weight**2 for many, weight in pairs)
    third = 8 * found.cube * sum(many * weight**3 for many, weight in pairs) + 48 * found.triangle * triangles
    if variance <= 0:
        return 0.0, 0.0
    return math.sqrt(variance), third / variance**1.5


def upper_quantile(alpha: float, skew: float) -> float:
    """What Pearson's type III law with mean 0, deviation 1 and this skewness exceeds with a probability."""
    from scipy.special import gammainccinv, ndtri

    if skew < _SYMMETRIC:
        return -float(ndtri(alpha))
    return float(gammainccinv(4 / skew**2, alpha)) * skew / 2 - 2 / skew


def upper_tail(value: float, skew: float) -> float:
    """With which probability Pearson's type III law exceeds a value."""
    from scipy.special import gammaincc, ndtr

    if skew < _SYMMETRIC:
        return float(ndtr(-value))
    return float(gammaincc(4 / skew**2, max((value + 2 / skew) * 2 / skew, 0.0)))
