"""What triggers say, what holds them back, and what a retraining would be."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.retrain.types import Cycle, Plan, PlannedStage, TriggerKind

HoldCause = Literal["running", "refusals", "cooldown", "limit", "budget"]


class Hold(msgspec.Struct, frozen=True):
    """Why a trigger that fires starts nothing.

    Attributes:
        cause: A cycle of the model runs; too many cycles ended for the same reason; a cycle was not
            long ago; too many cycles of other models run; the month's budget doesn't allow it.
        reason: The same with its figures.
    """

    cause: HoldCause
    reason: str


class Streak(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles in a row that ended for the same reason.

    Attributes:
        cause: By what they ended.
        cycles: Which they are, oldest first.
        until: Until when triggers rest.
        sentence: How the last of them ended.
    """

    cause: str
    cycles: tuple[str, ...]
    until: datetime
    sentence: str


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """What a trigger says just now.

    Attributes:
        trigger: Its name in ``[retrain]``.
        kind: What kind of cycle it starts.
        fires: Whether it calls for a cycle.
        reason: Why, or why not.
        key: What it fires for; the same as long as that is the same.
        alert: The alert behind it, if one is.
        hold: Why it starts nothing although it fires; None where it would.
    """

    trigger: str
    kind: TriggerKind
    fires: bool
    reason: str
    key: str = ""
    alert: str | None = None
    hold: Hold | None = None


class PlannedWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a retraining would learn from and be judged on.

    Attributes:
        policy: How they are chosen, one sentence.
        version: The newest version of the dataset; empty before the first.
        changed: Whether its files have changed since: the cycle would make a version of them first.
        since: The first moment to learn from; None from the beginning.
        until: The first moment that is held out.
        end: The last moment that is held out.
        rows: Rows to learn from.
        held_out: Rows to be judged on.
    """

    policy: str
    version: str
    changed: bool
    since: datetime | None
    until: datetime
    end: datetime
    rows: int
    held_out: int


class PlannedCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a retraining would cost, in CPU-seconds of its training jobs.

    Attributes:
        cpu_seconds: Probably; None before the first cycle.
        least: The cheapest of the cycles behind that figure.
        most: The dearest.
        cycles: How many they are.
        spent: In the last 30 days.
        limit: May be spent in 30 days; None without a budget.
    """

    cpu_seconds: float | None
    least: float | None
    most: float | None
    cycles: int
    spent: float
    limit: float | None


class RetrainPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What retraining would do now, and which trigger would start it; nothing is changed.

    Attributes:
        model: The model.
        as_of: The moment from which it would look back.
        triggers: What each trigger says.
        starts: The trigger that would start a cycle now; None if none would.
        window: The rows; None before the first version of the data.
        cost: What it would cost.
        gates: What would be asked of the candidate.
        cycle: What each stage would do, and what stands in the way.
        rests: Because of which cycles triggers rest, and until when; None if they don't.
    """

    model: str
    as_of: datetime
    triggers: tuple[Signal, ...]
    starts: str | None
    window: PlannedWindow | None
    cost: PlannedCost
    gates: tuple[PlannedStage, ...]
    cycle: Plan
    rests: Streak | None = None


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for a retraining.

    Attributes:
        cycle: The cycle that was started, now or when the same was asked before; None if none was.
        held_back: Why none was started.
    """

    cycle: Cycle | None = None
    held_back: str | None = None


class AskRetraining(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining that somebody asks for.

    Attributes:
        reason: Why.
        actor: Who asks; filled in by the client.
    """

    reason: str = "asked for by hand"
    actor: str = "api"


class WebhookBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook's body may say; anything else in it is passed over.

    Attributes:
        reason: Why.
        id: What it asks for: the same twice starts one cycle. Of GitHub, its delivery's.
    """

    reason: str = ""
    id: str = ""
