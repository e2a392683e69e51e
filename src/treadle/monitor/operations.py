"""Whether a deployment keeps what its callers are promised: findings of service levels. No I/O."""

from __future__ import annotations

from datetime import timedelta

from treadle.deploy import ServiceLevel, ServiceLevels
from treadle.monitor.types import Alert, Severity, WindowResult

_BUDGET = timedelta(days=30)


def service_results(found: ServiceLevels, version: int) -> list[WindowResult]:
    """A finding for each declared objective: in alert while it has fallen, or its budget burns too fast.

    Args:
        found: How the deployment stands.
        version: The version in production.
    """
    return [_result(found, level, version) for level in found.levels]


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
