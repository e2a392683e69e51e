"""Whether a deployment answers, and keeps what its callers are promised: findings of both. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import msgspec

from treadle.deploy import ServiceLevel, ServiceLevels
from treadle.monitor.types import Alert, Severity, WindowResult

_BUDGET = timedelta(days=30)
REPLICAS, ANSWERS, STUCK = "replicas", "answers", "stuck replicas"
_SURE_AFTER = 10.0
_BEGINNING = 60.0
_CALM_FOR = 60.0


class ServiceWatch:
    """What became of a service's findings while it was watched: what is no moment's is told.

    That nothing can answer is told once it has stood for 10 seconds: a replica that starts again, a machine
    that slept or a platform that stood still are no incident. When the watch begins, replicas have a minute
    to come. What was in alert is well again after a minute without: a service that comes and goes is one
    incident.

    Args:
        seconds: Tells the time; it stands still while the machine sleeps.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._began = seconds()
        self._gone_since: float | None = None
        self._alert_at: dict[str, float] = {}

    def settled(self, results: list[WindowResult]) -> list[WindowResult]:
        """The findings of a look, as they are to be taken: too soon to tell is inconclusive."""
        return [self._settled(one, self._seconds()) for one in results]

    def _settled(self, result: WindowResult, now: float) -> WindowResult:
        if result.subject == REPLICAS:
            if result.state != "alert":
                self._gone_since = None
            elif self._gone_since is None:
                self._gone_since = now
            if self._gone_since is not None:
                sure = now - self._gone_since >= _SURE_AFTER and now - self._began >= _BEGINNING
                if not sure and REPLICAS not in self._alert_at:
                    return msgspec.structs.replace(result, state="inconclusive", severity=None)
        if result.state == "alert":
            self._alert_at[result.subject] = now
        elif now - self._alert_at.get(result.subject, -_CALM_FOR) < _CALM_FOR:
            return msgspec.structs.replace(result, state="inconclusive")
        else:
            self._alert_at.pop(result.subject, None)
        return result


def service_results(found: ServiceLevels, version: int) -> list[WindowResult]:
    """What is found of the service itself.

    Whether a replica can answer, whether one hangs, and whether most answers are errors, is told whatever is
    declared; one that hangs is a warning as long as others answer. Each declared objective is in alert while
    it has fallen, or its budget burns too fast.

    Args:
        found: How the deployment stands.
        version: The version that should answer.
    """
    answers = [
        _plain(found, REPLICAS, found.gone, version),
        _plain(found, ANSWERS, found.failing, version),
        _plain(found, STUCK, found.stuck, version, "warning" if found.left else "critical"),
    ]
    return [*answers, *(_result(found, level, version) for level in found.levels)]


def service_alert(results: list[WindowResult]) -> Alert | None:
    """The alert of all objectives that are in alert; None if none is."""
    burning = [one for one in results if one.state == "alert"]
    if not burning:
        return None
    first = burning[0]
    return Alert(
        id=f"{first.model}-operations-{first.until:%Y%m%dT%H%M%S}",
        model=first.model,
        kind="operations",
        at=first.until,
        subjects=tuple(one.subject for one in burning),
        sentence="; ".join(one.sentence for one in burning),
        version=first.version,
    )


def _plain(
    found: ServiceLevels, subject: str, trouble: str, version: int, how_bad: Severity = "critical"
) -> WindowResult:
    return WindowResult(
        model=found.model,
        kind="operations",
        subject=subject,
        since=found.at,
        until=found.at,
        version=version,
        state="alert" if trouble else "ok",
        statistic="trouble",
        value=float(bool(trouble)),
        n=0,
        severity=how_bad if trouble else None,
        sentence=trouble or "well",
    )


def _result(found: ServiceLevels, level: ServiceLevel, version: int) -> WindowResult:
    burning = [burn for burn in level.burns if burn.burning]
    how_bad: Severity | None = None
    if level.fallen or any(burn.severity == "page" for burn in burning):
        how_bad = "critical"
    elif burning:
        how_bad = "warning"
    rates = [burn.short_rate for burn in burning or level.burns if burn.short_rate is not None]
    return WindowResult(
        model=found.model,
        kind="operations",
        subject=level.name,
        since=found.at - _BUDGET,
        until=found.at,
        version=version,
        state="alert" if how_bad else "ok",
        statistic="burn_rate",
        value=max(rates, default=None),
        limit=min((burn.limit for burn in burning), default=None),
        n=level.requests,
        severity=how_bad,
        sentence=level.sentence,
    )
