"""Intervals of metrics by their linear form, with Student's quantile.

Sources: Obuchowski, Biometrics 53 (1997), for AUCs of clustered rows; Brunner & Munzel, Biometrical
Journal 42 (2000), for the degrees of freedom of an AUC. Clusters: :mod:`treadle.evaluate.models.clustering`.
"""

from __future__ import annotations

import numpy as np

from treadle.evaluate.models.clustering import Averaged, Spread, spread, squared
from treadle.evaluate.models.inputs import Scored
from treadle.evaluate.models.linear import Linear, linearise
from treadle.evaluate.models.measures import Integers, Measure
from treadle.evaluate.types import Estimate
from treadle.kernel.errors import InvalidInput


def estimated(measure: Measure, rows: Scored, confidence: float) -> Estimate:
    """A metric's value with its two-sided interval, cut to the metric's range.

    Raises:
        InvalidInput: If the rows don't define it, or are too few for an interval.
    """
    found = linearise(measure, rows.labels, rows.ours, rows.codes)
    estimate = infer(measure, found, len(rows.labels), rows.codes, confidence, unsure=measure.bounded)
    low, high = max(estimate.low, 0.0), min(estimate.high, measure.top)
    return Estimate(estimate.value, estimate.se, low, high, estimate.n, estimate.clusters, estimate.df)


def gained(measure: Measure, rows: Scored, confidence: float) -> Estimate:
    """How much better ours are than theirs; positive is better, as for losses.

    Raises:
        InvalidInput: As :func:`estimated`.
    """
    ours = linearise(measure, rows.labels, rows.ours, rows.codes)
    theirs = linearise(measure, rows.labels, rows.theirs, rows.codes)
    sign = -1 if measure.loss else 1
    difference = Linear(
        sign * (ours.value - theirs.value),
        sign * (ours.deviations - theirs.deviations),
        (ours.weights + theirs.weights) / 2,
        ours.strata,
    )
    unsure = measure.bounded and not rows.same
    return infer(measure, difference, len(rows.labels), rows.codes, confidence, unsure=unsure)


def infer(
    measure: Measure, found: Linear, n: int, codes: Integers | None, confidence: float, *, unsure: bool
) -> Estimate:
    """The interval of a metric, or of a difference of two, from its linear form.

    Args:
        measure: The metric.
        found: Its linear form.
        n: How many rows there are.
        codes: The number of each row's cluster, from 0; None when rows are independent.
        confidence: Of the two-sided interval.
        unsure: Whether deviations without spread still leave doubt: 20 of 20 right may be 90 % right.
    """
    if measure.metric == "ndcg":
        codes = None  # queries are what was averaged
    variance, df, sizes = _of_rows(found) if codes is None else _of_clusters(found, codes)
    clusters = len(found.deviations) if codes is None else int(codes.max()) + 1
    if min(sizes) < 2:
        raise _too_few(measure, codes is not None, clusters)
    se = float(np.sqrt(variance))
    from scipy.special import stdtrit

    quantile = float(stdtrit(df, (1 + confidence) / 2))
    if unsure and se < 1e-12:
        # All of k independent comparisons came out alike: Clopper & Pearson's bound for k of k.
        alike = min(*sizes, clusters // 2) if len(sizes) == 2 else min(sizes)
        se = (1 - ((1 - confidence) / 2) ** (1 / alike)) / quantile
    width = quantile * se
    units = sizes[0] if len(sizes) == 1 else clusters
    return Estimate(found.value, se, found.value - width, found.value + width, n, units, df)


def _of_rows(found: Linear) -> tuple[float, float, tuple[int, ...]]:
    """The variance of independent rows, its degrees of freedom, and the rows of each stratum."""
    sizes = tuple(int(stratum.sum()) for stratum in found.strata)
    if min(sizes) < 2:
        return 0.0, 1.0, sizes
    parts = [
        size / (size - 1) * squared(found.deviations[stratum])
        for stratum, size in zip(found.strata, sizes, strict=True)
    ]
    variance, df = sum(parts), float(sizes[0] - 1 if len(sizes) == 1 else len(found.deviations) - 1)
    if len(sizes) == 2 and variance > 0:
        df = min(df, variance**2 / sum(v**2 / (s - 1) for v, s in zip(parts, sizes, strict=True)))
    return variance, df, sizes


def _of_clusters(found: Linear, codes: Integers) -> tuple[float, float, tuple[int, ...]]:
    """The same of clusters."""
    known = by_cluster(found, codes)
    return known.variance, min(known.df, float(codes.max())), known.sizes


def by_cluster(found: Linear, codes: Integers) -> Spread:
    """What a metric owes to each cluster; one with rows of both strata ties these together.

    Args:
        found: The metric's linear form.
        codes: The number of each row's cluster, from 0.
    """
    if len(found.strata) == 1:
        return spread([Averaged(found.deviations, found.weights)], codes)
    parts = [
        Averaged(np.where(stratum, found.deviations, 0.0), np.where(stratum, found.weights, 0.0))
        for stratum in found.strata
    ]
    return spread(parts, codes)


def _too_few(measure: Measure, clustered: bool, clusters: int) -> InvalidInput:
    of = " of each class" if measure.metric == "roc_auc" else ""
    if clustered:
        return InvalidInput(
            f"the rows form {clusters} cluster{'s' * (clusters != 1)}: an interval needs at least two"
            + (f" with rows{of}" if of else ""),
            where="[checks.performance] cluster",
            fix="take a cluster column with more values, or hold out more rows",
        )
    what = "queries with anything relevant" if measure.metric == "ndcg" else f"rows{of}"
    return InvalidInput(f"an interval needs at least two {what}", fix="judge on more rows")
