"""One comparison, or one figure, with the interval and test that suit its metric best.

================================  ==============================  ================================
metric                            rows independent                rows in clusters
================================  ==============================  ================================
shares of rows that are right     Tango's score interval, and     t, jackknife of clusters
(accuracy, recall, specificity,   McNemar's exact test of no
top_k_accuracy)                   difference
precision, f1,                    bootstrap of the counts         t, jackknife of clusters
balanced_accuracy
roc_auc                           DeLong                          DeLong, jackknife of clusters
macro_f1, rmse                    t of the linear form            t, jackknife of clusters
means of losses                   paired t                        t, jackknife of clusters
ndcg                              paired t of queries             the same
================================  ==============================  ================================

With a handful of rows that two models decide differently, the plain bootstrap's bound of a share errs
too often; Tango's keeps its level, so it decides where it applies. Of one model in clusters, what lies
between 0 and 1 is tested on the scale of the logit, as surveys do (Korn & Graubard, Survey Methodology 24,
1998): near either end the clusters' shares are skewed, and a plain t bound errs there too often.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from treadle.evaluate.models import cells, resampling
from treadle.evaluate.models.inferring import estimated, gained
from treadle.evaluate.models.inputs import Scored
from treadle.evaluate.models.linear import row_values
from treadle.evaluate.models.measures import Floats, Measure
from treadle.evaluate.models.proportions import (
    exact_interval,
    mcnemar_worse,
    score_interval,
    score_statistic,
)
from treadle.evaluate.skewness import p_value, reaches
from treadle.evaluate.types import Estimate


class Bootstrap(NamedTuple):
    """How resamples are drawn.

    Attributes:
        resamples: How many.
        seed: Of everything random.
    """

    resamples: int = 10_000
    seed: int = 0


class Tested(NamedTuple):
    """One test.

    Attributes:
        p_value: One-sided: small where the figure is below the line.
        statistic: The test's statistic.
    """

    p_value: float
    statistic: float


class Comparison(NamedTuple):
    """What was found, and how sure it is.

    Attributes:
        found: The figure (the gain over production, or the value) with both one-sided bounds.
        test: What was computed.
        below: Tests that the figure is at least a line.
        unit: What its units are, where they aren't those of the holdout.
        detail: What else is worth knowing, in words.
    """

    found: Estimate
    test: str
    below: Callable[[float], Tested]
    unit: str = ""
    detail: str = ""


def compare(measure: Measure, rows: Scored, confidence: float, bootstrap: Bootstrap) -> Comparison:
    """How much better the candidate is than production on the same rows.

    Args:
        measure: What is measured.
        rows: The rows with both models' scores.
        confidence: Of each one-sided bound.
        bootstrap: How resamples are drawn.

    Raises:
        InvalidInput: If the rows don't define the metric, or are too few for an interval.
    """
    level = 2 * confidence - 1
    linear = gained(measure, rows, level)
    if rows.same:
        return Comparison(linear, "the same scores", lambda line: _by_t(linear, line), _unit(measure, rows))
    if measure.proportion and rows.codes is None:
        return _shares(measure, rows, linear, level)
    if measure.of_counts and rows.codes is None:
        return _drawn(measure, rows, linear, level, bootstrap, paired=True)
    name = "DeLong" if measure.metric == "roc_auc" else "paired t"
    found = _possible(linear, -1.0) if measure.bounded else linear
    return Comparison(found, _named(name, rows), lambda line: _by_t(linear, line), _unit(measure, rows))


def assess(measure: Measure, rows: Scored, confidence: float, bootstrap: Bootstrap) -> Comparison:
    """How good the candidate is by itself; the arguments are as for :func:`compare`.

    Raises:
        InvalidInput: If the rows don't define the metric, or are too few for an interval.
    """
    level = 2 * confidence - 1
    linear = estimated(measure, rows, level)
    if (measure.proportion or measure.metric == "precision") and rows.codes is None:
        return _share(measure, rows, linear, level)
    if measure.of_counts and rows.codes is None:
        return _drawn(measure, rows, linear, level, bootstrap, paired=False)
    name = "DeLong" if measure.metric == "roc_auc" else "t"
    if measure.bounded and rows.codes is not None and measure.metric != "ndcg" and 0 < linear.value < 1:
        return _by_logit(linear, _named(name, rows), level)
    found = _possible(linear, 0.0) if measure.bounded else linear
    return Comparison(found, _named(name, rows), lambda line: _by_t(linear, line), _unit(measure, rows))


def _possible(found: Estimate, least: float) -> Estimate:
    """An estimate whose bounds lie no further out than the figure can."""
    return msgspec.structs.replace(found, low=max(found.low, least), high=min(found.high, 1.0))


def _named(test: str, rows: Scored) -> str:
    return test if rows.codes is None else f"{test}, by cluster"


def _unit(measure: Measure, rows: Scored) -> str:
    """What is sampled, where it is not simply rows or clusters."""
    if measure.metric == "ndcg":
        return "queries"
    if rows.codes is not None or measure.metric not in {"recall", "specificity"}:
        return ""
    return "true rows" if measure.metric == "recall" else "false rows"


def _by_t(found: Estimate, line: float) -> Tested:
    distance = found.value - line
    if found.se == 0:
        return Tested(0.0 if distance < 0 else 1.0, math.copysign(math.inf, distance) if distance else 0.0)
    statistic = distance / found.se
    return Tested(p_value(statistic, found.df, found.tilt), statistic)


def _by_logit(found: Estimate, test: str, level: float) -> Comparison:
    """A figure between 0 and 1, with its t interval on the scale of the logit."""
    from scipy.special import expit, logit

    slope = found.value * (1 - found.value)
    middle, se = float(logit(found.value)), found.se / slope
    tilted = found.tilt.bent((2 * found.value - 1) * se)
    down, up = reaches((1 - level) / 2, found.df, tilted)
    low, high = float(expit(middle - down * se)), float(expit(middle + up * se))

    def below(line: float) -> Tested:
        if not 0 < line < 1:
            return Tested(float(line <= 0), _by_t(found, line).statistic)
        statistic = (middle - float(logit(line))) / se
        return Tested(p_value(statistic, found.df, tilted), statistic)

    estimate = msgspec.structs.replace(found, low=low, high=high, tilt=tilted)
    return Comparison(estimate, f"{test}, on the logit's scale", below)


def _shares(measure: Measure, rows: Scored, linear: Estimate, level: float) -> Comparison:
    """Two shares of the same rows."""
    ours, among = row_values(measure, rows.labels, rows.ours)
    theirs, _ = row_values(measure, rows.labels, rows.theirs)
    moved = ours - theirs if among is None else (ours - theirs)[among]
    won, lost, n = int((moved > 0).sum()), int((moved < 0).sum()), len(moved)
    low, high = score_interval(won, lost, n, level)
    exact = mcnemar_worse(won, lost)

    def below(line: float) -> Tested:
        statistic = score_statistic(won, lost, n, line)
        if line == 0:
            return Tested(exact, statistic)
        from scipy.special import ndtr

        return Tested(float(ndtr(statistic)), statistic)

    found = Estimate(linear.value, _se(linear, won + lost, low, high, level), low, high, linear.n, n, n - 1.0)
    detail = f"right on {won:,} that it had wrong, wrong on {lost:,} that it had right"
    p_value = f"McNemar's exact p for worse {exact:.2g}"
    return Comparison(found, "Tango score", below, _unit(measure, rows), f"{detail}; {p_value}")


def _se(linear: Estimate, differing: int, low: float, high: float, level: float) -> float:
    """The standard error; without any spread, that which gives as wide an interval."""
    if differing and linear.se > 0:
        return linear.se
    from scipy.special import ndtri

    return (high - low) / 2 / float(ndtri((1 + level) / 2))


def _share(measure: Measure, rows: Scored, linear: Estimate, level: float) -> Comparison:
    """One share of rows."""
    if measure.metric == "precision":
        chosen = rows.ours >= measure.threshold
        right: Floats = rows.labels[chosen]
    else:
        values, among = row_values(measure, rows.labels, rows.ours)
        right = values if among is None else values[among]
    hits, n = int(right.sum()), len(right)
    low, high = exact_interval(hits, n, level)
    se = _se(linear, hits * (n - hits), low, high, level)
    found = Estimate(linear.value, se, low, high, linear.n, n, n - 1.0)

    def below(line: float) -> Tested:
        from scipy.special import bdtr

        return Tested(float(bdtr(hits, n, line)) if 0 < line < 1 else float(hits / n >= line), float(hits))

    unit = "rows decided true" if measure.metric == "precision" else _unit(measure, rows)
    return Comparison(found, "Clopper-Pearson", below, unit)


def _drawn(
    measure: Measure, rows: Scored, linear: Estimate, level: float, bootstrap: Bootstrap, *, paired: bool
) -> Comparison:
    """A ratio of counts, by resamples of them."""
    decided = (scores >= measure.threshold for scores in (rows.ours, rows.theirs))
    counts = cells.count(rows.labels == 1, *decided)
    draws = resampling.of_rows(measure.metric, counts, *bootstrap, paired=paired)
    low, high = draws.bounds(level)
    se = float(draws.values.std())
    found = Estimate(linear.value, se, low, high, linear.n, linear.clusters, linear.df)

    def below(line: float) -> Tested:
        return Tested(draws.p_value(line), (linear.value - line) / se if se else 0.0)

    return Comparison(found, f"bootstrap, {bootstrap.resamples:,} counts", below)
