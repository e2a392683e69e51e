"""Drift of whole rows: what no column shows by itself, such as two that no longer go together. No I/O.

Both statistics are computed on samples of a few thousand rows, in matrices only: numbers standardised by
training and cut at five deviations, missing ones marked; texts as the indicators of the most frequent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.kernel.config.monitor import MonitorConfig
from treadle.monitor import rules
from treadle.monitor.findings import Window
from treadle.monitor.profile import Shape
from treadle.monitor.types import CategoryProfile, WindowResult

Floats = npt.NDArray[np.float64]
Sample = Mapping[str, npt.NDArray[Any]]
"""Rows in columns; numbers are masked or NaN where they are missing, texts None."""

_CUT, _TEXTS, _FEATURES, _RIDGE = 5.0, 10, 256, 0.01
_KEPT = 0.65  # of the variance, as NannyML does
_NAMED = 3


class Separation(msgspec.Struct, frozen=True):
    """How well rows of two samples can be told apart.

    Attributes:
        auc: The chance that a current row gets a higher score than one of the reference.
        chance: What that exceeds with probability ``alpha`` when nothing has changed.
        p_value: The probability of such a value or a larger one when nothing has changed.
        columns: Which columns tell most, the first most.
    """

    auc: float
    chance: float
    p_value: float
    columns: tuple[str, ...]


class Misfit(msgspec.Struct, frozen=True):
    """How much worse (or better) rows fit the reference's principal components.

    Attributes:
        effect: By how many deviations of the reference's own error the mean error moved.
        chance: What its size exceeds with probability ``alpha`` when nothing has changed.
        p_value: The probability of such a size or a larger one when nothing has changed.
    """

    effect: float
    chance: float
    p_value: float


def multivariate_results(
    window: Window,
    shapes: Mapping[str, Shape],
    reference: Sample,
    current: Sample,
    config: MonitorConfig,
    of: str = "training",
) -> list[WindowResult]:
    """Whether whole rows have drifted.

    Args:
        window: The window.
        shapes: The profiles of the columns to look at.
        reference: A sample of the training rows, or of what else the window is held against.
        current: A sample of the window's rows.
        config: The ``[monitor]`` table.
        of: Where the reference's rows come from, in words.
    """
    n = len(next(iter(current.values()), ()))
    m = len(next(iter(reference.values()), ()))
    if len(shapes) < 2 or min(n, m) < config.min_rows:
        return []
    alpha, how = rules.level(config.false_alarms, window.length) / 2, config.multivariate
    before, after = encode(shapes, reference), encode(shapes, current)
    told = separation(before, after, alpha)
    rows = f"{n:,} rows sampled, {len(shapes)} inputs that haven't drifted by themselves"
    by = ", ".join(told.columns)
    first = _result(
        window, "auc", told.auc, told.chance, told.p_value, how.auc, n,
        f"whole rows: a classifier tells live rows from those of {of} with AUC {told.auc:.3f}",
        f"; most by {by} ({rows})", f" ({rows})",
    )  # fmt: skip
    fit = misfit(_matrix(before), _matrix(after), alpha)
    side = "further from" if fit.effect > 0 else "nearer to"
    second = _result(
        window, "pca", abs(fit.effect), fit.chance, fit.p_value, how.reconstruction, n,
        f"whole rows: they lie {abs(fit.effect):.2f} deviations {side} the principal components of {of}",
        f" ({rows})", f" ({rows})",
    )  # fmt: skip
    return [first, second]


def encode(shapes: Mapping[str, Shape], sample: Sample) -> dict[str, Floats]:
    """Each column as numbers: one or more for each row.

    Args:
        shapes: The columns' profiles, by which numbers are standardised and texts chosen.
        sample: The rows.
    """
    return {name: _encoded(shape, sample[name]) for name, shape in shapes.items()}


def separation(before: Mapping[str, Floats], after: Mapping[str, Floats], alpha: float) -> Separation:
    """Tells rows of two samples apart, by ridge regression on random Fourier features.

    The features: Rahimi and Recht, Random features for large-scale kernel machines, 2007.
    Cross-fitted: each half is scored by what the other half taught, so a score knows nothing of its own
    row, and where nothing has changed each half's AUC has the law of the Mann-Whitney statistic.

    Args:
        before: The reference's columns, encoded.
        after: The current columns, encoded.
        alpha: The chance of an alarm when nothing has changed.
    """
    from scipy.special import ndtr, ndtri

    rng = np.random.default_rng(0)
    names = list(before)
    x = {name: np.vstack([before[name], after[name]]) for name in names}
    m, n = (len(next(iter(side.values()))) for side in (before, after))
    y = np.r_[np.zeros(m), np.ones(n)]
    half = np.r_[rng.permutation(m) % 2, rng.permutation(n) % 2].astype(bool)
    matrix = np.hstack([x[name] for name in names])
    features = _Fourier(matrix, rng)
    lifted = features(matrix)
    weights = [_ridge(lifted[half == side], y[half == side]) for side in (False, True)]
    auc = _cross(lifted, y, half, weights)
    # What sets the two halves apart is what both are told by: their AUCs move together, and two are no
    # surer than one.
    error = math.sqrt((m / 2 + n / 2 + 1) / (12 * (m / 2) * (n / 2)))
    chance = 0.5 - float(ndtri(alpha)) * error
    tell: dict[str, float] = {}
    if auc > chance:
        for name in names:
            shuffled = x[name][rng.permutation(m + n)]
            other = np.hstack([shuffled if one == name else x[one] for one in names])
            tell[name] = auc - _cross(features(other), y, half, weights)
    most = sorted(tell, key=lambda name: -tell[name])[:_NAMED]
    return Separation(auc, chance, float(ndtr((0.5 - auc) / error)), tuple(most))


def misfit(before: Floats, after: Floats, alpha: float) -> Misfit:
    """How far rows lie from the principal components that hold 65 % of the reference's variance.

    The components are those of one half of the reference; the other half shows what is usual.
    Errors are compared on a logarithmic scale by Welch's test.

    Args:
        before: The reference's rows.
        after: The current rows.
        alpha: The chance of an alarm when nothing has changed.
    """
    from scipy.special import ndtr, ndtri

    half = np.random.default_rng(0).permutation(len(before)) % 2 == 0
    learn, usual = before[half], before[~half]
    middle = learn.mean(axis=0)
    _, sizes, directions = np.linalg.svd(learn - middle, full_matrices=False)
    share = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-300)
    kept = directions[: min(int(np.searchsorted(share, _KEPT)) + 1, max(len(directions) - 1, 1))]
    errors = []
    for rows in (usual, after):
        centred = rows - middle
        errors.append(np.log(1e-9 + np.linalg.norm(centred - centred @ kept.T @ kept, axis=1)))
    spread = float(errors[0].std(ddof=1))
    if spread < 1e-9:
        return Misfit(0.0, math.inf, 1.0)
    error = math.sqrt(errors[0].var(ddof=1) / len(usual) + errors[1].var(ddof=1) / len(after))
    moved = float(errors[1].mean() - errors[0].mean())
    return Misfit(
        moved / spread, -float(ndtri(alpha / 2)) * error / spread, 2 * float(ndtr(-abs(moved) / error))
    )


def _encoded(shape: Shape, values: npt.NDArray[Any]) -> Floats:
    if isinstance(shape, CategoryProfile):
        texts: npt.NDArray[Any] = np.ma.filled(np.ma.asarray(values, dtype=object), None)
        named = list(shape.counts)[:_TEXTS]
        return np.column_stack([texts == name for name in named] or [np.zeros(len(texts))]).astype(np.float64)
    numbers = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    missing = np.isnan(numbers)
    middle, deviation = shape.mean or 0.0, shape.deviation or 1.0
    with np.errstate(invalid="ignore"):
        scaled = np.clip((numbers - middle) / deviation, -_CUT, _CUT)
    scaled[missing] = 0.0
    return np.column_stack([scaled, missing.astype(np.float64)])


def _matrix(columns: Mapping[str, Floats]) -> Floats:
    return np.hstack(list(columns.values()))


class _Fourier:
    """Random features whose inner products approach a Gaussian kernel's; its width is the median distance."""

    def __init__(self, rows: Floats, rng: np.random.Generator) -> None:
        some = rows[rng.permutation(len(rows))[:500]]
        squares = (some**2).sum(axis=1)
        distances = squares[:, None] + squares[None, :] - 2 * some @ some.T
        width = math.sqrt(max(float(np.median(distances[np.triu_indices(len(some), 1)])), 1e-6))
        self._directions = rng.normal(size=(rows.shape[1], _FEATURES)) / width
        self._phases = rng.random(_FEATURES) * 2 * math.pi

    def __call__(self, rows: Floats) -> Floats:
        waves = np.cos(rows @ self._directions + self._phases) * math.sqrt(2 / _FEATURES)
        return np.hstack([waves, rows / math.sqrt(rows.shape[1])])


def _ridge(features: Floats, y: Floats) -> Floats:
    centred = features - features.mean(axis=0)
    gram = centred.T @ centred + _RIDGE * len(y) / features.shape[1] * np.eye(features.shape[1])
    solved: Floats = np.linalg.solve(gram, centred.T @ (y - y.mean()))
    return solved


def _cross(features: Floats, y: Floats, half: npt.NDArray[np.bool_], weights: Sequence[Floats]) -> float:
    """The mean AUC of the two halves, each by the other's weights."""
    from scipy.stats import rankdata

    found = []
    for side, taught in ((False, weights[1]), (True, weights[0])):
        scores, truth = features[half == side] @ taught, y[half == side] == 1
        n = int(truth.sum())
        ranks = rankdata(scores)[truth].sum()
        found.append((ranks - n * (n + 1) / 2) / (n * (len(truth) - n)))
    return float(np.mean(found))


def _result(
    window: Window,
    statistic: str,
    value: float,
    chance: float,
    p_value: float,
    threshold: float,
    n: int,
    sentence: str,
    when: str,
    else_: str,
) -> WindowResult:
    limit = max(threshold, chance)
    state = "ok" if value <= threshold else "alert" if value > chance else "inconclusive"
    neutral = 0.5 if statistic == "auc" else 0.0
    told = {
        "ok": f"{sentence}, {threshold:g} matters{else_}",
        "alert": f"{sentence}, over {threshold:g} and over the {chance:.3f} that chance gives{when}",
        "inconclusive": f"{sentence}, over {threshold:g}, but chance alone gives up to {chance:.3f}{else_}",
    }[state]
    return WindowResult(
        model=window.model,
        kind="multivariate",
        subject="rows",
        since=window.since,
        until=window.until,
        version=window.version,
        state=state,  # type: ignore[arg-type]  # one of three
        statistic=statistic,
        value=value,
        limit=limit,
        threshold=threshold,
        chance=chance,
        p_value=p_value,
        n=n,
        severity=rules.severity(value - neutral, threshold - neutral) if state == "alert" else None,
        sentence=told,
    )
