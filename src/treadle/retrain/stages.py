"""The stages of a cycle: each reads what the earlier ones came to and has its effect once."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from treadle.kernel.errors import TreadleError
from treadle.kernel.events import record
from treadle.kernel.workspace import Workspace
from treadle.retrain import store, telling
from treadle.retrain.gate import approve, check, evaluate, register
from treadle.retrain.make import data, train
from treadle.retrain.own_branch import tidy
from treadle.retrain.publish import deploy
from treadle.retrain.service import Cycles
from treadle.retrain.step import CycleContext, Step
from treadle.retrain.types import Cycle, NewCycle
from treadle.retrain.work import Work

_log = logging.getLogger("treadle.cycle")
_TOLD_EVERY = 1.0
_STAGES: dict[str, Callable[[CycleContext], Step]] = {
    "data": data,
    "check": check,
    "train": train,
    "evaluate": evaluate,
    "register": register,
    "approve": approve,
    "deploy": deploy,
}


def perform(workspace: Workspace, cycle_id: str, name: str) -> bool:
    """Performs one stage of a cycle, once in effect however often it is called.

    Returns:
        Whether the cycle goes on to its next stage.
    """
    cycle, asked, work = _load(workspace, cycle_id)
    stage = next(stage for stage in cycle.stages if stage.name == name)
    if cycle.state != "running" or stage.state == "done":
        return _goes_on(workspace, cycle, cycle.state == "running")
    cycle = store.replace_stage(cycle, name, state="running", started_at=datetime.now(UTC))
    try:
        _save(workspace, cycle)
        step = _STAGES[name](CycleContext(workspace, cycle, asked, work, _teller(workspace, cycle_id, name)))
        _finish(workspace, cycle, name, step)
    except TreadleError as error:
        Cycles(workspace).fail(cycle_id, error)
        return _goes_on(workspace, cycle, goes_on=False)
    except Exception as error:  # noqa: BLE001 - a cycle that stumbles over a bug must end and say so
        _log.exception("cycle %s, stage %s", cycle_id, name)
        kind = error.__class__.__name__
        Cycles(workspace).fail(
            cycle_id,
            TreadleError(
                f"stage {name} stopped on an unexpected {kind}: {error}",
                where=cycle_id,
                fix="the log of `treadle up` has the details; please report it",
            ),
        )
        return _goes_on(workspace, cycle, goes_on=False)
    return _goes_on(workspace, cycle, step.end is None)


def _teller(workspace: Workspace, cycle_id: str, name: str) -> Callable[[str], None]:
    """Writes down how far a stage is, once a second at most, for whoever follows the cycle."""
    last = -math.inf

    def say(line: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _TOLD_EVERY:
            return
        last = now
        # A line that can't be written is no reason to end a cycle.
        with contextlib.suppress(TreadleError), workspace.database.write() as connection:
            found = store.load(connection, cycle_id)
            if found is not None and found[0].state == "running":  # else somebody has ended it meanwhile
                store.update(connection, store.replace_stage(found[0], name, summary=line))

    return say


def _goes_on(workspace: Workspace, cycle: Cycle, goes_on: bool) -> bool:
    """Whether the cycle goes on; if not, its data is merged or left, also if a process died right before."""
    if not goes_on:
        tidy(workspace, cycle.model)
    return goes_on


def _load(workspace: Workspace, cycle_id: str) -> tuple[Cycle, NewCycle, Work]:
    with workspace.database.read() as connection:
        found = store.load(connection, cycle_id)
    if found is None:
        raise Cycles(workspace).missing(cycle_id)
    return found


def _save(workspace: Workspace, cycle: Cycle, work: Work | None = None) -> None:
    with workspace.database.write() as connection:
        store.update(connection, cycle, work)
        if cycle.state != "running":
            record(connection, telling.ended(cycle, workspace.clock.now()))


def _finish(workspace: Workspace, cycle: Cycle, name: str, step: Step) -> None:
    """Writes the stage's result and, where it ends the cycle, the cycle's, in one transaction."""
    now = datetime.now(UTC)
    cycle = store.replace_stage(cycle, name, state="done", ended_at=now, summary=step.summary)
    work = step.work
    cycle = msgspec.structs.replace(
        cycle,
        version=work.number or None,
        evaluations=tuple(e for e in (work.data_evaluation, work.model_evaluation) if e),
        runs=tuple(training.run for training in work.trainings),
        cpu_seconds=sum(training.job.cpu_seconds for training in work.trainings if not training.cached),
    )
    if step.end is not None:
        cycle = msgspec.structs.replace(cycle, state=step.end, ended_at=now, cause=step.cause)
        for stage in cycle.stages:
            if stage.state == "pending":
                cycle = store.replace_stage(cycle, stage.name, state="skipped")
    _save(workspace, cycle, work)
