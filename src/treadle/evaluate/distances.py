"""Distances of two distributions beside the stability index, and what chance makes of them. No I/O.

Each comes with the value that it exceeds with probability ``alpha`` when nothing has changed, and with
the p-value of what was found. All of them scale with ``1/n + 1/m``, the rows of the two samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from treadle.evaluate.distributions import pool_bins, psi, psi_p_value, psi_quantile


class Distance(msgspec.Struct, frozen=True):
    """How far apart two samples are.

    Attributes:
        value: The distance.
        chance: What it exceeds with probability ``alpha`` when nothing has changed.
        p_value: The probability of such a distance or a larger one when nothing has changed.
    """

    value: float
    chance: float
    p_value: float


class Atoms(msgspec.Struct, frozen=True):
    """Rows by where they lie: at a value, or at the mean of a bin.

    Attributes:
        points: Where, not decreasing.
        rows: How many lie there.
    """

    points: Sequence[float]
    rows: Sequence[int]


def psi_distance(reference: Sequence[int], current: Sequence[int], alpha: float) -> Distance:
    """The population stability index; see :func:`treadle.evaluate.psi`. Sparse bins count as one."""
    then, now = pool_bins(reference, current)
    m, n = sum(then), sum(now)
    found = psi(then, now)
    return Distance(found, psi_quantile(m, n, len(then), alpha), psi_p_value(found, m, n, len(then)))


def js_distance(reference: Sequence[int], current: Sequence[int], alpha: float) -> Distance:
    """The Jensen-Shannon distance of two histograms, base 2: from 0 to 1.

    The square root of the divergence from the mean of the two (Lin, Divergence measures based on
    the Shannon entropy, 1991; Endres and Schindelin, 2003), each count raised by 0.5 as for the
    population stability index. Close by, the divergence in nats is an eighth of that index, which is
    where chance comes from: ``(1/n + 1/m) * chi2(bins - 1) / (8 ln 2)`` for the square. Sparse bins
    count as one.
    """
    then, now = pool_bins(reference, current)
    m, n = sum(then), sum(now)
    if len(then) < 2:
        return Distance(0.0, 0.0, 1.0)
    p, q = (np.asarray(counts, dtype=np.float64) + 0.5 for counts in (then, now))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    divergence = float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2)
    scale = 8 * math.log(2)
    chance = math.sqrt(psi_quantile(m, n, len(then), alpha) / scale)
    return Distance(math.sqrt(max(divergence, 0.0)), chance, psi_p_value(divergence * scale, m, n, len(then)))


def ks_distance(reference: Sequence[int], current: Sequence[int], alpha: float) -> Distance:
    """The largest distance of the two distribution functions at the edges of ordered bins.

    Chance is that of Kolmogorov's law. It holds for functions that are compared everywhere; at some
    points only, false alarms are fewer than ``alpha``, never more.
    """
    from scipy.special import kolmogi, kolmogorov

    then, now = (np.cumsum(side, dtype=np.float64) for side in (reference, current))
    value = float(np.abs(now / now[-1] - then / then[-1]).max())
    scale = math.sqrt(1 / now[-1] + 1 / then[-1])
    return Distance(value, float(kolmogi(alpha)) * scale, float(kolmogorov(value / scale)))


def wasserstein_distance(reference: Atoms, current: Atoms, deviation: float, alpha: float) -> Distance:
    """How far rows moved on average, in standard deviations: the area between the distribution functions.

    What chance gives is bounded: where nothing has changed, the area is ``sqrt(1/n + 1/m)`` times the
    integral of a Brownian bridge's absolute value (del Barrio, Giné and Matrán, 1999), whose mean is
    the integral of ``sqrt(2/pi) * sqrt(F (1 - F))``. As a norm of a Gaussian process it exceeds its
    mean by ``z`` deviations of its most variable direction no more often than a normal variable does
    (Borell; Sudakov and Tsirelson), and no direction varies more than the rows themselves.

    Args:
        reference: The one sample.
        current: The other.
        deviation: The reference's standard deviation, positive.
        alpha: The chance of an alarm when nothing has changed.
    """
    from scipy.special import ndtr, ndtri

    m, n = sum(reference.rows), sum(current.rows)
    points = np.concatenate([reference.points, current.points])
    order = np.argsort(points, kind="stable")
    then = np.concatenate([reference.rows, np.zeros(len(current.rows))])[order].cumsum()
    now = np.concatenate([np.zeros(len(reference.rows)), current.rows])[order].cumsum()
    widths, together = np.diff(points[order]), (then + now) / (m + n)
    value = float((np.abs(now / n - then / m)[:-1] * widths).sum()) / deviation
    bridge = float((np.sqrt(together * (1 - together))[:-1] * widths).sum())
    mean, scale = math.sqrt(2 / math.pi) * bridge / deviation, math.sqrt(1 / n + 1 / m)
    return Distance(value, scale * (mean - float(ndtri(alpha))), float(ndtr(mean - value / scale)))
