"""What is measured of each group, and its difference from the reference group's. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.bias.shares import (
    Share,
    difference_interval,
    difference_z,
    ratio_interval,
    ratio_z,
)
from treadle.evaluate.models.clustering import Averaged, spread, too_few
from treadle.evaluate.skewness import NONE, Sample, Tilt, p_value, reaches, tilt
from treadle.kernel.config.checks import BiasMeasure

Rows = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

PARTS: dict[BiasMeasure, tuple[str, ...]] = {
    "demographic_parity": ("selection rate",),
    "equal_opportunity": ("true positive rate",),
    "equalised_odds": ("true positive rate", "false positive rate"),
    "predictive_parity": ("precision",),
}
"""The rates that a measure compares."""


class Judged(NamedTuple):
    """Rows as bias is judged on them.

    Attributes:
        labels: The truth.
        decisions: What the model decides.
        clusters: The number of each row's cluster; None when rows are independent.
    """

    labels: Rows
    decisions: Rows
    clusters: Codes | None


class Gap(NamedTuple):
    """How far a group's rate is from the reference group's, held against a limit on either side.

    Attributes:
        value: The difference, or the ratio.
        low: Lower end of its interval.
        high: Upper end of its interval.
        inside: P-value of the hypothesis that it is at or beyond a limit; small where it surely isn't.
        outside: P-value of the hypothesis that it is within the limits; small where it surely isn't.
        none: Two-sided p-value of the hypothesis that there is no gap.
        statistic: The statistic of that.
        se: A standard error, to say how many rows would decide; 0 where there is none.
        df: Its degrees of freedom.
        tilt: How skewed the difference is.
    """

    value: float
    low: float
    high: float
    inside: float
    outside: float
    none: float
    statistic: float
    se: float
    df: float = math.inf
    tilt: Tilt = NONE


def base(rate: str, rows: Judged) -> tuple[Rows, Rows]:
    """Among which rows a rate is taken, and which of them it counts."""
    if rate == "selection rate":
        return np.ones(len(rows.labels), dtype=bool), rows.decisions
    if rate == "true positive rate":
        return rows.labels, rows.decisions
    if rate == "false positive rate":
        return ~rows.labels, rows.decisions
    return rows.decisions, rows.labels


def share(rate: str, rows: Judged, among: Rows) -> Share | None:
    """A rate among some rows; None where there is no row that it is taken of."""
    of, counted = base(rate, rows)
    n = int((of & among).sum())
    return Share(int((of & among & counted).sum()), n) if n else None


def difference(one: Share, other: Share, limit: float, confidence: float) -> Gap:
    """A difference of two independent shares, by score tests."""
    low, high = difference_interval(one, other, confidence)
    upper, lower, none = (difference_z(one, other, line) for line in (limit, -limit, 0.0))
    se = math.sqrt(sum(s.value * (1 - s.value) / s.n for s in (one, other)))
    return _gap(one.value - other.value, (low, high), (upper, lower, none), se)


def ratio(one: Share, other: Share, limit: float, confidence: float) -> Gap:
    """A ratio of two independent shares, by score tests; the limits are ``limit`` and its inverse."""
    upper, lower, none = (ratio_z(one, other, line) for line in (1 / limit, limit, 1.0))
    value = one.value / other.value if other.x else math.inf if one.x else 1.0
    return _gap(value, ratio_interval(one, other, confidence), (upper, lower, none), 0.0)


def within(
    rows: Judged, one: Rows, other: Rows, strata: Codes, limit: float, confidence: float
) -> Gap | None:
    """A difference of selection rates within strata, weighted after Mantel and Haenszel.

    Its variance is Sato's (Biometrics 45, 1989), which holds for few large strata and for many
    small ones. None where no stratum has rows of both groups.
    """
    most = int(strata.max()) + 1
    counts = [np.bincount(strata[group], minlength=most) for group in (one, other)]
    selected = [np.bincount(strata[group & rows.decisions], minlength=most) for group in (one, other)]
    shared = (counts[0] > 0) & (counts[1] > 0)
    if not shared.any():
        return None
    n, m = (count[shared].astype(np.float64) for count in counts)
    x, y = (count[shared].astype(np.float64) for count in selected)
    weights = n * m / (n + m)
    value = float((weights * (x / n - y / m)).sum() / weights.sum())
    if rows.clusters is not None:
        share_of = np.zeros(len(counts[0]))
        share_of[shared] = weights / weights.sum()
        parts = []
        for sign, group, count, chosen in zip((1, -1), (one, other), counts, selected, strict=True):
            means = np.divide(chosen, count, out=np.zeros(len(count)), where=count > 0)
            part = Averaged(np.zeros(len(strata)), np.zeros(len(strata)))
            part.weights[group] = (share_of / np.maximum(count, 1))[strata[group]]
            part.deviations[group] = sign * (rows.decisions[group] - means[strata[group]])
            parts.append(part._replace(deviations=part.deviations * part.weights))
        return apart(value, parts, rows.clusters, limit, confidence)
    p = (n**2 * y - m**2 * x + n * m * (m - n) / 2) / (n + m) ** 2
    q = (x * (m - y) + y * (n - x)) / (2 * (n + m))
    se = math.sqrt(max(float((value * p + q).sum()), 0.0)) / float(weights.sum())
    return _wald(value, se, limit, confidence)


def clustered(rate: str, rows: Judged, one: Rows, other: Rows, limit: float, confidence: float) -> Gap | None:
    """A difference of two rates where rows of a cluster stand or fall together.

    Each rate is a ratio of sums over clusters, whose influence on the difference is summed by cluster
    (Binder, International Statistical Review 51, 1983); see :mod:`treadle.evaluate.models.clustering`.
    None where clusters are too few.
    """
    assert rows.clusters is not None  # noqa: S101 - whoever asks has looked
    (p, mine), (q, theirs) = (averaged(rate, rows, group) for group in (one, other))
    parts = [mine, theirs._replace(deviations=-theirs.deviations)]
    return apart(p - q, parts, rows.clusters, limit, confidence)


def clustered_ratio(rows: Judged, one: Rows, other: Rows, limit: float, confidence: float) -> Gap | None:
    """A ratio of two selection rates where rows of a cluster stand or fall together, by its logarithm.

    None where clusters are too few, or a group has nothing selected.
    """
    assert rows.clusters is not None  # noqa: S101 - whoever asks has looked
    (p, mine), (q, theirs) = (averaged("selection rate", rows, group) for group in (one, other))
    if not p or not q:
        return None
    parts = [
        mine._replace(deviations=mine.deviations / p),
        theirs._replace(deviations=-theirs.deviations / q),
    ]
    gap = apart(math.log(p / q), parts, rows.clusters, -math.log(limit), confidence)
    return gap and gap._replace(value=p / q, low=math.exp(gap.low), high=math.exp(gap.high), se=0.0)


def averaged(rate: str, rows: Judged, among: Rows) -> tuple[float, Averaged]:
    """A rate among some rows, and what each row contributes to it; there must be one that it is taken of."""
    of, counted = base(rate, rows)
    weights = (of & among) / (of & among).sum()
    value = float(weights @ counted)
    return value, Averaged(weights * (counted - value), weights)


def off_calibration(
    labels: Floats, scores: Floats, clusters: Codes | None, among: Rows, limit: float, confidence: float
) -> Gap | None:
    """How much more often a label is true than the probabilities say, on average; None with too few rows."""
    residuals = labels[among] - scores[among]
    value, n = float(residuals.mean()), len(residuals)
    if clusters is not None:
        weights = among / n
        part = Averaged(weights * (labels - scores - value), weights)
        return apart(value, [part], clusters, limit, confidence)
    if n < 2:
        return None
    se, tilted = float(residuals.std(ddof=1)) / math.sqrt(n), tilt([Sample(residuals - value)])
    return _wald(value, se, limit, confidence, n - 1.0, tilted)


def apart(
    value: float, parts: Sequence[Averaged], clusters: Codes, limit: float, confidence: float
) -> Gap | None:
    """A difference of averages over rows in clusters; None with too few clusters."""
    known = spread(parts, clusters)
    if too_few(min(known.sizes), known.df, "clusters"):
        return None
    return _wald(value, math.sqrt(known.variance), limit, confidence, known.df, known.tilt)


def _wald(
    value: float, se: float, limit: float, confidence: float, df: float = math.inf, tilted: Tilt = NONE
) -> Gap:
    down, up = reaches((1 - confidence) / 2, df, tilted)
    upper, lower, none = (
        (value - line) / se if se else math.copysign(math.inf, value - line) if value != line else 0.0
        for line in (limit, -limit, 0.0)
    )
    return _gap(value, (value - down * se, value + up * se), (upper, lower, none), se, df, tilted)


def _gap(
    value: float,
    interval: tuple[float, float],
    statistics: tuple[float, float, float],
    se: float,
    df: float = math.inf,
    tilted: Tilt = NONE,
) -> Gap:
    """P-values of statistics against the upper limit, the lower one, and no gap.

    Beyond the limits: the chance of a gap as large on either side where the true one is at a limit.
    """

    def below(statistic: float) -> float:
        return p_value(statistic, df, tilted)

    def above(statistic: float) -> float:
        return p_value(-statistic, df, tilted.mirrored)

    upper, lower, none = statistics
    inside = max(below(upper), above(lower))
    outside = above(upper) + above(lower) if none >= 0 else below(lower) + below(upper)
    nothing = 2 * min(below(none), above(none))
    return Gap(value, *interval, inside, min(outside, 1.0), min(nothing, 1.0), none, se, df, tilted)
