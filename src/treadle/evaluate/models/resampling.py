"""Bootstrap of counts: what it costs doesn't depend on the number of rows.

A resample of n rows is a multinomial draw of n over the cells.

The percentile interval (Efron, Annals of Statistics 7, 1979) falls short with few rows that the models
decide differently: the cells are nearly empty and the draws too narrow (with none they have no spread at
all). So each of the four cells of such rows is given half a row, as Agresti and Min do for McNemar's table
(Statistics in Medicine 24, 2005).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from treadle.evaluate.models import cells
from treadle.evaluate.models.measures import Floats, Integers
from treadle.kernel.config.base import Metric

_HALF = 0.5


class Draws(NamedTuple):
    """What a figure was in each resample.

    Attributes:
        values: Sorted.
    """

    values: Floats

    def bounds(self, confidence: float) -> tuple[float, float]:
        """The two-sided interval."""
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.values, [tail, 1 - tail])
        return float(low), float(high)

    def p_value(self, line: float) -> float:
        """One-sided, of the hypothesis that the figure is at least ``line``: small where it is less."""
        over = len(self.values) - int(np.searchsorted(self.values, line, side="left"))
        return (1 + over) / (1 + len(self.values))


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
    drawn = _generator(seed, counts).multinomial(int(counts.sum()), chances(counts, paired=paired), resamples)
    return Draws(_sorted(metric, drawn, paired=paired))


def chances(counts: Integers, *, paired: bool) -> Floats:
    """The chance of each cell for a row that is drawn again, half a row given to those of rows that differ.

    Args:
        counts: The rows of each cell.
        paired: Whether rows differ that the two models decide differently, or those decided wrong.
    """
    found = counts + _HALF * (cells.DIFFERING if paired else _WRONG) * _possible(counts)
    return np.asarray(found / found.sum(), dtype=np.float64)


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
