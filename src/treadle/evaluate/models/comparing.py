"""One comparison, or one figure, with the interval and test that suit its metric best.

================================  ==============================  ================================
metric                            rows independent                rows in clusters
================================  ==============================  ================================
shares of rows that are right     Tango's score interval, and     t, cluster-robust
(accuracy, recall, specificity,   McNemar's exact test of no
top_k_accuracy)                   difference
precision, f1,                    bootstrap of the counts         bootstrap of clusters' counts
balanced_accuracy
roc_auc                           DeLong                          DeLong, by cluster (Obuchowski)
macro_f1, rmse                    t of the linear form            t, cluster-robust
means of losses                   paired t                        t, cluster-robust
ndcg                              paired t of queries             the same
================================  ==============================  ================================

With a handful of rows that two models decide differently, the plain bootstrap's bound of a share errs
too often; Tango's keeps its level, so it decides where it applies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

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
from treadle.evaluate.types import Estimate

_MOST_DRAWS = 200_000_000


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
    if measure.of_counts:
        draws = _draws(measure, rows, bootstrap, paired=True)
        if draws is not None:
            return _drawn(linear, draws, level, bootstrap.resamples)
    name = "DeLong" if measure.metric == "roc_auc" else "paired t"
    return Comparison(linear, _named(name, rows), lambda line: _by_t(linear, line), _unit(measure, rows))


def assess(measure: Measure, rows: Scored, confidence: float, bootstrap: Bootstrap) -> Comparison:
    """How good the candidate is by itself; the arguments are as for :func:`compare`.

    Raises:
        InvalidInput: If the rows don't define the metric, or are too few for an interval.
    """
    level = 2 * confidence - 1
    linear = estimated(measure, rows, level)
    if (measure.proportion or measure.metric == "precision") and rows.codes is None:
        return _share(measure, rows, linear, level)
    if measure.of_counts:
        draws = _draws(measure, rows, bootstrap, paired=False)
        if draws is not None:
            return _drawn(linear, draws, level, bootstrap.resamples)
    name = "DeLong" if measure.metric == "roc_auc" else "t"
    return Comparison(linear, _named(name, rows), lambda line: _by_t(linear, line), _unit(measure, rows))


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
    from scipy.special import stdtr

    statistic = distance / found.se
    return Tested(float(stdtr(found.df, statistic)), statistic)


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


def _draws(measure: Measure, rows: Scored, bootstrap: Bootstrap, *, paired: bool) -> resampling.Draws | None:
    """Resamples; None where they tell nothing, or would take too long (many clusters, all different)."""
    counts = cells.count(measure, rows)
    if rows.codes is None:
        return resampling.of_rows(measure.metric, counts, bootstrap.resamples, bootstrap.seed, paired=paired)
    if len(np.unique(counts, axis=0)) * bootstrap.resamples > _MOST_DRAWS:
        return None
    draws = resampling.of_clusters(measure.metric, counts, bootstrap.resamples, bootstrap.seed, paired=paired)
    return draws if draws.values[0] < draws.values[-1] else None


def _drawn(linear: Estimate, draws: resampling.Draws, level: float, resamples: int) -> Comparison:
    low, high = draws.bounds(level)
    se = float(draws.values.std())
    found = Estimate(linear.value, se, low, high, linear.n, linear.clusters, linear.df)

    def below(line: float) -> Tested:
        return Tested(draws.p_value(line), (linear.value - line) / se if se else 0.0)

    return Comparison(found, f"bootstrap, {resamples:,} {'clusters' if draws.expand else 'counts'}", below)
