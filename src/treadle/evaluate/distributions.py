"""How far a distribution has moved: the population stability index, and what chance makes of it. No I/O.

The same statistic for the checks of data before a training and for the monitors of live traffic: rows
are counted in bins that are fixed by a reference, missing values in a bin of their own, sparse bins
together; a move counts if it is both large and more than chance explains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

BINS = 10
MAX_VALUES = 50
"""A number with at most so many distinct values has a bin a value; so many categories are named."""

MIN_EXPECTED = 5.0
"""Bins in which the smaller sample expects fewer rows are counted as one (Cochran's rule)."""


def bin_edges(values: Sequence[float], quantiles: Sequence[float]) -> list[float]:
    """Inner bin edges for a numeric column.

    One bin a value when they are few, with edges halfway between. Otherwise bins between the
    quantiles; a value that several quantiles share has a bin of its own. An edge lies a
    millionth beside its value, so that the value stays on its side however a float was
    rounded on the way. No edge lies outside the values, where it would leave an empty bin.

    Args:
        values: The distinct values, increasing; if over 50, the least and the greatest suffice.
        quantiles: Inner quantiles.
    """
    if len(values) == 1:
        return [values[0] - margin(values[0]), values[0] + margin(values[0])]
    if len(values) <= MAX_VALUES:
        return [low + (high - low) / 2 for low, high in pairwise(values)]
    above = {q + margin(q) for q in quantiles}
    below = {q - margin(q) for q, times in Counter(quantiles).items() if times > 1 or q == values[-1]}
    return sorted(edge for edge in above | below if values[0] <= edge < values[-1])


def margin(value: float) -> float:
    """How far beside a value an edge lies."""
    return max(abs(value) * 1e-6, 1e-9)


def psi(reference: Sequence[int], current: Sequence[int]) -> float:
    """The population stability index of two histograms over the same bins, natural logarithm.

    ``sum((q - p) * ln(q / p))`` over the bins' shares p and q (Siddiqi, Credit Risk
    Scorecards, 2006; the same as Jeffreys' divergence), each count raised by 0.5 so that
    an empty bin has a finite index.
    """
    return _psi(np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64))


def _psi(reference: npt.NDArray[np.float64], current: npt.NDArray[np.float64]) -> float:
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    q = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(((q - p) * np.log(q / p)).sum())


def psi_quantile(reference_rows: int, current_rows: int, bins: int, alpha: float) -> float:
    """What the index exceeds with probability ``alpha`` when nothing has changed.

    ``(1/n + 1/m) * chi2(bins - 1)`` (Yurdakul, Statistical properties of population
    stability index, 2018): the smaller the samples, the larger an index is mere noise.
    """
    from scipy.special import chdtri

    if bins < 2:
        return 0.0
    return float((1 / reference_rows + 1 / current_rows) * chdtri(bins - 1, alpha))


def psi_p_value(index: float, reference_rows: int, current_rows: int, bins: int) -> float:
    """The probability of such an index or a larger one when nothing has changed; see :func:`psi_quantile`."""
    from scipy.special import chdtrc

    if bins < 2:
        return 1.0
    return float(chdtrc(bins - 1, index / (1 / reference_rows + 1 / current_rows)))


def psi_detectable(reference_rows: int, current_rows: int, bins: int, alpha: float, power: float) -> float:
    """The index of a true move that is found with probability ``power`` at level ``alpha``.

    Of a move whose index is ``d`` the statistic ``index / (1/n + 1/m)`` is distributed as a
    non-central chi-squared with ``bins - 1`` degrees of freedom and non-centrality
    ``d / (1/n + 1/m)``.
    """
    from scipy.special import chndtrinc

    if bins < 2:
        return 0.0
    scale = 1 / reference_rows + 1 / current_rows
    limit = psi_quantile(reference_rows, current_rows, bins, alpha) / scale
    return float(chndtrinc(limit, bins - 1, 1 - power)) * scale


def pool_bins(reference: Sequence[int], current: Sequence[int]) -> tuple[list[int], list[int]]:
    """Both histograms without empty bins and with the sparse ones made one.

    A bin is sparse if the smaller sample expects under 5 rows in it. That is decided by the
    two counts together, of which the way they are split is independent when nothing has
    changed; deciding by the reference alone would pick the bins where it happens to be low.
    """
    a, b = np.asarray(reference), np.asarray(current)
    total = a + b
    expected = total * (min(a.sum(), b.sum()) / max(total.sum(), 1))
    dense, sparse = expected >= MIN_EXPECTED, (expected < MIN_EXPECTED) & (total > 0)
    pooled = [[*map(int, counts[dense])] for counts in (a, b)]
    if sparse.any():
        pooled[0].append(int(a[sparse].sum()))
        pooled[1].append(int(b[sparse].sum()))
    return pooled[0], pooled[1]
