"""How much a model leans on each of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle.evaluate.metrics import estimate, is_loss
from treadle.evaluate.models.measures import Measure
from treadle.kernel.errors import TreadleError

Column = npt.NDArray[Any]

ROWS = 5000
"""More rows than this are sampled: importance ranks columns, and needs no third digit."""


def permutation_importance(
    predict: Callable[[Mapping[str, Column]], npt.NDArray[np.float64]],
    inputs: Mapping[str, Column],
    labels: Column,
    measure: Measure,
    seed: int = 0,
) -> dict[str, float]:
    """How much worse a metric gets when one input's values are shuffled among the rows, as shares.

    Breiman, Random Forests, 2001, section 10. Inputs that say the same share what they are worth,
    or both seem worth nothing, because the model has the other one.

    Args:
        predict: The model: a score a row.
        inputs: Its inputs on held-out rows.
        labels: The truth.
        measure: What it is judged by.
        seed: Of the sample and the shuffling.

    Returns:
        For each input a share, together 1; nothing where the metric isn't defined on these rows, or
        no input matters.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))[:ROWS]
    sample, truth = {name: values[rows] for name, values in inputs.items()}, labels[rows]
    sign = 1 if is_loss(measure.metric) else -1
    try:
        before = estimate(measure, truth, predict(sample)).value
        worse = {
            name: sign * (estimate(measure, truth, predict(sample | {name: shuffled})).value - before)
            for name in sample
            for shuffled in [sample[name][rng.permutation(len(rows))]]
        }
    except TreadleError:  # the metric isn't defined, or the model fails on rows that never were
        return {}
    total = sum(max(loss, 0.0) for loss in worse.values())
    return {name: max(loss, 0.0) / total for name, loss in worse.items()} if total > 0 else {}
