"""What is measured: a metric with the settings that it depends on."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.kernel.config.base import Metric
from treadle.kernel.config.checks import PerformanceCheck

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Booleans = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp] | slice
Array = npt.NDArray[Any]

Labels = Literal["binary", "number", "relevance"]

_LOSSES = frozenset({"log_loss", "brier", "mae", "mse", "rmse", "pinball"})
_NUMBERS = frozenset({"mae", "mse", "rmse", "pinball"})
_ALL_RIGHT_OR_NOT = frozenset({"accuracy", "recall", "specificity", "top_k_accuracy"})
_OF_COUNTS = frozenset({"precision", "f1", "balanced_accuracy"})


class Measure(msgspec.Struct, frozen=True):
    """A metric with its settings.

    Attributes:
        metric: Which.
        threshold: The score from which a row counts as decided true.
        quantile: The quantile that is predicted, for ``pinball``.
        k: How many are looked at, for ``top_k_accuracy`` and ``ndcg``.
    """

    metric: Metric
    threshold: float = 0.5
    quantile: float = 0.5
    k: int = 10

    @property
    def loss(self) -> bool:
        """Whether smaller is better."""
        return self.metric in _LOSSES

    @property
    def bounded(self) -> bool:
        """Whether it is a share from 0 to 1, so that a sample without spread is no proof of certainty."""
        return not self.loss

    @property
    def top(self) -> float:
        """The largest value that it can have."""
        return np.inf if self.metric in _NUMBERS | {"log_loss"} else 1.0

    @property
    def labels(self) -> Labels:
        """What labels it takes."""
        return "number" if self.metric in _NUMBERS else "relevance" if self.metric == "ndcg" else "binary"

    @property
    def probabilities(self) -> bool:
        """Whether scores must be probabilities: of others, only the order or a threshold counts."""
        return self.metric not in _NUMBERS | {"roc_auc", "ndcg", "top_k_accuracy"}

    @property
    def proportion(self) -> bool:
        """Whether it is the share of (some of) the rows that are right."""
        return self.metric in _ALL_RIGHT_OR_NOT

    @property
    def of_counts(self) -> bool:
        """Whether it is computed of the counts of right and wrong decisions, and no share of rows."""
        return self.metric in _OF_COUNTS


def measured(check: PerformanceCheck, metric: Metric | None = None) -> Measure:
    """The primary metric of ``[checks.performance]``, or another with the settings that stand there."""
    return Measure(metric or check.metric, check.threshold, check.quantile, check.k)
