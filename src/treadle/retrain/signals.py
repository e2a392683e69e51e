"""Whether a trigger fires, and what holds it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from treadle.kernel.config import RetrainConfig, TriggerConfig
from treadle.kernel.units import format_bytes, format_duration, parse_duration, parse_size
from treadle.monitor.types import Alert, WindowResult
from treadle.retrain.trigger_types import Hold, Signal, Streak
from treadle.retrain.types import Cycle

ALERTS = ("performance", "estimated", "input", "prediction")
"""Triggers that are alerts of a monitor of that name."""

_FREE = ("schedule", "webhook")  # they come when they are asked to, and have no cooldown of themselves
_LEAST_REST = timedelta(days=1)
_DOUBLINGS = 6


# ── what fires ───────────────────────────────────────────────────────────


def alert_signals(
    triggers: Mapping[str, TriggerConfig], alerts: Sequence[Alert], holding: AbstractSet[tuple[str, int]]
) -> list[Signal]:
    """What the triggers on alerts say, those of the latest alerts first.

    An alert calls for a cycle until one was started for it, as long as its monitor's latest window,
    of the version in production, is in alert: so one that was held back is acted on when it can be.

    Args:
        triggers: Those on alerts, by name.
        alerts: The alerts raised, oldest first.
        holding: Monitors whose latest window is in alert, each with the version that it is about.
    """
    found: dict[str, Signal] = {}
    for alert in reversed(alerts):
        if alert.cycle is not None or (alert.kind, alert.version) not in holding:
            continue
        for name, trigger in triggers.items():
            if trigger.on == alert.kind and name not in found:
                found[name] = Signal(
                    trigger=name,
                    kind="alert",
                    fires=True,
                    reason=alert.sentence,
                    key=alert.id,
                    alert=alert.id,
                )
    acted = {(alert.kind, alert.version) for alert in alerts if alert.cycle is not None}
    for name, trigger in triggers.items():
        if name not in found:
            on = [version for kind, version in holding if kind == trigger.on and (kind, version) in acted]
            why = "a cycle was started for it" if on else f"no {trigger.on} alert holds"
            found[name] = Signal(trigger=name, kind="alert", fires=False, reason=why)
    return list(found.values())


def drift_signal(name: str, trigger: TriggerConfig, results: Sequence[WindowResult]) -> Signal:
    """Whether the inputs have drifted where the model leans on them.

    The excess is the mean, weighted by the inputs' importance, of how far each one's index is over the
    limit from which it is an alert, as a share of that limit; an input below its limit counts as 0, and so
    does one whose drift bad data explains: a feed that is broken isn't learned from. Where the importance
    of one isn't known, all count alike.

    Args:
        name: The trigger's name.
        trigger: What it declares.
        results: The latest window's results.
    """
    inputs = [
        one
        for one in results
        if one.kind == "input" and not one.segment and one.value is not None and one.limit
    ]
    if not inputs:
        return Signal(trigger=name, kind="drift", fires=False, reason="no window tells of the inputs yet")
    shares = [one.importance for one in inputs if one.importance is not None]
    known = len(shares) == len(inputs) and sum(shares) > 0
    weights = [share / sum(shares) for share in shares] if known else [1 / len(inputs)] * len(inputs)
    over = [
        0.0 if one.explained_by else max(0.0, (one.value or 0.0) / (one.limit or 1.0) - 1) for one in inputs
    ]
    parts = sorted(
        zip([w * o for w, o in zip(weights, over, strict=True)], inputs, strict=True),
        key=lambda part: -part[0],
    )
    excess = sum(part for part, _ in parts)
    worst = ", ".join(f"{one.subject} {part:.2f}" for part, one in parts[:3] if part > 0)
    fires = excess >= trigger.excess
    reason = f"inputs are {excess:.2f} over their limits, {'over' if fires else 'under'} {trigger.excess:g}"
    reason = f"{reason} ({worst})" if worst else reason
    bad = ", ".join(one.subject for one in inputs if one.explained_by)
    return Signal(
        trigger=name,
        kind="drift",
        fires=fires,
        reason=f"{reason}; without {bad}, whose drift is bad data" if bad else reason,
        key=f"{inputs[0].version}:{inputs[0].until.isoformat()}",
    )


def schedule_signal(name: str, trigger: TriggerConfig, since: datetime | None, now: datetime) -> Signal:
    """Whether a scheduled time has come since the last cycle.

    A cycle of any kind since then has done what was scheduled, and however many times were missed
    while nothing ran, one cycle makes up for them.

    Args:
        name: The trigger's name.
        trigger: What it declares.
        since: When the last cycle looked back from; None before the first.
        now: The time.
    """
    if since is None:
        why = "no version has been made yet: `treadle run` makes the first"
        return Signal(trigger=name, kind="schedule", fires=False, reason=why)
    due = scheduled(trigger, now, back=True)
    if due > since:
        at = due.astimezone(ZoneInfo(trigger.timezone))
        why = f"it is due since {at:%Y-%m-%d %H:%M} ({trigger.cron}, {trigger.timezone})"
        return Signal(trigger=name, kind="schedule", fires=True, reason=why, key=due.isoformat())
    at = scheduled(trigger, now).astimezone(ZoneInfo(trigger.timezone))
    why = f"it is due at {at:%Y-%m-%d %H:%M} {trigger.timezone}"
    return Signal(trigger=name, kind="schedule", fires=False, reason=why)


def scheduled(trigger: TriggerConfig, now: datetime, *, back: bool = False) -> datetime:
    """The next time of a schedule after a moment, or the latest that is not after it."""
    from croniter import croniter

    zone = ZoneInfo(trigger.timezone)
    if back:
        start = (now + timedelta(microseconds=1)).astimezone(zone)
        found: datetime = croniter(trigger.cron, start).get_prev(type(now))
    else:
        found = croniter(trigger.cron, now.astimezone(zone)).get_next(type(now))
    return found.astimezone(now.tzinfo)


def data_signal(
    name: str, trigger: TriggerConfig, *, rows: int, bytes_: int, version: str, key: str
) -> Signal:
    """Whether enough data has arrived since the version in production was trained.

    Args:
        name: The trigger's name.
        trigger: What it declares.
        rows: Rows whose labels became known since.
        bytes_: By how much the dataset has grown since, in bytes.
        version: The version in production.
        key: What the dataset holds now.
    """
    least = parse_size(trigger.bytes) if trigger.bytes else None
    fires = (trigger.rows is not None and rows >= trigger.rows) or (least is not None and bytes_ >= least)
    asked = [f"{trigger.rows:,} rows"] if trigger.rows is not None else []
    asked += [format_bytes(least)] if least is not None else []
    grown = [f"{rows:,} rows"] if trigger.rows is not None else []
    grown += [format_bytes(max(0, bytes_))] if least is not None else []
    reason = f"{' and '.join(grown)} arrived since {version} was trained; {' or '.join(asked)} are asked for"
    return Signal(
        trigger=name, kind="data", fires=fires, reason=reason, key=f"{version}:{key}" if fires else ""
    )


# ── what holds back ──────────────────────────────────────────────────────


def cooldown_of(trigger: TriggerConfig, config: RetrainConfig) -> str | None:
    """How long after a cycle a trigger starts none; None if it may at once."""
    if trigger.cooldown is not None:
        return trigger.cooldown
    return None if trigger.on in _FREE else config.cooldown


def streak(cycles: Sequence[Cycle], config: RetrainConfig) -> Streak | None:
    """The latest cycles, if so many ended for one reason that triggers rest; None otherwise.

    They rest for the cooldown after the last of them, and twice as long after each further one, at
    most 64 times as long; a cycle by hand goes on at any time, and one that ends otherwise ends it. One that
    found nothing new to decide, for its version is there already, neither ends nor lengthens it.

    Args:
        cycles: The model's cycles towards production, oldest first.
        config: The ``[retrain]`` table.
    """
    ended = [cycle for cycle in cycles if cycle.state not in {"running", "unchanged"}]
    same: list[Cycle] = []
    for cycle in reversed(ended):
        if not cycle.cause or (same and cycle.cause != same[0].cause):
            break
        same.append(cycle)
    if len(same) < config.refusals:
        return None
    rest = max(parse_duration(config.cooldown), _LEAST_REST)
    last = same[0]
    said = [stage.summary for stage in last.stages if stage.summary]
    return Streak(
        cause=last.cause,
        cycles=tuple(cycle.id for cycle in reversed(same)),
        until=last.as_of + rest * 2 ** min(len(same) - config.refusals, _DOUBLINGS),
        sentence=said[-1].partition("\n")[0] if said else "",
    )


def hold(
    cycles: Sequence[Cycle],
    cooldown: str | None,
    now: datetime,
    *,
    resting: Streak | None = None,
    others: int = 0,
    limit: int | None = None,
    over_budget: str | None = None,
) -> Hold | None:
    """What holds a trigger back; None if nothing does.

    Args:
        cycles: The model's cycles towards production.
        cooldown: How long after a cycle it starts none; None if it may at once.
        now: The time.
        resting: Cycles that ended for one reason, if so many did that triggers rest.
        others: How many cycles of other models run.
        limit: How many may run at once; None for any number.
        over_budget: What the month's budget says to a cycle; None if it allows one.
    """
    if any(cycle.state == "running" for cycle in cycles):
        return Hold("running", "a cycle is running")
    if resting is not None and now < resting.until:
        return Hold(
            "refusals",
            f"the last {len(resting.cycles)} cycles ended for the same reason ({resting.cause}); "
            f"triggers rest until {resting.until:%Y-%m-%d %H:%M}",
        )
    if cooldown is not None:
        rest = parse_duration(cooldown)
        recent = [cycle.as_of for cycle in cycles if cycle.as_of > now - rest]
        if recent:
            left = format_duration((max(recent) + rest - now).total_seconds())
            return Hold("cooldown", f"the last cycle was less than {cooldown} ago; {left} to go")
    if limit is not None and others >= limit:
        return Hold("limit", f"{others} cycles of other models run, and {limit} may run at once")
    return Hold("budget", over_budget) if over_budget else None
