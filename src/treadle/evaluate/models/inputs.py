"""Labels, scores and clusters, checked and made arrays: what gives no honest number is refused."""

from __future__ import annotations

from types import NoneType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.models.measures import Array, Floats, Integers, Measure, Rows
from treadle.kernel.errors import InvalidInput

_PLAIN = (bool, int, float, np.bool_, np.integer, np.floating, NoneType)
_SUM_TO_ONE = 1e-3


class Scored(NamedTuple):
    """Rows with the scores of one model or two, ready to be measured.

    Attributes:
        labels: The truth: 0 or 1, a number, a class's number, or a relevance.
        ours: The scores of the model that is judged; one column a class where there are several.
        theirs: The scores of the one that it is compared with; the same again when there is none.
        codes: The number of each row's cluster, from 0; None when rows are independent.
    """

    labels: Floats
    ours: Floats
    theirs: Floats
    codes: Integers | None

    def at(self, rows: Rows) -> Scored:
        """Some of the rows; clusters are numbered anew."""
        codes = None if self.codes is None else numbered(self.codes[rows])
        return Scored(self.labels[rows], self.ours[rows], self.theirs[rows], codes)

    @property
    def same(self) -> bool:
        """Whether both models give exactly the same scores."""
        return self.ours is self.theirs or np.array_equal(self.ours, self.theirs)


def scored(
    measure: Measure,
    labels: npt.ArrayLike,
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
) -> Scored:
    """Checks what was given.

    Raises:
        InvalidInput: If there are no rows, unequal lengths, missing or infinite values, or labels,
            probabilities or clusters that the metric can't be computed of.
    """
    truth, a = _labels(labels), _scores(measure, ours)
    b = a if theirs is None else _scores(measure, theirs)
    for values in (a, b):
        if len(values) != len(truth):
            raise InvalidInput(f"there are {len(truth):,} labels and {len(values):,} scores")
    if a.shape != b.shape:
        raise InvalidInput(
            f"one model scores {a.shape[1:] or 1} classes and the other {b.shape[1:] or 1}",
            fix="give both models' scores of the same classes, in the same order",
        )
    _check_labels(measure, truth, a)
    return Scored(truth, a, b, _codes(measure, clusters, truth))


def _labels(labels: npt.ArrayLike) -> Floats:
    values = _floats("label", labels)
    if values.ndim != 1:
        raise InvalidInput("the labels are not one column")
    return values


def _check_labels(measure: Measure, labels: Floats, scores: Floats) -> None:
    if scores.ndim == 2:
        classes = scores.shape[1]
        odd = labels[(labels < 0) | (labels >= classes) | (labels != np.floor(labels))]
        if len(odd):
            raise InvalidInput(f"labels of {classes} classes are 0 to {classes - 1}; one is {odd[0]:g}")
        if measure.metric == "top_k_accuracy" and measure.k >= classes:
            raise InvalidInput(
                f"one of the first {measure.k} of {classes} classes is always right",
                where="treadle.toml [checks.performance] k",
                fix=f"look at fewer, at most {classes - 1}",
            )
    elif measure.labels == "binary" and not np.isin(labels, (0, 1)).all():
        odd = labels[~np.isin(labels, (0, 1))]
        raise InvalidInput(
            f"{measure.metric} takes labels 0 and 1; {len(odd):,} of {len(labels):,} are not, as {odd[0]:g}",
            fix="leave out rows whose label isn't known, or choose a metric of another task",
        )
    elif measure.labels == "relevance" and labels.min() < 0:
        raise InvalidInput(f"a relevance is at least 0; one is {labels.min():g}")


def _scores(measure: Measure, scores: npt.ArrayLike) -> Floats:
    values = _floats("score", scores)
    several = measure.metric in {"macro_f1", "top_k_accuracy"}
    if several and values.ndim != 2:
        raise InvalidInput(f"{measure.metric} takes a column of scores for each class")
    if values.ndim == 2 and not several and measure.metric not in {"accuracy", "log_loss"}:
        raise InvalidInput(f"{measure.metric} takes one column of scores; there are {values.shape[1]}")
    if values.ndim == 2 and values.shape[1] < 2:
        raise InvalidInput("there is only one class")
    if values.ndim == 2 and measure.metric != "log_loss":
        return values
    if measure.probabilities and (values.min() < 0 or values.max() > 1):
        odd = values[(values < 0) | (values > 1)]
        raise InvalidInput(
            f"{measure.metric} takes probabilities from 0 to 1; {odd.size:,} scores are not, "
            f"such as {odd.flat[0]:g}",
            fix="have the model give the probability of a true label",
        )
    if values.ndim == 2 and np.abs(values.sum(axis=1) - 1).max() > _SUM_TO_ONE:
        row = int(np.abs(values.sum(axis=1) - 1).argmax())
        raise InvalidInput(
            f"the probabilities of the classes sum to {values[row].sum():g}, not to 1", where=f"row {row}"
        )
    return values


def _floats(what: str, given: npt.ArrayLike) -> Floats:
    array = np.asanyarray(given)
    plain = array.dtype.kind in "biuf" or all(isinstance(one, _PLAIN) for one in array.flat)
    if not plain:
        raise InvalidInput(f"the {what}s are not numbers")
    values = np.asarray(array, dtype=np.float64)
    if values.ndim not in {1, 2} or not values.size:
        raise InvalidInput(f"there are no {what}s" if not values.size else f"the {what}s are not one column")
    bad = np.ma.getmaskarray(array) | ~np.isfinite(values)
    if bad.any():
        rows = bad if bad.ndim == 1 else bad.any(axis=1)
        raise InvalidInput(
            f"{int(bad.sum()):,} of {values.size:,} {what}s are missing, NaN or infinite",
            where=f"row {int(rows.argmax())}",
        )
    return values


def _codes(measure: Measure, clusters: npt.ArrayLike | None, labels: Floats) -> Integers | None:
    if clusters is None:
        if measure.metric == "ndcg":
            raise InvalidInput(
                "a ranking is measured query by query, and nothing says which rows are one query",
                where="[checks.performance] cluster",
                fix="name the column that holds the query",
            )
        return None
    array: Array = np.asanyarray(clusters)
    values: Array = np.asarray(array)
    if values.shape != labels.shape:
        raise InvalidInput(f"there are {len(labels):,} labels and {values.size:,} cluster values")
    missing = np.ma.getmaskarray(array)
    if values.dtype.kind in "fMm":
        missing |= np.isnat(values) if values.dtype.kind in "Mm" else np.isnan(values)
    elif values.dtype.kind == "O":
        missing |= np.array([value is None for value in values])
    if missing.any():
        raise InvalidInput(
            f"{int(missing.sum()):,} rows have no cluster",
            where="[checks.performance] cluster",
            fix="fill the column, or leave those rows out",
        )
    return numbered(values)


def numbered(values: Array) -> Integers:
    """The number of each value among those that there are, from 0, in their order.

    Whole numbers that are not much larger than there are rows (as the holdout's clusters are) need no sort.
    """
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < 2 * len(values) + 1000:
        there = np.bincount(values) > 0
        return values.astype(np.intp) if there.all() else (np.cumsum(there) - 1)[values]
    return np.unique(values, return_inverse=True)[1]
