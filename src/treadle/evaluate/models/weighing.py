"""How much of a metric each row is: its share of what the metric is taken of."""

from __future__ import annotations

import numpy as np

from treadle.evaluate.models.measures import Booleans, Floats, Measure


def weights(measure: Measure, labels: Floats, scores: Floats) -> Floats:
    """Each row's share of a metric's denominator, such as of the rows decided true for ``precision``.

    Leaving out rows with shares that sum to h moves a ratio by what they deviate over 1 - h. In sum 1; for
    ``roc_auc`` 1 for each class, and where a metric is a mean of several ratios, the mean of their shares.

    Args:
        measure: The metric, which the rows define.
        labels: The truth, as :func:`treadle.evaluate.models.inputs.scored` gives it.
        scores: The scores, likewise.
    """
    metric, positive = measure.metric, labels == 1
    if metric == "macro_f1":
        return _of_classes(labels, scores)
    if metric in {"roc_auc", "balanced_accuracy"}:
        both = _shares(positive) + _shares(~positive)
        return both if metric == "roc_auc" else both / 2
    if metric in {"recall", "specificity"}:
        return _shares(positive == (metric == "recall"))
    if metric in {"precision", "f1"}:
        decided = scores >= measure.threshold
        return _shares(decided if metric == "precision" else positive + decided.astype(np.float64))
    return np.full(len(labels), 1 / len(labels))


def _shares(counts: Floats | Booleans) -> Floats:
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _of_classes(labels: Floats, scores: Floats) -> Floats:
    """Of F1 each class's rows are those of it and those decided to be it."""
    truth, decided = labels.astype(np.intp), scores.argmax(axis=1)
    count = np.bincount(truth, minlength=scores.shape[1])
    either = count + np.bincount(decided, minlength=scores.shape[1])
    share = np.where(count > 0, 1 / np.maximum(either, 1) / (count > 0).sum(), 0.0)
    found: Floats = share[truth] + share[decided]
    return found
