"""Moving a branch on to a version that follows where it stands: no new version, no bytes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import sqlalchemy as sa

from treadle.data import store as versions
from treadle.data.branches import store
from treadle.data.branches.commits import check_unprotected, moved
from treadle.data.branches.types import Ref
from treadle.data.rules import check_live
from treadle.data.types import DatasetVersion
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace


def forward(
    workspace: Workspace,
    branch: str,
    version: DatasetVersion,
    expected: int | None,
    actor: str,
    *,
    message: str = "",
    reviewed: bool = False,
    within: Callable[[sa.Connection, DatasetVersion], None] | None = None,
) -> None:
    """Has a branch stand at a version that follows the one at which it stood.

    Args:
        workspace: Where.
        branch: The branch.
        version: The version; the caller knows that it follows.
        expected: The number at which the branch must stand; None where it has none yet.
        actor: Who asks.
        message: Why.
        reviewed: Whether a review allows it, so that a protected branch may move.
        within: Called in the transaction that moves the branch; refuses by raising.

    Raises:
        Conflict: If the branch doesn't stand where it was expected, or is protected.
        Deleted: If the version was deleted meanwhile.
    """
    at = workspace.clock.now()
    dataset = version.dataset
    ref = Ref(dataset=dataset, kind="branch", name=branch, number=version.number, changed_at=at, actor=actor)
    with workspace.database.write() as connection:
        check_live(*versions.hold(connection, dataset, [version.number]))
        found = store.find_ref(connection, dataset, "branch", branch)
        if found is not None and not reviewed:
            check_unprotected(found)
        if not store.move_ref(connection, ref, expected, at, actor):
            raise moved(dataset, branch, expected, found.number if found else None)
        record(connection, _told(version, branch, expected, actor, message, at))
        if within is not None:
            within(connection, version)


def _told(
    version: DatasetVersion, branch: str, before: int | None, actor: str, message: str, at: datetime
) -> Event:
    stood = f"from v{before} " if before else ""
    why = f": {message}" if message else ""
    return Event(
        id=f"data_forward:{version.dataset}:{branch}:{before or 0}:{version.number}",
        at=at,
        recorded_at=datetime.now(UTC),
        subject=f"data:{version.dataset}",
        kind="forwarded",
        actor=actor,
        message=f"branch {branch} moved {stood}on to {version.ref}{why}",
        facts={"branch": branch, "version": version.ref, "commit": version.commit_id},
    )
