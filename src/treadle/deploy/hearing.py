"""Hears from a replica of many models at once; those of which there is nothing new cost next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from treadle.deploy import store
from treadle.deploy.types import ReplicaReport, Revision
from treadle.kernel.errors import InvalidInput


def check_together(reports: Sequence[ReplicaReport]) -> None:
    """Checks that reports are of one replica in one environment, each of a model of its own.

    Raises:
        InvalidInput: If they aren't.
    """
    who = {(one.replica, one.environment) for one in reports}
    if len(who) > 1:
        raise InvalidInput(
            "the reports are of several replicas or environments", fix="each replica reports by itself"
        )
    names = [one.model for one in reports]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"there are two reports of {twice!r}", fix="report each model once")


def unchanged(
    connection: sa.Connection, reports: Sequence[ReplicaReport], now: datetime
) -> dict[str, list[Revision]]:
    """Notes that a replica lives, for the models of which it says what it said before.

    Nothing can come of such a report but that: no revision is on its way, and no request was counted.

    Args:
        connection: A transaction that writes.
        reports: Of one replica in one environment.
        now: When they were heard, by the machine's clock.

    Returns:
        Those models, each with its revisions.
    """
    if not reports:
        return {}
    models, one = [report.model for report in reports], reports[0]
    mine = (
        (store.replicas.c.replica == one.replica)
        & (store.replicas.c.environment == one.environment)
        & store.replicas.c.model.in_(models)
    )
    said = connection.execute(sa.select(store.replicas.c.model, store.replicas.c.report).where(mine))
    before = {row.model: row.report for row in said}
    known = store.read_revisions_of(connection, models, one.environment)
    quiet = {
        report.model: known.get(report.model, [])
        for report in reports
        if before.get(report.model) == report
        and report.failed is None
        and not any(revision.state in ("pending", "trial") for revision in known.get(report.model, []))
    }
    heard = mine & store.replicas.c.model.in_(list(quiet))
    connection.execute(store.replicas.update().where(heard).values(heard_at=now))
    return quiet
