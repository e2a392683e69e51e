"""The end of cycles whose version took over step by step: with its trial. And of what cycles leave behind."""

from __future__ import annotations

import msgspec

from treadle.deploy import Deployments, Revision
from treadle.kernel.events import record
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import store, telling
from treadle.retrain.own_branch import tidy
from treadle.retrain.types import Cycle, CycleState


def settle(workspace: Workspace, model: str) -> list[Cycle]:
    """Ends the cycles whose version's trial has ended: promoted, or rolled back and why.

    Then has the data of cycles that have ended merged or let go.

    Returns:
        The cycles that ended now.
    """
    ended = _ended(workspace, model)
    tidy(workspace, model)
    return ended


def _ended(workspace: Workspace, model: str) -> list[Cycle]:
    with workspace.database.read() as connection:
        waiting = store.select(connection, model, "trial")
    if not waiting:
        return []
    revisions = {one.revision: one for one in Deployments(workspace).history(model)}
    promoted = {one.number for one in Registry(workspace).history(model) if one.after == "production"}
    ended = []
    for cycle in waiting:
        with workspace.database.read() as connection:
            found = store.load(connection, cycle.id)
        revision = revisions.get(found[2].revision) if found else None
        state = _end(cycle, revision, promoted)
        if state is not None and revision is not None:
            ended.append(_settle(workspace, cycle, state, revision))
    return ended


def _end(cycle: Cycle, revision: Revision | None, promoted: set[int]) -> CycleState | None:
    if revision is None or revision.state == "trial":
        return None
    return "promoted" if revision.state != "failed" and cycle.version in promoted else "rolled_back"


def _settle(workspace: Workspace, cycle: Cycle, state: CycleState, revision: Revision) -> Cycle:
    why = f"v{revision.version} in production, revision {revision.revision}"
    if state == "rolled_back":
        why = f"taken back: {revision.error or 'another revision came before its trial had ended'}"
    said = next((stage.summary for stage in cycle.stages if stage.name == "deploy"), "")
    cycle = store.replace_stage(cycle, "deploy", summary=f"{said}; {why}" if said else why)
    cause = "trial rolled_back" if state == "rolled_back" else ""
    cycle = msgspec.structs.replace(cycle, state=state, cause=cause)
    with workspace.database.write() as connection:
        store.update(connection, cycle)
        record(connection, telling.ended(cycle, workspace.clock.now()))
    return cycle
