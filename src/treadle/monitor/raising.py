"""Whether what a window found is raised as an alert, and what the timeline tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import get_args

import sqlalchemy as sa

from treadle.kernel.clock import SystemClock
from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.config.retrain import AlertKind
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import rules, sequential, store
from treadle.monitor.incidents.grouping import stands
from treadle.monitor.types import Alert, WindowResult


def is_news(connection: sa.Connection, alert: Alert, cooldown: timedelta) -> bool:
    """Whether an alert is raised: what a cycle may be started by after every cooldown, the rest once."""
    if alert.kind in get_args(AlertKind):
        return rules.raises(alert, store.read_alerts(connection, alert.model, alert.kind), cooldown)
    return not stands(connection, alert.model, alert)


def persists(connection: sa.Connection, alert: Alert, config: MonitorConfig) -> bool:
    """Whether enough of the latest windows were in alert about any of the same subjects."""
    wanted, among = config.persist, max(config.persist, config.among)
    if wanted == 1:
        return True
    states: dict[datetime, bool] = {}
    for one in store.read_windows(connection, alert.model, kind=alert.kind, version=alert.version):
        raised = one.state == "alert" and not one.explained_by and one.subject in alert.subjects
        states[one.until] = states.get(one.until, False) or raised
    return sequential.persists([states[until] for until in sorted(states)], wanted, among)


def alert_event(alert: Alert) -> Event:
    """What a model's timeline has of an alert."""
    return Event(
        id=f"alert:{alert.id}",
        at=alert.at,
        recorded_at=SystemClock().now(),
        subject=f"model:{alert.model}",
        kind="alert",
        actor=f"monitor:{alert.kind}",
        message=alert.sentence,
        facts={
            "alert": alert.id,
            "version": f"{alert.model}/{alert.version}",
            "subjects": ", ".join(alert.subjects),
        },
    )


def again_event(
    workspace: Workspace, model: str, which: str, changed: Sequence[WindowResult], actor: str
) -> Event:
    """What a model's timeline has of windows that were computed again."""
    return Event(
        id=workspace.ids.new("event"),
        at=workspace.clock.now(),
        recorded_at=SystemClock().now(),
        subject=f"model:{model}",
        kind="backfill",
        actor=actor,
        message=f"{which} computed again; {len(changed)} findings came out otherwise",
        facts={"changed": str(len(changed))},
    )
