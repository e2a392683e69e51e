"""Counts of decisions: all that metrics of binary decisions need of the rows.

A cell holds the rows of one label, one decision of the candidate and one of production; cell
``4 * label + 2 * candidate + production``. Counts of parts of the rows add up to those of the whole.
"""

from __future__ import annotations

import numpy as np

from treadle.evaluate.models.measures import Booleans, Floats, Integers
from treadle.kernel.config.base import Metric

CELLS = 8

_LABEL, _OURS, _THEIRS = (np.array([cell >> bit & 1 for cell in range(CELLS)]) for bit in (2, 1, 0))
DIFFERING = _OURS != _THEIRS
"""The cells of rows that the two models decide differently."""


def each(true: Booleans, ours: Booleans, theirs: Booleans) -> Integers:
    """The cell of each row, from its label and the two decisions."""
    found: Integers = 4 * true + 2 * ours + theirs.astype(np.intp)
    return found


def count(true: Booleans, ours: Booleans, theirs: Booleans) -> Integers:
    """The rows of each cell."""
    return np.bincount(each(true, ours, theirs), minlength=CELLS)


def value(metric: Metric, cells: Floats | Integers, *, ours: bool = True) -> Floats:
    """A metric of counts, by the last axis; NaN where it isn't defined.

    Args:
        metric: Which.
        cells: Counts, with the cells along the last axis.
        ours: Whether of the candidate, or of production.
    """
    decided = _OURS if ours else _THEIRS
    positive = cells @ _LABEL
    chosen = cells @ decided
    hits = cells @ (_LABEL * decided)
    total = cells.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        passed = total - positive - chosen + hits  # decided false and rightly so
        if metric == "accuracy":
            found = (hits + passed) / total
        elif metric == "recall":
            found = hits / positive
        elif metric == "specificity":
            found = passed / (total - positive)
        elif metric == "precision":
            found = hits / chosen
        elif metric == "f1":
            found = 2 * hits / (positive + chosen)
        else:
            found = (hits / positive + passed / (total - positive)) / 2
    return np.asarray(found, dtype=np.float64)


def chosen(cells: Floats | Integers, *, ours: bool = True) -> Floats:
    """The share of rows that are decided true, by the last axis; the arguments are as for :func:`value`."""
    with np.errstate(invalid="ignore"):
        return np.asarray(cells @ (_OURS if ours else _THEIRS) / cells.sum(axis=-1), dtype=np.float64)


def gain(metric: Metric, cells: Floats | Integers) -> Floats:
    """How much better the candidate is than production, by the last axis."""
    return value(metric, cells) - value(metric, cells, ours=False)
