"""What the report tells, gathered from the rooms."""

from __future__ import annotations

from datetime import datetime

import msgspec

from treadle.evaluate import Evaluation, Evaluations
from treadle.kernel.errors import NotFound
from treadle.kernel.events import timeline
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Incident, Incidents, Monitors, PredictionLog, WindowResult
from treadle.registry import ModelVersion, Registry
from treadle.retrain.service import Cycles
from treadle.retrain.types import Cycle, Reign


class Turn(msgspec.Struct, frozen=True):
    """A cycle with the verdicts that decided it."""

    cycle: Cycle
    evaluations: tuple[Evaluation, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page shows.

    Attributes:
        model: The model.
        metric: The metric that it is held to.
        confidence: Of the intervals of its performance.
        now: The workspace's time.
        since: The start of what is shown.
        until: The end of what is shown.
        reigns: What was in production when.
        versions: The versions registered, oldest first.
        performance: Performance windows, oldest first.
        inputs: Drift of each input, by column, oldest first.
        prediction: Shift of the predictions, oldest first.
        apart: The latest figures of performance and fairness segment by segment, alerts first.
        alerts: The alerts raised.
        incidents: The incidents opened, oldest first.
        turns: The cycles towards production.
        not_started: Decisions not to start a cycle that a trigger called for, oldest first.
        predictions: How many predictions were served.
        cpu_seconds: What all cycles cost, experiments included.
    """

    model: str
    metric: str
    confidence: float
    now: datetime
    since: datetime
    until: datetime
    reigns: list[Reign]
    versions: list[ModelVersion]
    performance: list[WindowResult]
    inputs: dict[str, list[WindowResult]]
    prediction: list[WindowResult]
    apart: list[WindowResult]
    alerts: list[Alert]
    incidents: list[Incident]
    turns: list[Turn]
    not_started: list[Event]
    predictions: int
    cpu_seconds: float


def gather(workspace: Workspace, model: str) -> Facts:
    """The facts of a model.

    Raises:
        NotFound: If the model has no version yet.
    """
    versions = sorted(Registry(workspace).list(model), key=lambda version: version.number)
    if not versions:
        raise NotFound(f"{model} has no version yet", fix="`treadle run` makes the first")
    found = Monitors(workspace).windows(model)
    windows = [window for window in found if not window.segment]
    inputs: dict[str, list[WindowResult]] = {}
    for window in windows:
        if window.kind == "input":
            inputs.setdefault(window.subject, []).append(window)
    cycles = Cycles(workspace).list(model)
    reigns = Cycles(workspace).reigns(model)
    now = workspace.clock.now()
    starts = [w.since for w in windows] + [r.since for r in reigns] + [v.created_at for v in versions]
    return Facts(
        model=model,
        metric=workspace.config.checks.performance.metric,
        confidence=Monitors(workspace).confidence,
        now=now,
        since=min(starts),
        until=max([now, *(window.until for window in windows)]),
        reigns=reigns,
        versions=versions,
        performance=[w for w in windows if w.kind == "performance"],
        inputs=inputs,
        prediction=[w for w in windows if w.kind == "prediction"],
        apart=_apart(found),
        alerts=Monitors(workspace).alerts(model),
        incidents=Incidents(workspace).list(model),
        turns=[_turn(workspace, cycle) for cycle in cycles if cycle.goal == "deploy"],
        not_started=timeline(workspace.database, f"model:{model}", kinds=("held_back",)),
        predictions=PredictionLog(workspace).count(model),
        cpu_seconds=sum(cycle.cpu_seconds for cycle in cycles),
    )


def _turn(workspace: Workspace, cycle: Cycle) -> Turn:
    evaluations = Evaluations(workspace)
    return Turn(cycle, tuple(evaluations.get(e) for e in cycle.evaluations))


def _apart(windows: list[WindowResult]) -> list[WindowResult]:
    """What the last window found of segments and groups."""
    last = max((window.until for window in windows), default=None)
    found = [w for w in windows if w.until == last and w.segment and w.kind in {"performance", "fairness"}]
    return sorted(found, key=lambda w: (w.state != "alert", w.kind, w.segment, w.statistic))
