"""What a profile keeps so that performance can be estimated when there are no labels yet. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import Measure
from treadle.monitor.performance.by_part import with_figures
from treadle.monitor.performance.calibrating import Floats, calibrate
from treadle.monitor.performance.expecting import ESTIMABLE
from treadle.monitor.performance.losses import PREDICTION, cells, model_losses
from treadle.monitor.profile import Shape, bounds, counts
from treadle.monitor.types import LossModel, NumericProfile, Profile

_SQUARED = frozenset({"mse", "rmse"})
_FEWEST = 100


def with_estimates(
    profile: Profile, measure: Measure, inputs: Mapping[str, Any], labels: Floats, predictions: Floats
) -> Profile:
    """A profile with what estimating its metric takes, and how good the model is in each segment.

    What can't be estimated, and segments of scores in several columns, are left out.

    Args:
        profile: The profile, with its segments.
        measure: The metric.
        inputs: The held-out rows, a column an input; missing values are masked or NaN.
        labels: Their labels.
        predictions: What the model says of them.
    """
    if len(labels) < _FEWEST or predictions.ndim > 1:
        return profile
    made = _estimating(profile, measure, inputs, labels, predictions)
    shapes: dict[str, Shape] = {**made.inputs, PREDICTION: made.prediction}
    values = {**inputs, PREDICTION: predictions}
    placed = {name: places(shapes[name], values[name]) for name in (made.losses.terms if made.losses else ())}

    def histograms(rows: npt.NDArray[np.intp]) -> dict[str, list[int]]:
        if made.losses is None:
            return {}
        return histogrammed(made.losses, {name: place[rows] for name, place in placed.items()})

    return with_figures(made, measure, inputs, labels, predictions, histograms)


def _estimating(
    profile: Profile, measure: Measure, inputs: Mapping[str, Any], labels: Floats, predictions: Floats
) -> Profile:
    if measure.metric in ESTIMABLE and measure.labels == "binary":
        if predictions.min() < 0 or predictions.max() > 1:
            return profile
        return msgspec.structs.replace(profile, calibrator=calibrate(predictions, labels))
    if measure.metric not in _SQUARED | {"mae"}:
        return profile
    shapes: dict[str, Shape] = {**profile.inputs, PREDICTION: profile.prediction}
    values = {**inputs, PREDICTION: predictions}
    residuals, squared = np.abs(predictions - labels), measure.metric in _SQUARED
    model = model_losses(
        residuals**2 if squared else residuals,
        {name: places(shape, values[name]) for name, shape in shapes.items()},
        {name: len(counts(shape)) for name, shape in shapes.items()},
        "squared" if squared else "absolute",
    )
    return msgspec.structs.replace(profile, losses=model)


def histogrammed(model: LossModel, placed: Mapping[str, npt.NDArray[np.intp]]) -> dict[str, list[int]]:
    """The histograms that a model of the loss asks for, by each row's bin in each column."""
    found = {
        name: np.bincount(place, minlength=len(model.terms[name])).tolist() for name, place in placed.items()
    }
    for pair in model.pairs:
        where = cells(placed[pair.one], placed[pair.other], len(model.terms[pair.other]))
        found[pair.name] = np.bincount(where, minlength=len(pair.terms)).tolist()
    return found


def places(shape: Shape, values: Any) -> npt.NDArray[np.intp]:
    """The bin of each value, in the order of the profile's histogram; what is missing is in the last."""
    last = len(counts(shape)) - 1
    missing = np.ma.getmaskarray(values)
    if isinstance(shape, NumericProfile):
        numbers = np.ma.filled(np.ma.masked_array(values, mask=missing).astype(np.float64), np.nan)
        found = np.searchsorted(bounds(shape), numbers, side="left")
        return np.where(np.isnan(numbers), last, found)
    named = {name: place for place, name in enumerate(shape.counts)}
    return np.array(
        [
            last if gone or x is None else named.get(str(x), last - 1)
            for x, gone in zip(np.asarray(values).tolist(), missing, strict=True)
        ],
        dtype=np.intp,
    )
