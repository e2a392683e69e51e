"""Pure decisions of the loop: what to train on, what a verdict leads to, when an alert starts a cycle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from treadle.data.types import SliceSpec
from treadle.evaluate.types import Evaluation, Verdict
from treadle.kernel.config import Config
from treadle.kernel.units import format_duration, parse_duration
from treadle.registry.types import Transition
from treadle.retrain.types import Cycle, CycleState, Goal, Reign, StageName

STAGES: dict[Goal, tuple[StageName, ...]] = {
    "train": ("data", "check", "train", "evaluate"),
    "deploy": ("data", "check", "train", "evaluate", "register", "approve", "deploy"),
}


def windows(config: Config, version: str, as_of: datetime) -> tuple[SliceSpec, SliceSpec]:
    """Which rows to train on and which to hold out, looking back from a moment.

    The newest stretch is held out: a model is judged on what came after everything
    that it was trained on, as it will be in production. Rows count only if their label
    was known by ``as_of``.
    """
    train, _ = config.training
    cut = as_of - parse_duration(train.holdout)
    since = as_of - parse_duration(train.window) if train.window else None
    return (
        SliceSpec(dataset=train.data, version=version, since=since, until=cut, known_by=as_of),
        SliceSpec(dataset=train.data, version=version, since=cut, until=as_of, known_by=as_of),
    )


def conclusion(outcomes: Sequence[str], *, by_hand: bool) -> CycleState:
    """What the gate's outcomes lead to.

    A failed check refuses. One that can't tell never deploys by itself: the version is
    held for a person, as it is where no version goes to production by itself.
    """
    if "fail" in outcomes:
        return "refused"
    if "inconclusive" in outcomes or by_hand:
        return "held"
    return "promoted"


def reason(evaluations: Sequence[Evaluation]) -> str:
    """Why the gate decided as it did: the worst verdict's sentence."""
    verdicts = [verdict for evaluation in evaluations for verdict in evaluation.verdicts]
    for outcome in ("fail", "inconclusive"):
        worst = [one for one in verdicts if one.outcome == outcome and not one.exploratory]
        if worst:
            more = f" (and {len(worst) - 1} more)" if len(worst) > 1 else ""
            return worst[0].sentence + more
    return _headline(verdicts)


def _headline(verdicts: Sequence[Verdict]) -> str:
    overall = [v for v in verdicts if v.check == "no_worse" and v.subject == "overall"]
    others = [v for v in verdicts if v.check == "bound"]
    return (overall or others or list(verdicts))[0].sentence


def holds_back(cycles: Sequence[Cycle], cooldown: str, now: datetime) -> str | None:
    """Why an alert starts no cycle; ``None`` when it does.

    Args:
        cycles: The model's cycles towards production.
        cooldown: How long after a cycle none does.
        now: The time.
    """
    if any(cycle.state == "running" for cycle in cycles):
        return "a cycle is running"
    rest = parse_duration(cooldown)
    recent = [cycle.as_of for cycle in cycles if cycle.as_of > now - rest]
    if recent:
        left = max(recent) + rest - now
        return f"the last cycle was less than {cooldown} ago; {format_duration(left.total_seconds())} to go"
    return None


def reigns(transitions: Sequence[Transition], cycles: Sequence[Cycle]) -> list[Reign]:
    """What was in production when, oldest first, from the changes of status."""
    made_by = {cycle.version: cycle for cycle in cycles if cycle.version is not None}
    found: list[Reign] = []
    for change in sorted(transitions, key=lambda change: change.at):
        if change.after == "production":
            cycle = made_by.get(change.number)
            found.append(
                Reign(
                    version=change.number,
                    since=change.at,
                    until=None,
                    actor=change.actor,
                    reason=change.reason,
                    cycle=cycle.id if cycle else None,
                    cpu_seconds=cycle.cpu_seconds if cycle else None,
                    override=change.override,
                )
            )
        elif change.before == "production" and found:
            open_ = [i for i, reign in enumerate(found) if reign.version == change.number and not reign.until]
            for i in open_:
                found[i] = _until(found[i], change.at)
    return found


def reigned(reign: Reign, at: datetime) -> bool:
    """Whether a version was in production at a moment; a reign counts from its first moment on."""
    return reign.since <= at and (reign.until is None or at < reign.until)


def _until(reign: Reign, at: datetime) -> Reign:
    import msgspec

    return msgspec.structs.replace(reign, until=at)


def replay_steps(start: datetime, end: datetime, every: timedelta) -> list[datetime]:
    """The moments at which a replay stops to look, ``end`` included."""
    moments = []
    at = start + every
    while at < end:
        moments.append(at)
        at += every
    return [*moments, end] if end > start else []
