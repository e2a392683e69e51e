"""How a deployment stands to its objective, from the counts that replicas reported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from treadle.deploy import minutes, rules, store
from treadle.deploy.levels import SPANS, levels
from treadle.deploy.types import Replica, Revision, ServiceLevels
from treadle.kernel.config import ObjectiveConfig
from treadle.kernel.workspace import Workspace

_SILENT = timedelta(seconds=10)


def service_levels(workspace: Workspace, model: str, now: datetime | None = None) -> ServiceLevels:
    """How a model's deployment stands to what its callers are promised.

    Args:
        workspace: Where.
        model: The model.
        now: By the machine's clock, as replicas report.

    Returns:
        Error budgets, burn rates, and whether it has fallen; without levels where no objective is declared.
    """
    now = now or datetime.now(UTC)
    with workspace.database.read() as connection:
        serving = rules.serving(store.read_revisions(connection, model))
        replicas = store.read_replicas(connection, model, now - _SILENT)
        return standing(connection, model, workspace.config.serve.objective, serving, replicas, now)


def standing(
    connection: sa.Connection,
    model: str,
    objective: ObjectiveConfig,
    serving: Revision | None,
    replicas: Sequence[Replica],
    now: datetime,
    environment: str = "",
) -> ServiceLevels:
    """The same, for who has read revisions and replicas already."""
    declared = objective.availability is not None or objective.p99_ms is not None
    totals = minutes.totals(connection, model, now, SPANS, environment) if declared else {}
    heard = any(one.heard_at >= now - _SILENT for one in replicas)
    return ServiceLevels(
        model=model,
        at=now,
        levels=tuple(levels(objective, totals)) if declared else (),
        silent=serving is not None and not heard,
    )
