"""Intervals of metrics by their linear form, with Student's quantile.

Sources: Obuchowski, Biometrics 53 (1997), for AUCs of clustered rows; Brunner & Munzel, Biometrical
Journal 42 (2000), for the degrees of freedom of an AUC.
"""

from __future__ import annotations

import numpy as np

from treadle.evaluate.models.inputs import Scored
from treadle.evaluate.models.linear import Linear, linearise
from treadle.evaluate.models.measures import Booleans, Floats, Integers, Measure
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
        sign * (ours.value - theirs.value), sign * (ours.deviations - theirs.deviations), ours.strata
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
    clusters = len(found.deviations) if codes is None else int(codes.max()) + 1
    sums, sizes = [], []
    for stratum in found.strata:
        total, size = _by_cluster(found.deviations, stratum, codes, clusters)
        if size < 2:
            raise _too_few(measure, codes is not None, clusters)
        sums.append(total)
        sizes.append(size)
    parts = [size / (size - 1) * _squared(one) for one, size in zip(sums, sizes, strict=True)]
    variance, df = sum(parts), float(min(clusters, *sizes) - 1 if len(sizes) == 1 else clusters - 1)
    if len(parts) == 2:
        if variance > 0:
            df = min(df, variance**2 / sum(v**2 / (s - 1) for v, s in zip(parts, sizes, strict=True)))
        if codes is not None:
            # Obuchowski's S11: a cluster with rows of both classes ties the two parts together.
            shared = float(sums[0] @ sums[1])
            variance = max(variance + 2 * clusters / (clusters - 1) * shared, 0.0)
    se = float(np.sqrt(variance))
    from scipy.special import stdtrit

    quantile = float(stdtrit(df, (1 + confidence) / 2))
    if unsure and se < 1e-12:
        # All of k independent comparisons came out alike: Clopper & Pearson's bound for k of k.
        alike = min(*sizes, clusters // 2) if len(parts) == 2 else min(sizes)
        se = (1 - ((1 - confidence) / 2) ** (1 / alike)) / quantile
    width = quantile * se
    units = sizes[0] if len(sizes) == 1 else clusters
    return Estimate(found.value, se, found.value - width, found.value + width, n, units, df)


def _squared(values: Floats) -> float:
    """The sum of squares. Not by BLAS: its threads would cost more than they save."""
    return float(np.einsum("i,i->", values, values))


def _by_cluster(
    deviations: Floats, stratum: Booleans, codes: Integers | None, clusters: int
) -> tuple[Floats, int]:
    """The deviation of each cluster (each row of the stratum without), and how many there are."""
    chosen = deviations[stratum]
    if codes is None:
        return chosen, len(chosen)
    which = codes[stratum]
    there = np.bincount(which, minlength=clusters) > 0
    return np.bincount(which, chosen, minlength=clusters).astype(np.float64), int(there.sum())


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
