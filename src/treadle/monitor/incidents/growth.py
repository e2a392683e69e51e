"""What has grown since people were told of an incident, so that they are told again. No I/O.

A finding has grown if its effect is surely at least twice what it was at any telling. One that was told at
none, another column or segment, counts as one that was at its limit then. So what comes and goes within a
standing incident is no news, nor what hovers at its limit, and each telling doubles what the next takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from treadle.kernel.config.monitor import MonitorConfig
from treadle.monitor.findings import STATISTICS
from treadle.monitor.types import Alert, WindowResult

GROWN = 2.0
"""So many times the effect that was told is news."""

_ERRORS = 3.0
_CHANCE = 1.5
"""What chance gives is that of no change; where there is one, distances vary more."""

_NAMED = 3

Key: TypeAlias = tuple[str, str, str]


def effect(one: WindowResult, config: MonitorConfig) -> float:
    """How far a finding in alert lies from where nothing is wrong: 0 there.

    A distance is that itself, an AUC lies from 0.5, a share of bad rows from what training had, a metric from
    its value at registration, a difference of groups from none.

    Args:
        one: The finding.
        config: ``[monitor]``, which says how far from there its limit lies.
    """
    return _from_fine(one, one.value or 0.0, config)


def surely(one: WindowResult, config: MonitorConfig) -> float:
    """The least that the effect is, but for chance."""
    value = one.value or 0.0
    if one.kind == "quality":
        error = math.sqrt(max(value * (1 - value), 0.0) / max(one.n, 1))
        return _from_fine(one, value - _ERRORS * error, config)
    if one.low is not None and one.high is not None:
        near = one.low if _upwards(one) else one.high
        return _from_fine(one, near, config)
    return effect(one, config) - _CHANCE * max((one.chance or 0.0) - _origin(one), 0.0)


def grown(
    alert: Alert,
    results: Iterable[WindowResult],
    told: Iterable[WindowResult],
    at: datetime,
    config: MonitorConfig,
) -> str:
    """What of an alert has grown since its incident was told of, in words; empty if nothing has.

    Args:
        alert: The alert.
        results: What its window found.
        told: What the windows found at whose end people were told.
        at: When they were told last.
        config: ``[monitor]``.
    """
    largest: dict[Key, float] = {}
    for one in _about(alert, told):
        largest[_key(one)] = max(largest.get(_key(one), 0.0), effect(one, config))
    if not largest:
        return ""
    more = []
    for one in _about(alert, results):
        then = largest.get(_key(one)) or _at_limit(one, config)
        if surely(one, config) >= GROWN * then > 0:
            more.append((effect(one, config) / then, one))
    more.sort(key=lambda pair: pair[0], reverse=True)
    parts = [_times(one, effect(one, config), largest.get(_key(one)), times) for times, one in more[:_NAMED]]
    parts += [f"{len(more) - _NAMED} more have grown as well"] if len(more) > _NAMED else []
    return f"since {at:%Y-%m-%d %H:%M} UTC: {'; '.join(parts)}" if parts else ""


def said(grew: str, sentence: str) -> str:
    """What happened, and before it what has grown."""
    return f"it has grown {grew}. {sentence}"


def together(first: str, second: str) -> str:
    """What two monitors say has grown since people were told last."""
    return f"{first}; {second.partition(': ')[2]}" if first else second


def _about(alert: Alert, results: Iterable[WindowResult]) -> list[WindowResult]:
    return [
        one for one in results if one.kind == alert.kind and one.state == "alert" and not one.explained_by
    ]


def _key(one: WindowResult) -> Key:
    return one.subject, one.segment, one.statistic


def _origin(one: WindowResult) -> float:
    return 0.5 if one.kind == "multivariate" and one.statistic == "auc" else 0.0


def _from_fine(one: WindowResult, value: float, config: MonitorConfig) -> float:
    """How far a value of a finding's lies from where nothing is wrong, in the direction in which it does."""
    if one.kind in {"quality", "performance", "estimated"}:
        beyond = value - (one.limit or 0.0)
        return (beyond if _upwards(one) else -beyond) + _at_limit(one, config)
    if one.kind == "fairness":
        return value if _upwards(one) else -value
    return value - _origin(one)


def _at_limit(one: WindowResult, config: MonitorConfig) -> float:
    """How far a finding's limit lies from where nothing is wrong."""
    if one.kind == "quality":
        return float(getattr(config.quality_of(one.subject), one.statistic))
    if one.kind in {"performance", "estimated"}:
        return config.tolerance
    return (one.limit or 0.0) - _origin(one)


def _upwards(one: WindowResult) -> bool:
    """Whether a finding is off upwards: a loss, or a group that is favoured."""
    return (one.value or 0.0) > (0.0 if one.kind == "fairness" else one.limit or 0.0)


def _times(one: WindowResult, now: float, then: float | None, times: float) -> str:
    if then is None:
        return f"{_named(one)} as well, {times:.1f} times as far off as it may be"
    return f"{_named(one)} is {times:.1f} times as far off as was told ({then:.3g}, now {now:.3g})"


def _named(one: WindowResult) -> str:
    statistic = STATISTICS.get(one.statistic, one.statistic.replace("_", " "))
    where = f" where {one.segment}" if one.segment else ""
    return f"{one.subject}{where}" + ("" if statistic == one.subject else f" ({statistic})")
