"""From scores to probabilities: isotonic regression, kept only where it makes scores better ones. No I/O."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from treadle.monitor.types import Calibrator

Floats = npt.NDArray[np.float64]

FOLDS = 10
_KNOTS = 200


def probabilities(calibrator: Calibrator, scores: Floats) -> Floats:
    """The probability of a true label for each score."""
    if not calibrator.scores:
        return scores
    found: Floats = np.interp(scores, calibrator.scores, calibrator.probabilities)
    return found


def calibrate(scores: Floats, labels: Floats) -> Calibrator:
    """The calibrator of a model's scores.

    Isotonic regression (Barlow and Brunk, JASA 67, 1972) by rows that the model was not trained on.
    It is kept only if, fitted on nine tenths of the rows, it has the lower Brier score on the other
    tenth, ten times over: small samples make good probabilities worse.

    Args:
        scores: The model's scores on held-out rows, from 0 to 1.
        labels: Those rows' labels, 0 or 1.
    """
    rows = len(scores)
    if rows >= FOLDS and labels.min() < labels.max():
        fold = np.arange(rows) % FOLDS
        before = after = 0.0
        for place in range(FOLDS):
            there = fold == place
            fitted = np.interp(scores[there], *_isotonic(scores[~there], labels[~there]))
            before += float(np.square(scores[there] - labels[there]).sum())
            after += float(np.square(fitted - labels[there]).sum())
        if after < before:
            knots, steps = _isotonic(scores, labels)
            return Calibrator(scores=knots.tolist(), probabilities=steps.tolist(), rows=rows)
    return Calibrator(scores=[], probabilities=[], rows=rows)


def _isotonic(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """The ends of the steps of the increasing function of least squares."""
    from scipy.optimize import isotonic_regression

    distinct, place = np.unique(scores, return_inverse=True)
    weights = np.bincount(place).astype(np.float64)
    fitted: Floats = isotonic_regression(np.bincount(place, labels) / weights, weights=weights).x
    ends = np.ones(len(fitted), dtype=bool)
    ends[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    kept = np.flatnonzero(ends)
    if len(kept) > _KNOTS:  # as fine as anybody can tell, and short enough to be kept with every version
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, _KNOTS).astype(np.intp))]
    return distinct[kept], fitted[kept]
