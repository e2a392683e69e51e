"""What a window's figures come to, in words: results and alerts. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import estimate, is_loss, measured
from treadle.kernel.config.base import Metric
from treadle.kernel.config.checks import PerformanceCheck
from treadle.kernel.config.schema import MonitorConfig
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_duration, parse_duration
from treadle.monitor import rules
from treadle.monitor.profile import Shape, counts
from treadle.monitor.types import Alert, MonitorKind, NumericProfile, Profile, WindowResult

Floats = npt.NDArray[np.float64]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time to be judged.

    Attributes:
        model: The model.
        version: The version in production at its end.
        since: Its start.
        until: Its end, exclusive.
    """

    model: str
    version: int
    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """From start to end."""
        return self.until - self.since


def input_result(
    window: Window, name: str, reference: Shape, current: Shape, columns: int, config: MonitorConfig
) -> WindowResult:
    """Whether an input has drifted.

    Args:
        window: The window.
        name: The input.
        reference: How it was distributed at training.
        current: How it was in the window, in the same bins.
        columns: How many inputs share the level.
        config: The ``[monitor]`` table.
    """
    return _drift(window, "input", name, reference, current, columns, config)


def prediction_result(
    window: Window, reference: Shape, current: Shape, config: MonitorConfig
) -> WindowResult:
    """Whether the predictions of the version in production have shifted."""
    found = _drift(window, "prediction", "prediction", reference, current, 1, config)
    mean = current.mean if isinstance(current, NumericProfile) else None
    return msgspec.structs.replace(found, mean_prediction=mean)


def _drift(
    window: Window,
    kind: MonitorKind,
    name: str,
    reference: Shape,
    current: Shape,
    columns: int,
    config: MonitorConfig,
) -> WindowResult:
    alpha = rules.level(config.false_alarms, window.length) / columns
    if kind == "prediction":  # the rows of other versions were counted as missing
        reference, current = (msgspec.structs.replace(shape, nulls=0) for shape in (reference, current))
    then, now = counts(reference), counts(current)
    found = rules.shift(then, now, config.drift, alpha, config.min_rows)
    rows = f"{found.n:,} rows"
    if found.n < config.min_rows:
        young = f" of version {window.version}" if kind == "prediction" else ""
        sentence = f"{name}: {rows}{young} are too few to tell ({config.min_rows:,} needed)"
    elif found.state == "inconclusive":
        sentence = (
            f"{name}: PSI {found.psi:.3f} is over {config.drift:g}, but in {rows} "
            f"chance alone gives up to {found.chance:.3f}"
        )
    elif found.state == "alert":
        verb = "drifted" if kind == "input" else "shifted"
        sentence = (
            f"{name} {verb}: PSI {found.psi:.3f}, over {config.drift:g} and over the {found.chance:.3f} "
            f"that chance gives in {rows}; {_moved(reference, current)}"
        )
    else:
        sentence = f"{name}: PSI {found.psi:.3f}, under {config.drift:g}, in {rows}"
    return WindowResult(
        model=window.model,
        kind=kind,
        subject=name,
        since=window.since,
        until=window.until,
        version=window.version,
        state=found.state,
        statistic="psi",
        value=found.psi if found.n >= config.min_rows else None,
        limit=found.limit,
        n=found.n,
        sentence=sentence,
    )


def performance_result(
    window: Window,
    profile: Profile,
    labels: Any,
    outputs: Floats,
    clusters: npt.NDArray[np.int64],
    every: timedelta,
    config: MonitorConfig,
    check: PerformanceCheck,
    *,
    binary: bool,
) -> WindowResult:
    """Whether the version in production has become worse than it may.

    Args:
        window: What the figure looks back over; its rows are those of the version alone.
        profile: The version's profile, with the metric at registration.
        labels: Each row's label; masked where it wasn't known by the window's end.
        outputs: Each row's prediction.
        clusters: What each row stands or falls with; see :func:`treadle.monitor.rules.cluster_length`.
        every: How often such a figure is made.
        config: The ``[monitor]`` table.
        check: The settings of metrics.
        binary: Whether labels are 0 or 1.
    """
    metric: Metric = msgspec.convert(profile.metric, Metric)
    alpha, loss = rules.level(config.false_alarms, every), is_loss(metric)
    known = ~np.ma.getmaskarray(labels)
    truth, scores = np.asarray(labels)[known], outputs[known]
    allowed = rules.limit(profile.value, config.tolerance, loss=loss)
    size = (
        f"{len(truth):,} of version {window.version}'s {len(outputs):,} predictions since "
        f"{window.since:%Y-%m-%d} have labels"
        + (f" ({100 * len(truth) / len(outputs):.0f} %)" if len(outputs) else "")
    )
    result = WindowResult(
        model=window.model,
        kind="performance",
        subject=metric,
        since=window.since,
        until=window.until,
        version=window.version,
        state="inconclusive",
        statistic=metric,
        value=None,
        limit=allowed,
        n=len(truth),
        base_rate=float(truth.mean()) if binary and len(truth) else None,
        mean_prediction=float(scores.mean()) if len(scores) else None,
        sentence=f"{metric}: too few to tell ({config.min_rows:,} needed): {size}",
    )
    if len(truth) < max(config.min_rows, 1):
        return result
    groups = len(np.unique(clusters[known]))
    if groups < rules.MIN_CLUSTERS:
        length = format_duration(rules.cluster_length(window.length).total_seconds())
        why = f"they lie in {groups} stretches of {length}, and {rules.MIN_CLUSTERS} are needed to tell"
        return msgspec.structs.replace(result, sentence=f"{metric}: {size}; {why}")
    try:
        found = estimate(measured(check, metric), truth, scores, clusters[known], 1 - 2 * alpha)
    except InvalidInput as error:
        return msgspec.structs.replace(result, sentence=f"{metric}: {error.message}; {size}")
    state = rules.decay(found, allowed, loss=loss)
    interval = f"{metric} {found.value:.4f} ({found.low:.4f} to {found.high:.4f})"
    beside = f"{profile.value:.4f} at registration"
    if state == "alert":
        verdict = f"{interval} is worse than {beside} by more than the {config.tolerance:g} allowed"
    elif state == "inconclusive":
        verdict = (
            f"{interval} may be worse than {beside} by more than the {config.tolerance:g} allowed, "
            f"but chance could explain it"
        )
    else:
        verdict = f"{interval}; {beside}, {config.tolerance:g} worse is allowed"
    return msgspec.structs.replace(
        result, state=state, value=found.value, low=found.low, high=found.high, sentence=f"{verdict}; {size}"
    )


def to_alerts(results: Sequence[WindowResult], *, delivered: bool) -> list[Alert]:
    """One alert for each kind of monitor that is in alert; the worst column first."""
    found = []
    for kind in ("performance", "prediction", "input"):
        worst = [result for result in results if result.kind == kind and result.state == "alert"]
        worst.sort(key=lambda result: -(result.value or 0))
        if worst:
            watched = sum(result.kind == kind for result in results)
            found.append(_alert(worst, watched, delivered=delivered))
    return found


def _alert(worst: Sequence[WindowResult], watched: int, *, delivered: bool) -> Alert:
    first = worst[0]
    sentence = first.sentence
    if len(worst) > 1:
        named = ", ".join(f"{result.subject} (PSI {result.value:.3f})" for result in worst[:3])
        more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
        sentence = f"{len(worst)} of {watched} inputs drifted: {named}{more}. {first.sentence}"
    return Alert(
        id=f"{first.model}-{first.kind}-{first.until:%Y%m%dT%H%M%S}",
        model=first.model,
        kind=first.kind,
        at=first.until,
        subjects=tuple(result.subject for result in worst),
        sentence=sentence,
        version=first.version,
        delivered=delivered,
    )


def _moved(reference: Shape, current: Shape) -> str:
    """What changed most, for people: a share of rows, or the mean."""
    then, now = _shares(reference), _shares(current)
    name = max(then, key=lambda key: abs(now[key] - then[key]))
    if isinstance(reference, NumericProfile) and isinstance(current, NumericProfile):
        steady = abs(now["missing"] - then["missing"]) < 0.05
        if steady and reference.mean is not None and current.mean is not None:
            return f"mean {current.mean:.4g}, was {reference.mean:.4g}"
    return f"{name} {100 * now[name]:.1f} % of rows, was {100 * then[name]:.1f} %"


def _shares(shape: Shape) -> dict[str, float]:
    rows = max(sum(counts(shape)), 1)
    if isinstance(shape, NumericProfile):
        return {"missing": shape.nulls / rows}
    named = {repr(name): count / rows for name, count in shape.counts.items()}
    return named | {"other values": shape.other / rows, "missing": shape.nulls / rows}


def performance_window(config: MonitorConfig, window: Window) -> Window:
    """What a performance figure at a window's end looks back over."""
    return msgspec.structs.replace(window, since=window.until - parse_duration(config.performance_window))
