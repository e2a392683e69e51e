"""How good scores are, with an interval; and how much better than others on the same rows.

Every figure allows for rows that stand or fall together: give ``clusters`` and the
cluster, not the row, is the unit that is sampled.
"""

from __future__ import annotations

import numpy.typing as npt

from treadle.evaluate.models.inferring import estimated, gained
from treadle.evaluate.models.inputs import scored
from treadle.evaluate.models.measures import Measure
from treadle.evaluate.types import Estimate
from treadle.kernel.config.base import Metric


def is_loss(metric: Metric) -> bool:
    """Whether smaller is better."""
    return Measure(metric).loss


def estimate(
    metric: Metric | Measure,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """A metric's value, with its standard error and two-sided interval.

    Every metric is brought to its linear form, a mean of what the rows contribute; an AUC by DeLong's
    structural components. The standard error is that of their sum, by cluster where there are clusters
    (after Obuchowski for an AUC). The quantile is Student's: clusters - 1 degrees of freedom, for
    ``roc_auc`` Satterthwaite's if those are fewer, moved outwards as far as skewness asks
    (:mod:`treadle.evaluate.skewness`). A share of rows, or an AUC, without any spread (all
    right, say) gets the exact binomial width instead of none. The interval is cut to the metric's range.

    Args:
        metric: What to measure, with its settings where they aren't the defaults.
        labels: The truth: 0 or 1 (or booleans); numbers for a regression; the numbers of classes; how
            relevant a row is.
        scores: The probability of a true label, or the predicted number; a column a class where there
            are several. ``roc_auc`` and ``ndcg`` take any score.
        clusters: What each row belongs to (for ``ndcg`` its query); rows are independent when None.
        confidence: Of the interval. For one-sided bounds at level c give ``2 * c - 1``.

    Raises:
        InvalidInput: If there are no rows, unequal lengths, missing or infinite values, labels
            or probabilities out of range, fewer than two clusters, or rows that don't define the
            metric, such as those of one class for ``roc_auc``.
    """
    measure = metric if isinstance(metric, Measure) else Measure(metric)
    return estimated(measure, scored(measure, labels, scores, None, clusters), confidence)


def paired_difference(
    metric: Metric | Measure,
    labels: npt.ArrayLike,
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """How much better ``scores_a`` are than ``scores_b`` on the same rows: positive is better, as for losses.

    The standard error is that of the difference of the two scores' contributions row by row,
    so what makes a row hard for both cancels out. Identical scores differ by exactly 0.

    Args:
        metric: What to measure, with its settings where they aren't the defaults.
        labels: The truth, as in :func:`estimate`.
        scores_a: The one's scores.
        scores_b: The other's scores.
        clusters: What each row belongs to; rows are independent when None.
        confidence: Of the two-sided interval.

    Raises:
        InvalidInput: As :func:`estimate`.
    """
    measure = metric if isinstance(metric, Measure) else Measure(metric)
    return gained(measure, scored(measure, labels, scores_a, scores_b, clusters), confidence)
