"""What a cycle is: one turn of the wheel, stage by stage."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from treadle.deploy.types import Revision
from treadle.experiment.types import DEFAULT
from treadle.monitor.types import Alert, WindowResult
from treadle.registry.types import Approval, Standing

TriggerKind = Literal["manual", "alert", "drift", "schedule", "data", "webhook"]
StageName = Literal["data", "check", "train", "evaluate", "register", "approve", "deploy"]
StageState = Literal["pending", "running", "done", "failed", "skipped"]
CycleState = Literal[
    "running", "trained", "trial", "promoted", "rolled_back", "refused", "held", "unchanged", "failed"
]
Goal = Literal["train", "deploy"]
Scalar: TypeAlias = bool | int | float | str


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """Why a cycle was started.

    Attributes:
        kind: By hand, by an alert, or by what else ``[retrain]`` declares.
        actor: Who asked.
        reason: One sentence.
        alert: The alert, if one did.
        name: The trigger's name in ``[retrain]``; empty by hand.
        key: What it was started for, such as a webhook's delivery: nothing starts two cycles.
    """

    kind: TriggerKind
    actor: str
    reason: str
    alert: str | None = None
    name: str = ""
    key: str = ""


class NewCycle(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for when a cycle is started.

    Attributes:
        goal: To train and compare only, or to get into production.
        trigger: Why.
        params: Hyperparameters that differ from ``[train.params]``.
        like: A run whose hyperparameters to take instead.
        name: What to call its runs.
        experiment: What its runs belong to.
    """

    trigger: Trigger
    goal: Goal = "deploy"
    params: dict[str, Scalar] = {}
    like: str | None = None
    name: str | None = None
    experiment: str = DEFAULT


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a cycle.

    Attributes:
        name: Which.
        state: How far it is.
        started_at: When it began, by the machine's clock.
        ended_at: When it ended, by the machine's clock.
        summary: What came of it, one sentence; of one that runs, how far it is, if it says so.
    """

    name: StageName
    state: StageState = "pending"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    summary: str = ""


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of the wheel.

    Attributes:
        id: Its identity.
        model: The model.
        goal: To train and compare only, or to get into production.
        trigger: Why it was started.
        as_of: The moment from which it looks back.
        state: Running, or how it ended: trained (its goal was no more), in trial (its version takes
            over step by step), promoted, rolled back out of its trial, refused by the gate, held for
            approval, unchanged (production was made of the same), failed.
        stages: Its stages, in order.
        started_at: When it began, by the machine's clock.
        ended_at: When it ended, by the machine's clock.
        version: The version that it registered.
        evaluations: The evaluations that it made.
        runs: The runs that it trained.
        cpu_seconds: What its jobs cost.
        error: Why it failed.
        cause: What it ended by, where it was refused or failed, such as ``no_worse overall`` or ``train
            job_failed``: two that ended by the same ended for the same reason.
    """

    id: str
    model: str
    goal: Goal
    trigger: Trigger
    as_of: datetime
    state: CycleState
    stages: tuple[Stage, ...]
    started_at: datetime
    ended_at: datetime | None = None
    version: int | None = None
    evaluations: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    error: str | None = None
    cause: str = ""


class PlannedStage(msgspec.Struct, frozen=True):
    """What a stage would do."""

    name: StageName
    sentence: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle would do, without doing it.

    Attributes:
        model: The model.
        as_of: The moment from which it would look back.
        stages: What each stage would do.
        problems: Why it would not get to the end, as far as can be seen now.
        cpu_seconds: What it would cost, from the latest cycles; None without any.
    """

    model: str
    as_of: datetime
    stages: tuple[PlannedStage, ...]
    problems: tuple[str, ...]
    cpu_seconds: float | None


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at the world found and started.

    Attributes:
        windows: The windows that were computed.
        alerts: The alerts that were raised.
        cycle: The cycle that a trigger started, if any.
        held_back: Why a trigger that could start a cycle did not, where that is news.
    """

    windows: list[WindowResult]
    alerts: list[Alert]
    cycle: str | None = None
    held_back: str | None = None


class ReplayState(msgspec.Struct, frozen=True, kw_only=True):
    """A replay of the past.

    Attributes:
        since: Where it began.
        at: The replayed time.
        end: The end of the data, up to which it can go.
    """

    since: datetime
    at: datetime
    end: datetime


class ReplayStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a replay.

    Attributes:
        since: The replayed time before.
        until: The replayed time after.
        requests: Requests sent to the inference server.
        failed: Of those, how many were not answered with predictions.
        rows: Rows predicted.
        labels: Labels that became known.
        tick: What the monitors found and started.
    """

    since: datetime
    until: datetime
    requests: int
    failed: int
    rows: int
    labels: int
    tick: Tick


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval set off.

    Attributes:
        standing: Where the version stands now.
        revision: The revision that deploys it, if it went to production.
    """

    standing: Standing
    revision: Revision | None = None


class Reign(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time in which a version was in production.

    Attributes:
        version: The version.
        since: From when.
        until: Until when; None when it still is.
        actor: Who put it there.
        reason: Why.
        cycle: The cycle that made it, if any.
        cpu_seconds: What that cycle cost.
        override: Whether it went there although its gate had not let it pass.
    """

    version: int
    since: datetime
    until: datetime | None
    actor: str
    reason: str
    cycle: str | None = None
    cpu_seconds: float | None = None
    override: bool = False


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation that a version went through.

    Attributes:
        evaluation: Its identifier.
        outcome: What it came to; ``gone`` if it isn't kept any more.
        sentence: Its worst verdict, or what it found.
    """

    evaluation: str
    outcome: str
    sentence: str


class InProduction(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was in production at a moment.

    Attributes:
        ref: The version.
        at: The moment.
        share: The part of the requests to Treadle's inference servers that it answered, from 0 to 1;
            None while they answered none.
        revision: The deployment's revision that served it.
        reign: From when until when it was in production, who let it in, and why.
        approvals: Who had approved it for production, as it stood then.
        evidence: The evaluations that it went through.
        deleted: Whether it was deleted since.
        trial: Whether it was only tried beside the one in production, and its reign is that of the trial.
    """

    ref: str
    at: datetime
    share: float | None
    revision: int | None
    reign: Reign
    approvals: tuple[Approval, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    deleted: bool = False
    trial: bool = False
