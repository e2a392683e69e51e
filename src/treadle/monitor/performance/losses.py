"""How wrong a regression is before its labels are there: a model of its loss. No I/O.

The loss of each held-out row, absolute or squared, is modelled as a sum of one term per column, constant
within each of the profile's bins (direct loss estimation, NannyML 2022, with an additive model by ridge
regression instead of boosted trees). An additive model of binned columns has a mean that depends on the
columns' histograms alone, so the expected loss of a window costs nothing beyond the histograms that are
counted anyhow; and how much each column moved it can be read off.

It holds while the loss of a row, given its inputs and prediction, is what it was on held-out data: for inputs
that come in other proportions, not for a world in which the same inputs lead to other outcomes. What a
sum over columns can't say (interactions) it leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.monitor.performance.calibrating import Floats
from treadle.monitor.types import LossModel

_RIDGE = 1.0
PREDICTION = "prediction"


class ExpectedLoss(NamedTuple):
    """The mean loss that is expected of a window.

    Attributes:
        value: The mean loss.
        se: Its standard error.
        moved: What each column has added since held-out data, most first.
    """

    value: float
    se: float
    moved: tuple[tuple[str, float], ...]


def model_losses(
    losses: Floats, places: Mapping[str, npt.ArrayLike], bins: Mapping[str, int], loss: str
) -> LossModel:
    """The additive model of a loss.

    Args:
        losses: Each held-out row's loss.
        places: For each column the bin of each row, from 0.
        bins: How many bins each column has.
        loss: ``absolute`` or ``squared``.
    """
    rows, base = len(losses), float(losses.mean())
    starts = np.concatenate([[0], np.cumsum([bins[name] for name in places])]).astype(np.intp)
    width = int(starts[-1])
    gram, moment = np.zeros((width, width)), np.zeros(width)
    columns = [
        np.asarray(place, dtype=np.intp) + start
        for place, start in zip(places.values(), starts, strict=False)
    ]
    for one in columns:
        moment += np.bincount(one, losses - base, minlength=width)
        for other in columns:
            gram += np.bincount(one * width + other, minlength=width * width).reshape(width, width)
    fitted = np.linalg.solve(gram + _RIDGE * np.eye(width), moment)
    terms = {
        name: (fitted[start:end] - fitted[one].mean()).tolist()
        for name, one, start, end in zip(places, columns, starts[:-1], starts[1:], strict=True)
    }
    return LossModel(loss=loss, base=base, terms=terms, spread=float(losses.std()), rows=rows)


def expect_loss(model: LossModel, counts: Mapping[str, Sequence[int]]) -> ExpectedLoss:
    """The mean loss that is expected of a window.

    Args:
        model: The model of the loss.
        counts: The window's histogram of each column, in the model's bins.
    """
    moved, rows = [], 0
    for name, terms in model.terms.items():
        here = np.asarray(counts[name], dtype=np.float64)
        total = float(here.sum())
        if total:
            rows = max(rows, int(total))
            moved.append((name, float(here @ np.asarray(terms)) / total))
    value = max(model.base + sum(amount for _, amount in moved), 0.0)
    # Where losses are larger they also differ more.
    spread = model.spread * max(1.0, value / model.base if model.base else 1.0)
    se = spread * math.sqrt(1 / max(rows, 1) + 1 / model.rows)
    return ExpectedLoss(value, se, tuple(sorted(moved, key=lambda one: -abs(one[1]))))
