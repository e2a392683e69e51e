"""How good scores are, with an interval; and how much better than others on the same rows.

Every figure allows for rows that stand or fall together: give ``clusters`` and the
cluster, not the row, is the unit that is sampled.

Sources: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), for the variance of an AUC;
Sun & Xu, IEEE Signal Processing Letters 21 (2014), for computing it by one sort;
Obuchowski, Biometrics 53 (1997), for clustered rows; Brunner & Munzel, Biometrical
Journal 42 (2000), for the degrees of freedom.
"""

from __future__ import annotations

from types import NoneType

import numpy as np
import numpy.typing as npt

from treadle.evaluate.types import Estimate
from treadle.kernel.config.base import Metric
from treadle.kernel.errors import InvalidInput

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

_LOSSES = frozenset({"log_loss", "brier", "mae", "mse"})
_NUMBERS = frozenset({"mae", "mse"})
# Where a sample without any spread is no proof of certainty: 20 of 20 right may be 90 % right.
_BOUNDED = frozenset({"roc_auc", "accuracy"})
_PLAIN = (bool, int, float, np.bool_, np.integer, np.floating, NoneType)
_CLIP = 1e-15


def is_loss(metric: Metric) -> bool:
    """Whether smaller is better."""
    return metric in _LOSSES


def estimate(
    metric: Metric,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """A metric's value, with its standard error and two-sided interval.

    ``roc_auc`` by DeLong's structural components, summed by cluster after Obuchowski; the
    others as the mean of a value a row (``log_loss`` in nats with probabilities kept 1e-15
    away from 0 and 1; ``accuracy`` at 0.5) with a cluster-robust standard error. The
    quantile is Student's: clusters - 1 degrees of freedom, for ``roc_auc`` Satterthwaite's
    if those are fewer. An AUC or accuracy without any spread (all right, say) gets the
    exact binomial width instead of none. The interval is cut to the metric's range.

    Args:
        metric: What to measure.
        labels: The truth: 0 or 1 (or booleans), numbers for ``mae`` and ``mse``.
        scores: The probability of a true label, or the predicted number. ``roc_auc`` takes any score.
        clusters: What each row belongs to; rows are independent when None.
        confidence: Of the interval. For one-sided bounds at level c give ``2 * c - 1``.

    Raises:
        InvalidInput: If there are no rows, unequal lengths, missing or infinite values, labels
            or probabilities out of range, fewer than two clusters, or (``roc_auc``) fewer than
            two clusters with rows of each class.
    """
    truth, predicted = _labels(metric, labels), _scores(metric, scores)
    codes = _codes(clusters, truth, predicted)
    found = _infer(
        metric, truth, _components(metric, truth, predicted), codes, confidence, metric in _BOUNDED
    )
    top = np.inf if metric in {"log_loss", "mae", "mse"} else 1.0
    low, high = max(found.low, 0.0), min(found.high, top)
    return Estimate(found.value, found.se, low, high, found.n, found.clusters, found.df)


def paired_difference(
    metric: Metric,
    labels: npt.ArrayLike,
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """How much better ``scores_a`` are than ``scores_b`` on the same rows: positive is better, as for losses.

    The standard error is that of the difference of the two scores' components row by row,
    so what makes a row hard for both cancels out. Identical scores differ by exactly 0.

    Args:
        metric: What to measure.
        labels: The truth, as in :func:`estimate`.
        scores_a: The one's scores.
        scores_b: The other's scores.
        clusters: What each row belongs to; rows are independent when None.
        confidence: Of the two-sided interval.

    Raises:
        InvalidInput: As :func:`estimate`.
    """
    truth = _labels(metric, labels)
    a, b = _scores(metric, scores_a), _scores(metric, scores_b)
    codes = _codes(clusters, truth, a, b)
    better = _components(metric, truth, a) - _components(metric, truth, b)
    unsure = metric in _BOUNDED and not np.array_equal(a, b)
    return _infer(metric, truth, -better if is_loss(metric) else better, codes, confidence, unsure)


def _components(metric: Metric, labels: Floats, scores: Floats) -> Floats:
    """One value a row, whose mean (``roc_auc``: mean within each class) is the metric."""
    if metric == "roc_auc":
        return _placements(labels == 1, scores)
    if metric == "accuracy":
        right: npt.NDArray[np.bool_] = (scores >= 0.5) == (labels == 1)
        return right.astype(np.float64)
    if metric == "log_loss":
        chance: Floats = np.clip(np.where(labels == 1, scores, 1 - scores), _CLIP, 1 - _CLIP)
        return -np.log(chance)
    residual = scores - labels
    return np.abs(residual) if metric == "mae" else np.square(residual)


def _placements(positive: npt.NDArray[np.bool_], scores: Floats) -> Floats:
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


def _infer(
    metric: Metric, labels: Floats, values: Floats, codes: Integers | None, confidence: float, unsure: bool
) -> Estimate:
    """The mean of components with its interval.

    Args:
        metric: Says whether components are averaged overall or within each class.
        labels: The truth.
        values: The components.
        codes: The number of each row's cluster, from 0.
        confidence: Of the interval.
        unsure: Whether components without spread still leave doubt.
    """
    classes = [labels == 1, labels == 0] if metric == "roc_auc" else [np.ones(len(labels), dtype=bool)]
    clusters = len(labels) if codes is None else int(codes.max()) + 1
    value = float(values[classes[0]].mean())
    deviations, parts, sizes = [], [], []
    for chosen in classes:
        which = None if codes is None else codes[chosen]
        size = int(chosen.sum()) if which is None else len(np.unique(which))
        if size < 2:
            raise _too_few(metric, codes is not None, clusters)
        residual = (values[chosen] - value) / int(chosen.sum())
        sums = residual if which is None else np.bincount(which, residual, minlength=clusters)
        deviations.append(sums)
        parts.append(size / (size - 1) * float(sums @ sums))
        sizes.append(size)
    variance, df = sum(parts), float(clusters - 1)
    if len(classes) == 2:
        if variance > 0:
            df = min(df, variance**2 / sum(v**2 / (s - 1) for v, s in zip(parts, sizes, strict=True)))
        if codes is not None:
            # Obuchowski's S11: a cluster with rows of both classes ties the two parts together.
            shared = float(deviations[0] @ deviations[1])
            variance = max(variance + 2 * clusters / (clusters - 1) * shared, 0.0)
    se = float(np.sqrt(variance))
    from scipy.special import stdtrit

    quantile = float(stdtrit(df, (1 + confidence) / 2))
    if unsure and se < 1e-12:
        # All of k independent comparisons came out alike: Clopper & Pearson's bound for k of k.
        alike = min(*sizes, clusters // 2) if len(classes) == 2 else clusters
        se = (1 - ((1 - confidence) / 2) ** (1 / alike)) / quantile
    width = quantile * se
    return Estimate(value, se, value - width, value + width, len(labels), clusters, df)


def _too_few(metric: Metric, clustered: bool, clusters: int) -> InvalidInput:
    of = " of each class" if metric == "roc_auc" else ""
    if clustered:
        return InvalidInput(
            f"the rows form {clusters} cluster{'s' * (clusters != 1)}: an interval needs at least two"
            + (f" with rows{of}" if of else ""),
            where="[checks.performance] cluster",
            fix="take a cluster column with more values, or hold out more rows",
        )
    return InvalidInput(f"an interval needs at least two rows{of}", fix="judge on more rows")


def _labels(metric: Metric, labels: npt.ArrayLike) -> Floats:
    values = _floats("label", labels)
    if metric not in _NUMBERS and not np.isin(values, (0, 1)).all():
        odd = values[~np.isin(values, (0, 1))][0]
        raise InvalidInput(f"{metric} takes labels 0 and 1; one is {odd:g}")
    return values


def _scores(metric: Metric, scores: npt.ArrayLike) -> Floats:
    values = _floats("score", scores)
    if metric not in _NUMBERS and metric != "roc_auc" and (values.min() < 0 or values.max() > 1):
        odd = values[(values < 0) | (values > 1)]
        raise InvalidInput(
            f"{metric} takes probabilities from 0 to 1; {len(odd):,} scores are not, such as {odd[0]:g}",
            fix="have the model give the probability of a true label",
        )
    return values


def _floats(what: str, given: npt.ArrayLike) -> Floats:
    array = np.asanyarray(given)
    plain = array.dtype.kind in "biuf" or all(isinstance(one, _PLAIN) for one in array.flat)
    if not plain:
        raise InvalidInput(f"the {what}s are not numbers")
    values = np.asarray(array, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise InvalidInput(f"there are no {what}s" if not values.size else f"the {what}s are not one column")
    bad = np.ma.getmaskarray(array) | ~np.isfinite(values)
    if bad.any():
        raise InvalidInput(
            f"{int(bad.sum()):,} of {len(values):,} {what}s are missing, NaN or infinite",
            where=f"row {int(bad.argmax())}",
        )
    return values


def _codes(clusters: npt.ArrayLike | None, labels: Floats, *scores: Floats) -> Integers | None:
    """Clusters as numbers from 0, after the lengths were compared."""
    for values in scores:
        if len(values) != len(labels):
            raise InvalidInput(f"there are {len(labels):,} labels and {len(values):,} scores")
    if clusters is None:
        return None
    array = np.asanyarray(clusters)
    values = np.asarray(array)
    if values.shape != labels.shape:
        raise InvalidInput(f"there are {len(labels):,} labels and {values.size:,} cluster values")
    missing = np.ma.getmaskarray(array)
    if values.dtype.kind in "fMm":
        missing |= np.isnat(values) if values.dtype.kind in "Mm" else np.isnan(values)
    elif values.dtype.kind == "O":
        missing |= np.array([value is None for value in values])
    if missing.any():
        raise InvalidInput(
            f"{int(missing.sum()):,} rows have no cluster",
            where="[checks.performance] cluster",
            fix="fill the column, or leave those rows out",
        )
    return np.unique(values, return_inverse=True)[1]
