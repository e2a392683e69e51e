"""How a deployment stands to its objective, from the counts that replicas reported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from treadle.deploy import minutes, rules, store
from treadle.deploy.falling import fall
from treadle.deploy.levels import MOST_ALLOWED, SPANS, errors_of, levels, of_how_many
from treadle.deploy.types import Moment, Replica, Revision, ServiceLevels
from treadle.kernel.config import ObjectiveConfig
from treadle.kernel.workspace import Workspace

_SILENT = timedelta(seconds=10)
REMEMBERED = timedelta(days=1)
"""How long ago a replica may have been heard of for its silence to be news."""


def service_levels(workspace: Workspace, model: str, now: datetime | None = None) -> ServiceLevels:
    """How a model's deployment stands to what its callers are promised.

    Args:
        workspace: Where.
        model: The model.
        now: By the machine's clock, as replicas report.

    Returns:
        Error budgets, burn rates, and whether it has fallen; without levels where no objective is declared.
        Whether anything answers at all is told in any case.
    """
    now = now or datetime.now(UTC)
    with workspace.database.read() as connection:
        serving = rules.serving(store.read_revisions(connection, model))
        replicas = store.read_replicas(connection, model, now - REMEMBERED)
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
    recent = minutes.recent(connection, model, now, environment)
    heard = [one for one in replicas if one.heard_at >= now - _SILENT]
    return ServiceLevels(
        model=model,
        at=now,
        version=serving.version if serving else None,
        levels=tuple(levels(objective, totals, recent)) if declared else (),
        silent=serving is not None and not heard,
        gone=_gone(replicas, heard) if serving else "",
        failing=_failing(recent) if serving else "",
        stuck=_stuck(heard) if serving else "",
        left=sum(one.revision is not None and not one.trouble for one in heard),
    )


def _gone(replicas: Sequence[Replica], heard: Sequence[Replica]) -> str:
    """Why nothing can answer; empty where something can, or where no replica was ever there."""
    if not replicas:
        return ""
    if not heard:
        last = max(one.heard_at for one in replicas)
        return f"no replica has been heard of since {last.astimezone(UTC):%H:%M:%S} UTC"
    if any(one.revision is not None for one in heard):
        return ""
    return f"of {len(heard)} replicas that run none has loaded a version"


def _stuck(heard: Sequence[Replica]) -> str:
    """Which replicas hang, by their own account; empty if none does."""
    found = [f"{one.replica}: {one.trouble}" for one in heard if one.trouble]
    return f"{len(found)} of {len(heard)} replicas hang or did; {'; '.join(found)}" if found else ""


def _failing(recent: Sequence[Moment]) -> str:
    """That requests are answered with errors, more often than any objective could allow; empty if not."""
    fell = fall(errors_of(recent), MOST_ALLOWED, outages=True)
    return f"{of_how_many(fell)} were answered with an error of the server" if fell else ""
