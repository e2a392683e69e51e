"""The metric in each declared segment: realised, and estimated before labels are there. No I/O.

A segment is held against itself at registration: a model may always have been worse in one country than in
another. What it was there is known from held-out rows, of which a segment has few: so a figure is worse than
allowed only if it is so beyond the interval of that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import Measure, estimate
from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.errors import InvalidInput
from treadle.monitor import parts, rules, sequential
from treadle.monitor.findings import Window, sampled
from treadle.monitor.performance.calibrating import Floats
from treadle.monitor.performance.results import expected_figure
from treadle.monitor.types import MonitorKind, PartFigure, Profile, WindowResult

_SURE = 1.96

Histograms = Mapping[str, Sequence[int]]
Counted = Callable[[npt.NDArray[np.intp]], Histograms]


class Cohort(NamedTuple):
    """Predictions of a stretch of time, a row each.

    Attributes:
        labels: Masked where they aren't known.
        outputs: What the version said.
        clusters: What each stands or falls with.
        codes: The number of each row's part, by segment.
        one_in: Of how many predictions each is one.
    """

    labels: Any
    outputs: Floats
    clusters: npt.NDArray[np.int64]
    codes: Mapping[str, parts.Codes]
    one_in: int = 1


def with_figures(
    profile: Profile,
    measure: Measure,
    inputs: Mapping[str, Any],
    labels: Floats,
    outputs: Floats,
    histograms: Counted,
) -> Profile:
    """A profile that also says how good the model is in each segment.

    Args:
        profile: The profile, with its segments and with what estimating takes.
        measure: The metric.
        inputs: The held-out rows, a column an input.
        labels: Their labels.
        outputs: What the model says of them.
        histograms: Of some held-out rows each column's histogram, as estimating takes them.
    """
    made = {}
    for name, segment in profile.segments.items():
        named, figures = parts.names(segment), {}
        codes = parts.codes(segment, inputs[segment.column])
        for part, among in zip(named, parts.rows(codes, len(named)), strict=True):
            try:
                found = estimate(measure, labels[among], outputs[among])
            except InvalidInput:  # one class only, say
                continue
            expected, _ = expected_figure(profile, measure, outputs[among], histograms(among))
            known = expected is not None and math.isfinite(expected.value)
            figures[part] = PartFigure(
                rows=len(among),
                value=found.value,
                se=found.se,
                estimated=expected.value if expected and known else None,
                estimated_se=expected.se if expected and known else None,
            )
        made[name] = msgspec.structs.replace(segment, figures=figures)
    return msgspec.structs.replace(profile, segments=made)


def realised_results(
    window: Window, profile: Profile, measure: Measure, cohort: Cohort, config: MonitorConfig, immature: str
) -> list[WindowResult]:
    """How good the version was in each segment.

    Args:
        window: The cohort's stretch of time.
        profile: The version's profile.
        measure: The metric.
        cohort: Predictions whose labels are due.
        config: The ``[monitor]`` table.
        immature: Why figures aren't to be published, because too many labels are still to come.
    """
    known = ~np.ma.getmaskarray(cohort.labels)
    found = []
    for part, figure, among in _parts(profile, cohort.codes):
        labelled = among[known[among]]
        size = (
            f"{len(labelled):,} of version {window.version}'s {len(among):,} predictions there since "
            f"{window.since:%Y-%m-%d} have labels{sampled(cohort.one_in)}"
        )
        result = _result(window, "performance", part, measure, figure, config)
        result = msgspec.structs.replace(result, n=len(labelled))
        if len(labelled) < max(config.min_rows, 1):
            found.append(_untold(result, f"too few to tell ({config.min_rows:,} needed): {size}"))
        elif immature:
            found.append(_untold(result, f"{immature}; {size}"))
        else:
            truth = np.asarray(cohort.labels)[labelled]
            found.append(
                _realised(result, measure, truth, cohort.outputs[labelled], cohort.clusters[labelled], size)
            )
    return found


def estimated_results(
    window: Window,
    profile: Profile,
    measure: Measure,
    outputs: Floats,
    codes: Mapping[str, parts.Codes],
    histograms: Mapping[str, Histograms],
    config: MonitorConfig,
) -> list[WindowResult]:
    """How good the version is expected to have been in each segment.

    It is held against what would have been expected on held-out rows: what a score means in a segment may
    differ from what it means among all rows, and differs on both sides.

    Args:
        window: The window.
        profile: The version's profile.
        measure: The metric.
        outputs: What the version said in the window, a row a prediction.
        codes: The number of each row's part, by segment.
        histograms: Of each part, the window's histogram of each input and of ``prediction``.
        config: The ``[monitor]`` table.
    """
    found = []
    for part, figure, among in _parts(profile, codes):
        if figure.estimated is None or figure.estimated_se is None:
            continue
        then = PartFigure(rows=figure.rows, value=figure.estimated, se=figure.estimated_se)
        result = _result(window, "estimated", part, measure, then, config)
        result = msgspec.structs.replace(result, n=len(among))
        size = f"{len(among):,} predictions of version {window.version} there, without their labels"
        expected, _ = expected_figure(profile, measure, outputs[among], histograms.get(part, {}))
        if expected is None or len(among) < max(config.min_rows, 1) or math.isnan(expected.value):
            found.append(_untold(result, f"too few to estimate ({config.min_rows:,} needed): {size}"))
            continue
        found.append(_told(result, measure, expected.value, expected.se, "is estimated at", size))
    return found


def _parts(
    profile: Profile, codes: Mapping[str, parts.Codes]
) -> Iterator[tuple[str, PartFigure, parts.Rows]]:
    """The parts whose figure at registration is known, with their rows."""
    for name, segment in profile.segments.items():
        named = parts.names(segment)
        if not segment.figures:
            continue
        for part, among in zip(named, parts.rows(codes[name], len(named)), strict=True):
            if part in segment.figures:
                yield part, segment.figures[part], among


def _result(
    window: Window,
    kind: MonitorKind,
    part: str,
    measure: Measure,
    figure: PartFigure,
    config: MonitorConfig,
) -> WindowResult:
    beside = f"{figure.value:.4f} at registration, in {figure.rows:,} rows"
    allowed = config.tolerance + _SURE * figure.se
    return WindowResult(
        model=window.model,
        kind=kind,
        subject=measure.metric,
        since=window.since,
        until=window.until,
        version=window.version,
        state="inconclusive",
        statistic=measure.metric,
        value=None,
        limit=rules.limit(figure.value, allowed, loss=measure.loss),
        n=0,
        e_value=1.0,
        segment=part,
        sentence=f"{beside}; {allowed:.3g} worse is allowed, as sure as that is",
    )


def _untold(result: WindowResult, why: str) -> WindowResult:
    sentence = f"where {result.segment}, {result.subject}: {why}"
    return msgspec.structs.replace(result, sentence=sentence)


def _realised(
    result: WindowResult,
    measure: Measure,
    truth: Floats,
    outputs: Floats,
    clusters: npt.NDArray[np.int64],
    size: str,
) -> WindowResult:
    try:
        found = estimate(measure, truth, outputs)
        error = found.se
        if len(np.unique(clusters)) >= rules.MIN_CLUSTERS:
            error = max(error, estimate(measure, truth, outputs, clusters).se)
    except InvalidInput as problem:
        return _untold(result, f"{problem.message}; {size}")
    if measure.proportion and result.limit is not None:  # all right, or all wrong, is no certainty
        share = min(max(result.limit, 0.0), 1.0)
        error = max(error, math.sqrt(share * (1 - share) / len(truth)))
    return _told(result, measure, found.value, error, "is", size)


def _told(
    result: WindowResult, measure: Measure, value: float, error: float, verb: str, size: str
) -> WindowResult:
    assert result.limit is not None  # noqa: S101 - every figure here has one
    worse = value - result.limit if measure.loss else result.limit - value
    low, high = max(value - _SURE * error, 0.0), min(value + _SURE * error, measure.top)
    told = f"where {result.segment}, {result.subject} {verb} {value:.4f} ({low:.4f} to {high:.4f})"
    return msgspec.structs.replace(
        result,
        value=value,
        low=low,
        high=high,
        e_value=sequential.e_value(worse / error) if error else 1.0,
        state="inconclusive" if worse > 0 else "ok",
        sentence=f"{told}; {result.sentence}; {size}",
    )
