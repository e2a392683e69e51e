"""How good a classifier is before its labels are there: what its own probabilities let expect. No I/O.

A score that is calibrated says how likely the row's label is true, and so how likely each row is to be
a true positive, a false one, and so on; summed over rows that is the confusion matrix to expect, and from
it, or from the expected ranking, the metric (confidence-based performance estimation, NannyML 2022;
"Estimating model performance under covariate shift without labels", Białek et al., 2024,
https://arxiv.org/abs/2401.08348).

It holds while the probability of a true label, given the score, is what it was when the calibrator was made:
for inputs that come in other proportions than before, not for a world in which the same inputs lead to other
outcomes. That is why what becomes true is held against it as soon as labels come.

Every metric is written as a ratio of two sums over rows whose terms depend on the label, which gives its
expected value and, to first order, its variance in closed form: that of a sample of such rows (the
sampling error of the realised metric) and that of the labels alone (how far realised and estimated
differ by chance).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from treadle.evaluate import Measure
from treadle.monitor.performance.calibrating import Floats

_CLIP = 1e-15
ESTIMABLE = frozenset(
    {
        "roc_auc",
        "log_loss",
        "brier",
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "specificity",
        "f1",
    }
)
"""The metrics that can be estimated for a binary classifier."""


class Expected(NamedTuple):
    """A metric that is expected of rows without labels.

    Attributes:
        value: The metric; NaN where the rows don't define it, as without any decision for true.
        se: Its standard error as a figure about the traffic that the rows are a sample of.
        chance: The standard deviation of realised minus estimated, over the labels that rows may get.
    """

    value: float
    se: float
    chance: float


class Terms(NamedTuple):
    """What a row adds to a metric's deviation if its label is true, and if it is false.

    Attributes:
        value: The metric.
        true: Each row's share, times rows, if its label is true.
        false: The same if it is false.
    """

    value: float
    true: Floats
    false: Floats


def expect(measure: Measure, probabilities: Floats, scores: Floats, reference_rows: int = 0) -> Expected:
    """The metric that is expected of rows.

    Args:
        measure: The metric, one of :data:`ESTIMABLE`, with its threshold.
        probabilities: Of a true label, calibrated, a value a row.
        scores: The model's own scores, by which it decides and ranks.
        reference_rows: By how many rows the calibrator was made; its own error is added. 0 leaves it out.
    """
    terms = expected_terms(measure, probabilities, scores)
    rows = len(scores)
    p, between = probabilities, terms.true - terms.false
    of_labels = float((p * (1 - p) * between**2).mean())
    total = float((p * terms.true**2 + (1 - p) * terms.false**2).mean())
    calibrator = of_labels / reference_rows if reference_rows else 0.0
    return Expected(terms.value, (total / rows + calibrator) ** 0.5, (of_labels / rows + calibrator) ** 0.5)


def expected_terms(measure: Measure, probabilities: Floats, scores: Floats) -> Terms:
    """A metric's expected value and its linear form under either label of each row."""
    if measure.metric == "roc_auc":
        return _auc(probabilities, scores)
    if measure.metric == "balanced_accuracy":
        of_true = expected_terms(Measure("recall", measure.threshold), probabilities, scores)
        of_false = expected_terms(Measure("specificity", measure.threshold), probabilities, scores)
        return Terms(
            (of_true.value + of_false.value) / 2,
            (of_true.true + of_false.true) / 2,
            (of_true.false + of_false.false) / 2,
        )
    return _ratio(probabilities, *_sums(measure, scores))


def _sums(measure: Measure, scores: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """What a row adds above and below the line of the ratio: above if true, if false; below likewise."""
    decided = (scores >= measure.threshold).astype(np.float64)
    none, one = np.zeros(len(scores)), np.ones(len(scores))
    kept = np.clip(scores, _CLIP, 1 - _CLIP)
    return {
        "accuracy": (decided, 1 - decided, one, one),
        "precision": (decided, none, decided, decided),
        "recall": (decided, none, one, none),
        "specificity": (none, 1 - decided, none, one),
        "f1": (2 * decided, none, 1 + decided, decided),
        "brier": ((1 - scores) ** 2, scores**2, one, one),
        "log_loss": (-np.log(kept), -np.log1p(-kept), one, one),
    }[measure.metric]


def _ratio(
    p: Floats, above_true: Floats, above_false: Floats, below_true: Floats, below_false: Floats
) -> Terms:
    below = float((p * below_true + (1 - p) * below_false).mean())
    if not below:
        undefined = np.full(len(p), np.nan)
        return Terms(float("nan"), undefined, undefined)
    value = float((p * above_true + (1 - p) * above_false).mean()) / below
    return Terms(
        value, (above_true - value * below_true) / below, (above_false - value * below_false) / below
    )


def _auc(p: Floats, scores: Floats) -> Terms:
    """Every row is a true one with weight p and a false one with weight 1 - p; ties count half."""
    _, rank = np.unique(scores, return_inverse=True)
    true, false = np.bincount(rank, p), np.bincount(rank, 1 - p)
    positive, negative = float(true.sum()), float(false.sum())
    if not positive or not negative:
        undefined = np.full(len(p), np.nan)
        return Terms(float("nan"), undefined, undefined)
    below = (np.cumsum(false) - false / 2) / negative
    above = (positive - np.cumsum(true) + true / 2) / positive
    value = float((true * below).sum() / positive)
    rows = len(p)
    return Terms(value, (below[rank] - value) * (rows / positive), (above[rank] - value) * (rows / negative))
