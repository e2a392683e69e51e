"""How well one feature alone tells the label: a cross-fitted area under the ROC curve. No I/O.

The feature is cut into bins and the bins are ordered by how often the label is true in them, so that a
feature tells whatever the shape of its relation. An order that is learnt and tested on the same rows
flatters features of many values: an identifier would tell every label. So the rows are split in two, at
random: the bins and their order come from one half, the area from the other, and the other way round. Bins
cost a little of the area, about 0.01 of a continuous feature in 2,000 rows.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

_QUANTILES = np.arange(1, 16) / 16
_CATEGORIES = 200


class Separation(msgspec.Struct, frozen=True):
    """How well a feature tells a label.

    Attributes:
        area: The area under the ROC curve: 0.5 tells nothing, 1 everything.
        error: Its standard error on the logit scale.
        rows: Rows behind it.
    """

    area: float
    error: float
    rows: int

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided, made on the logit scale (Pepe, The Statistical Evaluation of Medical Tests, 2003)."""
        from scipy.special import ndtri

        reach = float(ndtri(1 - alpha / 2)) * self.error
        return _expit(_logit(self.area) - reach), _expit(_logit(self.area) + reach)

    def statistic(self, bound: float) -> float:
        """How many standard errors it lies above a bound."""
        return (_logit(self.area) - _logit(bound)) / self.error


def separation(values: npt.NDArray[Any], label: Bools) -> Separation | None:
    """The cross-fitted area of one feature; None where a half of the rows lacks a class.

    Args:
        values: The feature: floats (missing: NaN), or texts (missing: None).
        label: The truth, of equal length.
    """
    half = np.random.default_rng(0).random(len(label)) < 0.5  # not every second row: rows may alternate
    found = [_tested(values, label, learn) for learn in (half, ~half)]
    if any(one is None for one in found):
        return None
    areas, variances = zip(*(one for one in found if one is not None), strict=True)
    rarer = min(int(label.sum()), int((~label).sum()))
    area = min(max(sum(areas) / 2, 1 / (2 * rarer + 2)), 1 - 1 / (2 * rarer + 2))
    # At an area of 0 or 1 the sample's own variance is 0: that of a case away from there is taken.
    least = area * (1 - area) / (2 * rarer)
    error = math.sqrt(max(sum(variances) / 4, least)) / (area * (1 - area))
    return Separation(area, error, len(label))


def _tested(values: npt.NDArray[Any], label: Bools, learn: Bools) -> tuple[float, float] | None:
    """Area and variance on the rows that the order wasn't learnt from."""
    if not all(label[part].any() and not label[part].all() for part in (learn, ~learn)):
        return None
    codes, bins = _binned(values, label, learn)
    true = np.bincount(codes[learn & label], minlength=bins)
    rows = np.bincount(codes[learn], minlength=bins)
    rate = (true + label[learn].mean()) / (rows + 1)  # bins of few rows lean on the whole
    place = np.unique(rate, return_inverse=True)[1][codes[~learn]]
    truth = label[~learn]
    most = int(place.max()) + 1
    return _area(np.bincount(place[truth], minlength=most), np.bincount(place[~truth], minlength=most))


def _area(true: Codes, false: Codes) -> tuple[float, float]:
    """Area under the ROC curve of ordered cells and its variance, by DeLong's components.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; a tie counts half.
    """
    n, m = int(true.sum()), int(false.sum())
    below = (np.cumsum(false) - false + false / 2) / m  # of a true row: the false ones below it
    above = (n - np.cumsum(true) + true / 2) / n  # of a false row: the true ones above it
    area = float((true * below).sum() / n)
    by_true = float((true * (below - area) ** 2).sum()) / max(n - 1, 1)
    by_false = float((false * (above - area) ** 2).sum()) / max(m - 1, 1)
    return area, by_true / n + by_false / m


def _binned(values: npt.NDArray[Any], label: Bools, learn: Bools) -> tuple[Codes, int]:
    """Each row's bin, and how many bins there are; the last is that of missing values.

    Bins of numbers lie between the quantiles of both classes, so that a rare class has bins of its own.
    """
    if values.dtype == object:
        there = Counter(value for value in values[learn].tolist() if value is not None)
        places = {value: place for place, (value, _) in enumerate(there.most_common(_CATEGORIES))}
        rest, missing = len(places), len(places) + 1
        codes = [missing if value is None else places.get(value, rest) for value in values.tolist()]
        return np.array(codes, dtype=np.int64), missing + 1
    known = ~np.isnan(values)
    edges = [
        np.quantile(part, _QUANTILES, method="inverted_cdf")
        for part in (values[learn & known & label], values[learn & known & ~label])
        if len(part)
    ]
    cuts = np.unique(np.concatenate(edges)) if edges else np.empty(0)
    found = np.searchsorted(cuts, values)
    return np.where(known, found, len(cuts) + 1).astype(np.int64), len(cuts) + 2


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
