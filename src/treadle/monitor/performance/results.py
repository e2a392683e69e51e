"""What is said of performance before labels are there, and when they contradict it. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import Measure, estimate
from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_duration
from treadle.monitor import rules, sequential
from treadle.monitor.findings import Window
from treadle.monitor.performance.calibrating import Floats, probabilities
from treadle.monitor.performance.delays import DelayCurve, coverage
from treadle.monitor.performance.expecting import Expected, expect, expected_terms
from treadle.monitor.performance.losses import expect_loss
from treadle.monitor.types import LossModel, Profile, WindowResult

GAP = "realised_minus_estimated"
_TOP = 3


def estimated_result(
    window: Window,
    profile: Profile,
    measure: Measure,
    outputs: Floats,
    histograms: Mapping[str, Sequence[int]],
    config: MonitorConfig,
) -> WindowResult | None:
    """How good the version in production is expected to have been in a window; None where nobody can tell.

    Args:
        window: The window.
        profile: The version's profile.
        measure: The metric.
        outputs: What the version said in the window, a row a prediction.
        histograms: The window's histogram of each input and of ``prediction``.
        config: The ``[monitor]`` table.
    """
    found, why = expected_figure(profile, measure, outputs, histograms)
    if found is None:
        return None
    allowed = rules.limit(profile.value, config.tolerance, loss=measure.loss)
    size = f"{len(outputs):,} predictions of version {window.version}, without their labels"
    result = WindowResult(
        model=window.model,
        kind="estimated",
        subject=measure.metric,
        since=window.since,
        until=window.until,
        version=window.version,
        state="inconclusive",
        statistic=measure.metric,
        value=None,
        limit=allowed,
        n=len(outputs),
        e_value=1.0,
        mean_prediction=float(outputs.mean()) if len(outputs) else None,
        sentence=f"{measure.metric}: too few to estimate ({config.min_rows:,} needed): {size}",
    )
    if len(outputs) < max(config.min_rows, 1) or math.isnan(found.value):
        return result
    worse = found.value - allowed if measure.loss else allowed - found.value
    evidence = sequential.e_value(worse / found.se) if found.se else 1.0
    reach = 1.96 * found.se
    filled = msgspec.structs.replace(
        result,
        value=found.value,
        low=max(found.value - reach, 0.0),
        high=min(found.value + reach, measure.top),
        e_value=evidence,
    )
    interval = f"{measure.metric} is estimated at {found.value:.4f} ({filled.low:.4f} to {filled.high:.4f})"
    beside = f"{profile.value:.4f} at registration, {config.tolerance:g} worse is allowed"
    return _told(filled, worse, f"{interval}; {beside}; {size}{why}")


def gap_result(
    window: Window,
    profile: Profile,
    measure: Measure,
    labels: Any,
    outputs: Floats,
    clusters: npt.NDArray[np.int64],
    config: MonitorConfig,
) -> WindowResult | None:
    """Whether what became true is worse than the scores had let expect: the world itself has changed.

    Inputs that come in other proportions move the realised and the estimated metric alike; their difference
    moves only if the same score means something else than at registration. Windows don't overlap, so
    that evidence adds up from one to the next.

    Args:
        window: The cohort: predictions whose labels are due.
        profile: The version's profile.
        measure: The metric.
        labels: Each row's label; masked where it isn't known.
        outputs: Each row's score.
        clusters: What each row stands or falls with.
        config: The ``[monitor]`` table.
    """
    if profile.calibrator is None:
        return None
    known = ~np.ma.getmaskarray(labels)
    truth, scores = np.asarray(labels)[known], outputs[known]
    result = WindowResult(
        model=window.model,
        kind="estimated",
        subject=measure.metric,
        since=window.since,
        until=window.until,
        version=window.version,
        state="inconclusive",
        statistic=GAP,
        value=None,
        limit=config.tolerance,
        n=len(truth),
        e_value=1.0,
        sentence=f"{measure.metric}, realised and estimated: {len(truth):,} labels are too few to compare",
    )
    if len(truth) < max(config.min_rows, 1):
        return result
    p = probabilities(profile.calibrator, scores)
    found = expect(measure, p, scores, profile.calibrator.rows)
    try:
        realised = estimate(measure, truth, scores).value
    except InvalidInput:
        return result
    if math.isnan(found.value) or not found.chance:
        return result
    worse = realised - found.value if measure.loss else found.value - realised
    error = max(found.chance, _by_cluster(measure, p, scores, truth, clusters[known]))
    filled = msgspec.structs.replace(
        result,
        value=worse,
        low=worse - 1.96 * error,
        high=worse + 1.96 * error,
        e_value=sequential.e_value((worse - config.tolerance) / error),
    )
    told = (
        f"{measure.metric} of {len(truth):,} labelled predictions is {realised:.4f} where "
        f"their scores let expect {found.value:.4f}"
    )
    return _told(filled, worse - config.tolerance, told)


def immature(curve: DelayCurve, ages: Floats, needed: float) -> str:
    """Why a figure isn't published; empty where enough of its labels are there.

    Args:
        curve: How labels come.
        ages: How old each of its predictions is, in seconds.
        needed: Of the labels that they will ever get, the share that must be there.
    """
    share = coverage(curve, ages)
    if share >= needed:
        return ""
    if not curve.ever:
        return "no label has come yet"
    longest = timedelta(seconds=curve.delay(needed))
    taken = format_duration(max(longest, timedelta(seconds=1)).total_seconds())
    return (
        f"only {100 * share:.0f} % of the labels to come are there, {100 * needed:.0f} % are needed; "
        f"those take {taken}: declare it as `labels_after`"
    )


def expected_figure(
    profile: Profile, measure: Measure, outputs: Floats, histograms: Mapping[str, Sequence[int]]
) -> tuple[Expected | None, str]:
    """The metric to expect, and what moved it, in words; None where nobody can tell.

    Args:
        profile: The version's profile.
        measure: The metric.
        outputs: What the version said, a row a prediction.
        histograms: The rows' histogram of each input and of ``prediction``.
    """
    nothing = Expected(math.nan, 0.0, 0.0)
    if profile.calibrator is not None:
        if not len(outputs):
            return nothing, ""
        p = probabilities(profile.calibrator, outputs)
        return expect(measure, p, outputs, profile.calibrator.rows), ""
    if profile.losses is not None:
        return _loss(profile.losses, measure, histograms) if len(outputs) else (nothing, "")
    return None, ""


def _loss(
    model: LossModel, measure: Measure, histograms: Mapping[str, Sequence[int]]
) -> tuple[Expected, str]:
    # A column that isn't watched any more has no histogram: it is taken as it was.
    known = {name: counted for name, counted in histograms.items() if sum(counted)}
    kept = {name: terms for name, terms in model.terms.items() if name in known}
    pairs = [pair for pair in model.pairs if pair.name in known]
    found = expect_loss(msgspec.structs.replace(model, terms=kept, pairs=pairs), known)
    moved = [f"{name} {amount:+.3g}" for name, amount in found.moved[:_TOP] if amount]
    why = f"; moved by {', '.join(moved)}" if moved else ""
    if measure.metric != "rmse":
        return Expected(found.value, found.se, 0.0), why
    root = math.sqrt(found.value)
    return Expected(root, found.se / (2 * root) if root else 0.0, 0.0), why


def _by_cluster(
    measure: Measure, p: Floats, scores: Floats, truth: Floats, clusters: npt.NDArray[np.int64]
) -> float:
    """The standard error of realised minus estimated where rows of a cluster stand or fall together."""
    terms = expected_terms(measure, p, scores)
    each = (truth - p) * (terms.true - terms.false) / len(p)
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], each)
    many = len(sums)
    return float(np.sqrt(many / (many - 1) * np.square(sums - sums.mean()).sum())) if many > 1 else 0.0


def _told(result: WindowResult, worse: float, told: str) -> WindowResult:
    """A result in words; whether it is an alarm is for :func:`treadle.monitor.performance.alarms.judged`."""
    return msgspec.structs.replace(result, state="inconclusive" if worse > 0 else "ok", sentence=told)
