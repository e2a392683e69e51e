"""How wrong a regression is before its labels are there: a model of its loss. No I/O.

The loss of each held-out row, absolute or squared, is modelled as a sum of one term per column, constant
within each of the profile's bins, and one per pair of columns that say more together (direct loss
estimation, NannyML 2022, with a generalised additive model with pairwise interactions by ridge regression
instead of boosted trees; Lou, Caruana, Gehrke, Hooker, *Accurate intelligible models with pairwise
interactions*, KDD 2013). A sum over binned columns and pairs has a mean that depends on their histograms
alone, so the expected loss of a window costs no more than those; and how much each moved it can be read off.

It holds while the loss of a row, given its inputs and prediction, is what it was on held-out data: for inputs
that come in other proportions, not for a world in which the same inputs lead to other outcomes. What takes
three columns to say it leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.monitor.performance.calibrating import Floats
from treadle.monitor.types import LossModel, PairTerms

_RIDGE = 1.0
_PAIR_RIDGE = 5.0
_MOST_PAIRS, _TRIED, _SURE = 6, 20, 4.0
PREDICTION = "prediction"

Places = npt.NDArray[np.intp]


class ExpectedLoss(NamedTuple):
    """The mean loss that is expected of a window.

    Attributes:
        value: The mean loss.
        se: Its standard error.
        moved: What each column, or pair of them, has added since held-out data, most first.
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
    base = float(losses.mean())
    found = {name: np.asarray(place, dtype=np.intp) for name, place in places.items()}
    pairs: list[tuple[str, str]] = []
    singles, together, left = _fitted(found, bins, pairs, losses - base)
    candidates = list(combinations(found, 2))
    while len(pairs) < _MOST_PAIRS:
        gains = {pair: _gain(found, bins, pair, left) for pair in candidates}
        # What says little beside the single columns says no more beside pairs: it isn't looked at again.
        candidates = sorted((one for one in gains if gains[one] > _SURE), key=lambda one: -gains[one])[
            :_TRIED
        ]
        if not candidates:
            break
        pairs.append(candidates.pop(0))
        singles, together, left = _fitted(found, bins, pairs, losses - base)
    return LossModel(
        loss=loss,
        base=base,
        terms=singles,
        spread=float(losses.std()),
        rows=len(losses),
        pairs=[
            PairTerms(one=one, other=other, terms=terms)
            for (one, other), terms in zip(pairs, together, strict=True)
        ],
    )


def cells(one: Places, other: Places, bins: int) -> Places:
    """Where each row lies by two columns, of which the other has so many bins."""
    return one * bins + other


def _fitted(
    places: Mapping[str, Places], bins: Mapping[str, int], pairs: Sequence[tuple[str, str]], losses: Floats
) -> tuple[dict[str, list[float]], list[list[float]], Floats]:
    """The terms of single columns and of pairs by ridge regression, and what they leave of the losses."""
    widths = [*(bins[name] for name in places), *(bins[one] * bins[other] for one, other in pairs)]
    columns = [*places.values(), *(cells(places[a], places[b], bins[b]) for a, b in pairs)]
    starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.intp)
    width = int(starts[-1])
    placed = [one + start for one, start in zip(columns, starts, strict=False)]
    gram, moment = np.zeros((width, width)), np.zeros(width)
    for i, one in enumerate(placed):
        moment += np.bincount(one, losses, minlength=width)
        for other in placed[: i + 1]:
            counted = np.bincount(one * width + other, minlength=width * width).reshape(width, width)
            gram += counted if one is other else counted + counted.T
    ridge = np.repeat([_RIDGE] * len(places) + [_PAIR_RIDGE] * len(pairs), widths)
    fitted = np.linalg.solve(gram + np.diag(ridge), moment)
    terms = [
        fitted[start : start + wide] - fitted[one].mean()
        for one, start, wide in zip(placed, starts, widths, strict=False)
    ]
    left = losses - sum(term[column] for term, column in zip(terms, columns, strict=True))
    singles = dict(zip(places, (term.tolist() for term in terms), strict=False))
    return singles, [term.tolist() for term in terms[len(places) :]], left


def _gain(
    places: Mapping[str, Places], bins: Mapping[str, int], pair: tuple[str, str], left: Floats
) -> float:
    """How much of what is left a pair explains, in standard deviations of what chance lets expect."""
    where = cells(places[pair[0]], places[pair[1]], bins[pair[1]])
    rows = np.bincount(where)
    sums = np.bincount(where, left)
    there = rows > 0
    explained = float((sums[there] ** 2 / rows[there]).sum()) / max(float((left**2).mean()), 1e-300)
    many = int(there.sum())
    return (explained - many) / math.sqrt(2 * many)


def expect_loss(model: LossModel, counts: Mapping[str, Sequence[int]]) -> ExpectedLoss:
    """The mean loss that is expected of a window.

    Args:
        model: The model of the loss.
        counts: The window's histogram of each column, in the model's bins, and of each pair under its name.
    """
    moved, rows = [], 0
    for name, terms in (model.terms | {pair.name: pair.terms for pair in model.pairs}).items():
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
