"""What a window's figures come to, in words: results and alerts. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import estimate, is_loss, measured
from treadle.kernel.config.base import Metric
from treadle.kernel.config.checks import PerformanceCheck
from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_duration, parse_duration
from treadle.monitor import rules
from treadle.monitor.types import Alert, MonitorKind, Profile, WindowResult

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
    immature: str = "",
    newest: datetime | None = None,
    one_in: int = 1,
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
        immature: Why the figure isn't to be published, because too many labels are still to come.
        newest: When the last of the rows was asked, where later ones are left out because most of their
            labels are still to come.
        one_in: Of how many predictions each row is one.
    """
    metric: Metric = msgspec.convert(profile.metric, Metric)
    alpha, loss = rules.level(config.false_alarms, every), is_loss(metric)
    known = ~np.ma.getmaskarray(labels)
    truth, scores = np.asarray(labels)[known], outputs[known]
    allowed = rules.limit(profile.value, config.tolerance, loss=loss)
    size = (
        f"{len(truth):,} of version {window.version}'s {len(outputs):,} predictions since "
        f"{window.since:%Y-%m-%d}{f' and up to {newest:%Y-%m-%d}' if newest else ''} have labels"
        + (f" ({100 * len(truth) / len(outputs):.0f} %)" if len(outputs) else "")
        + sampled(one_in)
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
    if immature:
        return msgspec.structs.replace(result, sentence=f"{metric}: {immature}; {size}")
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


def sampled(one_in: int) -> str:
    """That rows are a sample, in words; empty where they are all."""
    return f", of an even sample of one in {one_in:,}" if one_in > 1 else ""


SEGMENTS = "drifted"
"""The statistic of the one finding that tells of all segments together: how many comparisons are in alert."""

STATISTICS = {"psi": "PSI", "js": "Jensen-Shannon", "ks": "KS", "wasserstein": "Wasserstein"}
"""What statistics of drift are called in words."""


def to_alerts(results: Sequence[WindowResult], *, delivered: bool) -> list[Alert]:
    """One alert for each kind of monitor that is in alert; what matters most first.

    A finding that another one explains raises none.
    """
    found = []
    for kind in get_args(MonitorKind):
        of_kind = [result for result in results if result.kind == kind]
        worst = [result for result in of_kind if result.state == "alert" and not result.explained_by]
        worst.sort(key=rules.weight, reverse=True)
        if worst:
            found.append(_alert(worst, of_kind, delivered=delivered))
    return found


def _alert(worst: Sequence[WindowResult], watched: Sequence[WindowResult], *, delivered: bool) -> Alert:
    first = worst[0]
    sentence = first.sentence
    if len(worst) > 1:
        named = ", ".join(_named(result) for result in worst[:3])
        more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
        sentence = f"{_many(worst, watched)}: {named}{more}. {first.sentence}"
    return Alert(
        id=f"{first.model}-{first.kind}-{first.until:%Y%m%dT%H%M%S}",
        model=first.model,
        kind=first.kind,
        at=first.until,
        subjects=tuple(dict.fromkeys(result.subject for result in worst)),
        sentence=sentence,
        version=first.version,
        delivered=delivered,
    )


def _many(worst: Sequence[WindowResult], watched: Sequence[WindowResult]) -> str:
    """How much is in alert; of inputs, beside how many there are, each once however many segments it has."""
    if worst[0].kind == "input":
        columns = {one.subject for one in watched if one.statistic != SEGMENTS}
        return f"{len({one.subject for one in worst})} of {len(columns)} inputs drifted"
    # A check of quality is a finding only where it fails, so there is no number to name beside.
    what = "checks of inputs failed" if worst[0].kind == "quality" else "figures are in alert"
    return f"{len(worst)} {what}"


def _named(result: WindowResult) -> str:
    where = f" where {result.segment}" if result.segment else ""
    statistic = STATISTICS.get(result.statistic, result.statistic.replace("_", " "))
    return f"{result.subject}{where} ({statistic} {result.value or 0:.3f})"


def performance_window(config: MonitorConfig, window: Window) -> Window:
    """What a performance figure at a window's end looks back over."""
    return msgspec.structs.replace(window, since=window.until - parse_duration(config.performance_window))
