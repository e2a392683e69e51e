"""What a model's timeline tells of its cycles. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from treadle.kernel.types import Event
from treadle.retrain.types import Cycle


def started(cycle: Cycle) -> Event:
    """A cycle was started, by whom or what, and why."""
    trigger = cycle.trigger
    facts = {"cycle": cycle.id, "goal": cycle.goal, "trigger": trigger.name or trigger.kind}
    return Event(
        id=f"cycle_started:{cycle.id}",
        at=cycle.as_of,
        recorded_at=datetime.now(UTC),
        subject=f"model:{cycle.model}",
        kind="cycle_started",
        actor=trigger.actor,
        message=f"a cycle was started: {trigger.reason}",
        facts={**facts, **({"alert": trigger.alert} if trigger.alert else {})},
    )


def ended(cycle: Cycle, at: datetime) -> Event:
    """A cycle has ended: how, and why.

    Args:
        cycle: The cycle as it ended.
        at: The workspace's time.
    """
    said = [stage.summary for stage in cycle.stages if stage.summary]
    why = said[-1].partition("\n")[0] if said else (cycle.error or "").partition("\n")[0]
    facts = {"cycle": cycle.id, "state": cycle.state}
    facts |= {"version": f"{cycle.model}/{cycle.version}"} if cycle.version else {}
    facts |= {"cause": cycle.cause} if cycle.cause else {}
    return Event(
        id=f"cycle_ended:{cycle.id}:{cycle.state}",
        at=at,
        recorded_at=datetime.now(UTC),
        subject=f"model:{cycle.model}",
        kind=f"cycle_{cycle.state}",
        actor=f"cycle:{cycle.id}",
        message=f"the cycle ended: {cycle.state}" + (f"; {why}" if why else ""),
        facts=facts,
    )
