"""Whether what a window found is raised as an alert."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import get_args

import sqlalchemy as sa

from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.config.retrain import AlertKind
from treadle.monitor import rules, sequential, store
from treadle.monitor.incidents.grouping import stands
from treadle.monitor.types import Alert


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
