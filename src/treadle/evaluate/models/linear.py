"""Metrics in linear form: a value, and each row's share of its deviation.

To first order every metric is a mean: what it deviates from the truth is the sum of what its rows
contribute (its influence function; Hampel, JASA 69, 1974). The sum of their squares is the variance;
summed by cluster first, it is robust to what the rows of a cluster share; of two models on the same
rows the contributions are subtracted, so that what makes a row hard for both cancels out.

For an AUC the contributions are DeLong's structural components: DeLong, DeLong & Clarke-Pearson,
Biometrics 44 (1988); by one sort: Sun & Xu, IEEE Signal Processing Letters 21 (2014).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from treadle.evaluate.models.measures import Booleans, Floats, Integers, Measure
from treadle.evaluate.models.ranking import by_query, defined
from treadle.kernel.errors import InvalidInput

_CLIP = 1e-15

Counts: TypeAlias = Booleans | Integers


class Linear(NamedTuple):
    """A metric's value and what it deviates by.

    Attributes:
        value: The metric.
        deviations: Each row's share of the deviation (each query's, for ``ndcg``); 0 where it has none.
        strata: Which rows were averaged apart from others: each class for an AUC, all otherwise.
    """

    value: float
    deviations: Floats
    strata: tuple[Booleans, ...]


def linearise(measure: Measure, labels: Floats, scores: Floats, codes: Integers | None = None) -> Linear:
    """The linear form of a metric.

    Args:
        measure: The metric.
        labels: The truth, as :func:`treadle.evaluate.models.inputs.scored` gives it.
        scores: The scores, likewise.
        codes: The query of each row, for ``ndcg``.

    Raises:
        InvalidInput: If the rows don't define the metric: of one class, without any decision for true,
            without anything relevant.
    """
    if measure.metric == "roc_auc":
        return _auc(labels == 1, scores)
    if measure.metric == "macro_f1":
        return _macro_f1(labels, scores.argmax(axis=1))
    if measure.of_counts:
        return _of_counts(measure, labels == 1, scores >= measure.threshold)
    if measure.metric == "ndcg":
        assert codes is not None  # noqa: S101 - inputs are checked
        return _mean(defined(by_query(labels, scores, codes, measure.k)))
    values, among = row_values(measure, labels, scores)
    if measure.metric == "rmse":
        squares = _mean(values)
        root = float(np.sqrt(squares.value))
        return Linear(root, squares.deviations / (2 * root) if root else squares.deviations, squares.strata)
    return _mean(values, among)


def row_values(measure: Measure, labels: Floats, scores: Floats) -> tuple[Floats, Booleans | None]:
    """One value a row, whose mean is the metric (the mean square, for ``rmse``); and among which rows.

    ``log_loss`` is in nats with probabilities kept 1e-15 away from 0 and 1. Among the first ``k`` is a
    class that fewer than ``k`` others score at least as high as. None means among all rows.
    """
    metric = measure.metric
    if scores.ndim == 2:
        return _class_values(measure, labels.astype(np.intp), scores), None
    if metric == "log_loss":
        chance: Floats = np.clip(np.where(labels == 1, scores, 1 - scores), _CLIP, 1 - _CLIP)
        return -np.log(chance), None
    if metric in {"accuracy", "recall", "specificity"}:
        right: Floats = ((scores >= measure.threshold) == (labels == 1)).astype(np.float64)
        return right, None if metric == "accuracy" else labels == (metric == "recall")
    residual = scores - labels
    if metric == "mae":
        return np.abs(residual), None
    if metric == "pinball":  # Koenker & Bassett, Econometrica 46 (1978)
        return np.where(residual < 0, -measure.quantile * residual, (1 - measure.quantile) * residual), None
    return np.square(residual), None


def _class_values(measure: Measure, labels: Integers, scores: Floats) -> Floats:
    own: Floats = scores[np.arange(len(labels)), labels]
    if measure.metric == "log_loss":
        return -np.log(np.clip(own, _CLIP, 1 - _CLIP))
    if measure.metric == "accuracy":
        right: Booleans = scores.argmax(axis=1) == labels
    else:
        right = (scores >= own[:, None]).sum(axis=1) - 1 < measure.k
    return right.astype(np.float64)


def _mean(values: Floats, among: Booleans | None = None) -> Linear:
    if among is None:
        value = float(values.mean())
        return Linear(value, (values - value) / len(values), (np.ones(len(values), dtype=bool),))
    count = int(among.sum())
    if not count:
        raise InvalidInput("no row has the label that the metric is about", fix="judge on more rows")
    value = float(values[among].mean())
    return Linear(value, np.where(among, (values - value) / count, 0.0), (among,))


def _auc(positive: Booleans, scores: Floats) -> Linear:
    placed = _placements(positive, scores)
    value, count = float(placed[positive].mean()), int(positive.sum())
    sizes = np.where(positive, count, len(positive) - count)
    return Linear(value, (placed - value) / sizes, (positive, ~positive))


def _placements(positive: Booleans, scores: Floats) -> Floats:
    """DeLong's structural components: the share of the other class that each row is on the right side of.

    Ties count half. One sort, O(n log n).
    """
    if positive.all() or not positive.any():
        raise InvalidInput(
            f"all {len(positive):,} labels are {int(positive[0])}: an AUC needs both classes",
            fix="judge on more rows, or on a metric that one class defines, such as brier",
        )
    _, rank = np.unique(scores, return_inverse=True)
    ties = int(rank.max()) + 1
    high = np.bincount(rank[positive], minlength=ties)
    low = np.bincount(rank[~positive], minlength=ties)
    below, above = np.cumsum(low) - low / 2, high.sum() - np.cumsum(high) + high / 2
    placed: Floats = np.where(positive, below[rank] / low.sum(), above[rank] / high.sum())
    return placed


def _of_counts(measure: Measure, positive: Booleans, decided: Booleans) -> Linear:
    """Metrics of the four counts of decisions: ratios of sums, or a mean of such."""
    everything = np.ones(len(positive), dtype=bool)
    if measure.metric == "precision":
        value, deviations = _ratio(positive & decided, decided, "no row is decided true")
    elif measure.metric == "f1":
        either = positive.astype(np.intp) + decided
        value, deviations = _ratio(2 * (positive & decided), either, "no row is true or decided true")
    else:
        recall = _ratio(positive & decided, positive, "no row is true")
        passed = _ratio(~positive & ~decided, ~positive, "no row is false")
        value, deviations = (recall[0] + passed[0]) / 2, (recall[1] + passed[1]) / 2
    return Linear(value, deviations, (everything,))


def _ratio(above: Counts, below: Counts, undefined: str) -> tuple[float, Floats]:
    total = float(below.sum())
    if not total:
        raise InvalidInput(f"{undefined}, so that the metric isn't defined", fix="judge on more rows")
    value = float(above.sum()) / total
    deviations: Floats = (above - value * below) / total
    return value, deviations


def _macro_f1(labels: Floats, decided: Integers) -> Linear:
    """The mean F1 of the classes that occur among the labels."""
    truth = labels.astype(np.intp)
    classes = int(max(truth.max(), decided.max())) + 1
    count = np.bincount(truth, minlength=classes)
    either = count + np.bincount(decided, minlength=classes)
    hits = np.bincount(truth[truth == decided], minlength=classes)
    there = count > 0
    f1 = np.zeros(classes)
    f1[there] = 2 * hits[there] / either[there]
    weight = np.zeros(classes)
    weight[there] = 1 / either[there] / there.sum()
    # A row counts once for its own class and once for the one that it was decided to be.
    deviations = np.where(truth == decided, 2 * weight[truth], 0.0)
    deviations -= f1[truth] * weight[truth] + f1[decided] * weight[decided]
    return Linear(float(f1[there].mean()), deviations, (np.ones(len(truth), dtype=bool),))
