"""Since when the world is as it is, by what the monitors found of the version in production."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, WindowResult
from treadle.registry import Registry
from treadle.retrain.changes import last_change


def changed_at(workspace: Workspace, as_of: datetime) -> datetime | None:
    """The start of the first window after the last change, if ``[retrain.window]`` asks for it.

    Looked at are the windows of the version in production, for those of others are held against other
    rows: how far inputs and predictions have drifted, and the metric, of which only windows that
    don't overlap. Of two changes the later one counts.

    Args:
        workspace: The project's workspace.
        as_of: Windows that ended later aren't looked at.

    Returns:
        The moment; None if no change is seen, too few windows have ended, or nobody asks.
    """
    if workspace.config.retrain.window.policy != "since-change":
        return None
    model = workspace.config.model
    production = Registry(workspace).production(model)
    if production is None:
        return None
    results = [
        one
        for one in Monitors(workspace).windows(model)
        if one.version == production.number and one.until <= as_of and not one.segment
    ]
    every = parse_duration(workspace.config.monitor.every)
    overlap = parse_duration(workspace.config.monitor.performance_window) / every
    found = [_drift_change(results), _performance_change(results, math.ceil(overlap), every)]
    return max((at for at in found if at is not None), default=None)


def _drift_change(results: Sequence[WindowResult]) -> datetime | None:
    """Of the importance-weighted drift of the inputs, and of the predictions' shift.

    Roots are looked at: indices such as PSI are squares of distances, and vary the more the larger they are.
    """
    inputs: dict[datetime, list[tuple[float, float]]] = {}
    shifts: dict[datetime, float] = {}
    starts: dict[datetime, datetime] = {}
    for one in results:
        if one.value is None or one.kind not in ("input", "prediction"):
            continue
        starts[one.until] = one.since
        if one.kind == "prediction":
            shifts[one.until] = math.sqrt(max(0.0, one.value))
        else:
            weight = 1.0 if one.importance is None else one.importance
            inputs.setdefault(one.until, []).append((weight, math.sqrt(max(0.0, one.value))))
    moments = sorted(inputs.keys() & shifts.keys())
    series = [[_mean(inputs[at]), shifts[at]] for at in moments]
    index = last_change(np.array(series, dtype=np.float64).reshape(-1, 2))
    return None if index is None else starts[moments[index]]


def _mean(weighted: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for weight, _ in weighted)
    return sum(weight * value for weight, value in weighted) / total if total else 0.0


def _performance_change(results: Sequence[WindowResult], overlap: int, every: timedelta) -> datetime | None:
    """Of the metric; of its overlapping windows every so many, the latest among them."""
    found = [
        one for one in results if one.kind == "performance" and not one.segment and one.value is not None
    ]
    apart = sorted(found, key=lambda one: one.until)[::-1][:: max(1, overlap)][::-1]
    index = last_change(np.array([[one.value] for one in apart], dtype=np.float64).reshape(-1, 1))
    return None if index is None else apart[index].until - every * max(1, overlap)
