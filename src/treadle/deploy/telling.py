"""What deployments write into the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import sqlalchemy as sa

from treadle.deploy.types import ReplicaReport, Revision, Rollout
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace


class Telling:
    """Tells of what becomes of revisions, in the transaction that writes it.

    Args:
        workspace: Where.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def rollback(
        self, connection: sa.Connection, report: ReplicaReport, changed: list[Revision], at: datetime
    ) -> None:
        """Tells that a replica could not load a revision, and which one comes back."""
        broken = changed[0]
        message = f"version {broken.version} could not be loaded ({broken.error})"
        if len(changed) > 1:
            message += f"; back to version {changed[1].version}"
        kind = "rolled_back" if len(changed) > 1 else "deploy_failed"
        self.tell(connection, broken, kind, f"replica:{report.replica}", message, at)

    def tell(
        self,
        connection: sa.Connection,
        revision: Revision,
        kind: str,
        actor: str,
        message: str,
        at: datetime,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Tells what became of a revision; before the last environment, also where."""
        facts = {"revision": str(revision.revision), "version": str(revision.version), **(more or {})}
        if revision.error:
            facts["error"] = revision.error
        if revision.environment:
            facts["environment"] = revision.environment
            message = f"{revision.environment}: {message}"
        record(
            connection,
            Event(
                id=self._workspace.ids.new("event"),
                at=at,
                recorded_at=datetime.now(UTC),
                subject=f"model:{revision.model}",
                kind=kind,
                actor=actor,
                message=message,
                facts=facts,
            ),
        )


def seen(found: Rollout) -> dict[str, str]:
    """The evidence on which something is decided, as facts of an event."""
    facts = {
        "requests": str(found.counts.requests),
        "errors": str(found.counts.errors),
        "requests_beside": str(found.beside.requests),
        "errors_beside": str(found.beside.errors),
    }
    return facts | {f"guard {guard.name}": guard.sentence for guard in found.guards}
