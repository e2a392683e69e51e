"""Bootstrap of counts: what it costs doesn't depend on the number of rows.

A resample of n rows is a multinomial draw of n over the cells; a resample of clusters one over the
kinds of clusters, those with the same counts in every cell.

The percentile interval (Efron, Annals of Statistics 7, 1979) falls short in two ways that are mended
here. With few rows that the models decide differently the cells are nearly empty and the draws too
narrow (with none they have no spread at all): each of the four cells of such rows is given half a row,
as Agresti and Min do for McNemar's table (Statistics in Medicine 24, 2005). With few clusters the
percentiles lie too close together: they are moved outwards to where a t interval would be (Hesterberg,
The American Statistician 69, 2015, 'expanded percentile').
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from treadle.evaluate.models import cells
from treadle.evaluate.models.measures import Floats, Integers
from treadle.kernel.config.base import Metric

_HALF = 0.5
_AT_ONCE = 4_000_000


class Draws(NamedTuple):
    """What a figure was in each resample.

    Attributes:
        values: Sorted.
        units: How many rows or clusters were drawn each time.
        expand: Whether the units are clusters, so that percentiles are moved outwards.
    """

    values: Floats
    units: int
    expand: bool

    def bounds(self, confidence: float) -> tuple[float, float]:
        """The two-sided interval."""
        tail = self._moved((1 - confidence) / 2)
        low, high = np.quantile(self.values, [tail, 1 - tail])
        return float(low), float(high)

    def p_value(self, line: float) -> float:
        """One-sided, of the hypothesis that the figure is at least ``line``: small where it is less."""
        over = len(self.values) - int(np.searchsorted(self.values, line, side="left"))
        share = (1 + over) / (1 + len(self.values))
        if not self.expand:
            return share
        from scipy.special import ndtri, stdtr

        scale = np.sqrt((self.units - 1) / self.units)
        return float(stdtr(self.units - 1, ndtri(min(share, 1 - 1e-12)) * scale))

    def _moved(self, tail: float) -> float:
        if not self.expand:
            return tail
        from scipy.special import ndtr, stdtrit

        scale = np.sqrt(self.units / (self.units - 1))
        return float(ndtr(stdtrit(self.units - 1, tail) * scale))


def of_rows(metric: Metric, counts: Integers, resamples: int, seed: int, *, paired: bool) -> Draws:
    """Resamples of rows.

    Args:
        metric: A metric of decisions.
        counts: The rows of each cell.
        resamples: How many to draw.
        seed: Of the draws. The counts are part of it, so that equal counts give equal answers whatever
            the order of rows and groups.
        paired: Whether the gain over production is asked for, or the candidate's value alone.
    """
    n = int(counts.sum())
    chances = counts + _HALF * (cells.DIFFERING if paired else _WRONG) * _possible(counts)
    drawn = _generator(seed, counts).multinomial(n, chances / chances.sum(), resamples)
    return Draws(_sorted(metric, drawn, paired=paired), n, expand=False)


def of_clusters(metric: Metric, counts: Integers, resamples: int, seed: int, *, paired: bool) -> Draws:
    """Resamples of clusters; the arguments are as for :func:`of_rows`, ``counts`` with a row a cluster."""
    kinds, of_kind = np.unique(counts, axis=0, return_counts=True)
    clusters = len(counts)
    generator = _generator(seed, kinds)
    at_once = max(1, _AT_ONCE // len(kinds))
    found = []
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.multinomial(clusters, of_kind / clusters, size) @ kinds
        found.append(_sorted(metric, drawn, paired=paired))
    return Draws(np.sort(np.concatenate(found)), clusters, expand=True)


_WRONG = np.array([(cell >> 2 & 1) != (cell >> 1 & 1) for cell in range(cells.CELLS)])


def _possible(counts: Integers) -> Integers:
    """Whether there are rows of a cell's label at all."""
    there = counts.reshape(2, -1).sum(axis=1) > 0
    return np.repeat(there, cells.CELLS // 2).astype(np.intp)


def _generator(seed: int, counts: Integers) -> np.random.Generator:
    return np.random.default_rng([seed, *counts.ravel().tolist()])


def _sorted(metric: Metric, drawn: Integers, *, paired: bool) -> Floats:
    """Resamples that don't define the metric (nothing decided true, say) are as bad as they can be."""
    values = cells.gain(metric, drawn) if paired else cells.value(metric, drawn)
    return np.sort(np.nan_to_num(values, nan=-1.0 if paired else 0.0))
