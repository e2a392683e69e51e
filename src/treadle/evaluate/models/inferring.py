"""Intervals of metrics by their linear form, with Student's quantile, moved outwards for skewness.

Sources: Obuchowski, Biometrics 53 (1997), for AUCs of clustered rows; Brunner & Munzel, Biometrical
Journal 42 (2000), for the degrees of freedom of an AUC. Clusters: :mod:`treadle.evaluate.models.clustering`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from treadle.evaluate.models.clustering import Averaged, Spread, satterthwaite, spread, squared
from treadle.evaluate.models.inputs import Scored
from treadle.evaluate.models.linear import Linear, linearise
from treadle.evaluate.models.measures import Floats, Measure
from treadle.evaluate.models.weighing import weights
from treadle.evaluate.skewness import NONE, Sample, Tilt, reaches, tilt
from treadle.evaluate.types import Estimate
from treadle.kernel.errors import InvalidInput


def estimated(measure: Measure, rows: Scored, confidence: float) -> Estimate:
    """A metric's value with its two-sided interval, cut to the metric's range.

    Raises:
        InvalidInput: If the rows don't define it, or are too few for an interval.
    """
    found = linearise(measure, rows.labels, rows.ours, rows.codes)
    estimate = infer(measure, rows, found, [rows.ours], confidence, unsure=measure.bounded)
    low, high = max(estimate.low, 0.0), min(estimate.high, measure.top)
    return msgspec.structs.replace(estimate, low=low, high=high)


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
        ours.strata,
    )
    unsure = measure.bounded and not rows.same
    return infer(measure, rows, difference, [rows.ours, rows.theirs], confidence, unsure=unsure)


def infer(
    measure: Measure,
    rows: Scored,
    found: Linear,
    scores: Sequence[Floats],
    confidence: float,
    *,
    unsure: bool,
) -> Estimate:
    """The interval of a metric, or of a difference of two, from its linear form.

    Args:
        measure: The metric.
        rows: The rows.
        found: Its linear form.
        scores: Those that it was computed of.
        confidence: Of the two-sided interval.
        unsure: Whether deviations without spread still leave doubt: 20 of 20 right may be 90 % right.
    """
    codes = None if measure.metric == "ndcg" else rows.codes  # of a ranking queries are what was averaged
    if codes is None:
        variance, df, sizes, tilted = _of_rows(found)
    else:
        known = by_cluster(measure, rows, found, scores)
        variance, df, sizes = known.variance, min(known.df, float(codes.max())), known.sizes
        tilted = known.tilt
    clusters = len(found.deviations) if codes is None else int(codes.max()) + 1
    if min(sizes) < 2:
        raise _too_few(measure, codes is not None, clusters)
    se = float(np.sqrt(variance))
    from scipy.special import stdtrit

    quantile = float(stdtrit(df, (1 + confidence) / 2))
    if unsure and se < 1e-12:
        # All of k independent comparisons came out alike: Clopper & Pearson's bound for k of k.
        alike = min(*sizes, clusters // 2) if len(sizes) == 2 else min(sizes)
        se, tilted = (1 - ((1 - confidence) / 2) ** (1 / alike)) / quantile, NONE
    below, above = reaches((1 - confidence) / 2, df, tilted)
    units = sizes[0] if len(sizes) == 1 else clusters
    low, high = found.value - below * se, found.value + above * se
    return Estimate(found.value, se, low, high, len(rows.labels), units, df, tilted)


def _of_rows(found: Linear) -> tuple[float, float, tuple[int, ...], Tilt]:
    """The variance of independent rows, its degrees of freedom, the rows of each stratum, the skewness."""
    sizes = tuple(int(stratum.sum()) for stratum in found.strata)
    if min(sizes) < 2:
        return 0.0, 1.0, sizes, NONE
    own = [found.deviations[stratum] for stratum in found.strata]
    parts = [size / (size - 1) * squared(one) for one, size in zip(own, sizes, strict=True)]
    tilted = tilt([Sample(one) for one in own])
    variance, df = sum(parts), float(sizes[0] - 1 if len(sizes) == 1 else len(found.deviations) - 1)
    if len(sizes) == 2 and variance > 0:
        df = min(df, satterthwaite(parts, [size - 1 for size in sizes]))
    return variance, df, sizes, tilted


def by_cluster(measure: Measure, rows: Scored, found: Linear, scores: Sequence[Floats]) -> Spread:
    """What a metric owes to each cluster; one with rows of both strata ties these together.

    Args:
        measure: The metric.
        rows: The rows, in clusters.
        found: Its linear form, or that of a difference.
        scores: Those that it was computed of.
    """
    assert rows.codes is not None  # noqa: S101 - whoever asks has looked
    shares = np.mean([weights(measure, rows.labels, one) for one in scores], axis=0)
    if len(found.strata) == 1:
        return spread([Averaged(found.deviations, shares)], rows.codes)
    parts = [
        Averaged(np.where(stratum, found.deviations, 0.0), np.where(stratum, shares, 0.0))
        for stratum in found.strata
    ]
    return spread(parts, rows.codes)


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
