"""Pure decisions of the loop: what to train on, what a verdict leads to, what was in production when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from treadle.data.types import SliceSpec
from treadle.evaluate.types import Evaluation, Verdict
from treadle.kernel.config import Config
from treadle.kernel.units import parse_duration
from treadle.registry.types import Transition
from treadle.retrain.types import Cycle, CycleState, Goal, Reign, StageName

STAGES: dict[Goal, tuple[StageName, ...]] = {
    "train": ("data", "check", "train", "evaluate"),
    "deploy": ("data", "check", "train", "evaluate", "register", "approve", "deploy"),
}


Fate = Literal["merge", "wait", "keep", "remove"]
KEPT_BRANCHES = 5
"""So many branches stay of cycles that got nothing into production; the data itself goes by retention."""


def branch_of(cycle: str) -> str:
    """The branch of a cycle's data."""
    return f"cycle/{cycle.partition('_')[2] or cycle}"


def fate(state: CycleState, status: str, *, promoted: bool, kept: int) -> Fate:
    """What becomes of a cycle's branch once the cycle has ended, where ``main`` hasn't its data.

    Args:
        state: How the cycle ended.
        status: Where its version stands; empty if it registered none.
        promoted: Whether its version is or was in production.
        kept: How many branches of later cycles are kept.
    """
    if promoted:
        return "merge"
    if state == "trial" or (state == "held" and status not in ("", "refused", "archived")):
        return "wait"
    if state in ("trained", "unchanged"):
        return "remove"
    return "keep" if kept < KEPT_BRANCHES else "remove"


def windows(
    config: Config, version: str, as_of: datetime, change: datetime | None = None
) -> tuple[SliceSpec, SliceSpec]:
    """Which rows to train on and which to hold out, looking back from a moment.

    The newest stretch is held out: a model is judged on what came after everything
    that it was trained on, as it will be in production. Rows count only if their label
    was known by ``as_of``.

    Args:
        config: The project's configuration.
        version: The digest of the dataset version.
        as_of: The moment.
        change: Since when the world is as it is, where ``[retrain.window]`` asks for that and it is known.
    """
    train, _ = config.training
    window = config.retrain.window
    cut = as_of - parse_duration(train.holdout)
    since = as_of - parse_duration(train.window) if train.window else None
    if window.policy == "since-change" and change is not None:
        least = cut - parse_duration(window.least or train.holdout)
        since = max(min(change, least), since) if since else min(change, least)
    half_life = parse_duration(window.half_life).total_seconds() if window.half_life else None
    return (
        SliceSpec(
            dataset=train.data,
            version=version,
            since=since,
            until=cut,
            known_by=as_of,
            half_life=half_life,
        ),
        SliceSpec(dataset=train.data, version=version, since=cut, until=as_of, known_by=as_of),
    )


def policy(config: Config, change: datetime | None = None) -> str:
    """How the rows to train on are chosen, one sentence."""
    train, _ = config.training
    window = config.retrain.window
    stretch = f"the last {train.window}" if train.window else "everything"
    held_out = f"of which the newest {train.holdout} are held out"
    if window.policy == "weighted":
        return f"weighted: {stretch}, {held_out}; a row counts for half at the age of {window.half_life}"
    if window.policy == "since-change":
        found = f"since the change around {change:%Y-%m-%d}" if change else f"no change is known: {stretch}"
        return f"since-change: {found}, {held_out}"
    return f"{'sliding' if train.window else 'expanding'}: {stretch}, {held_out}"


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


def costs(cycles: Sequence[Cycle]) -> list[float]:
    """What the latest cycles cost that cost anything, five at most, in CPU-seconds."""
    return [cycle.cpu_seconds for cycle in cycles if cycle.cpu_seconds > 0][-5:]


def typical_cost(cycles: Sequence[Cycle]) -> float | None:
    """What a cycle costs: the median of the latest; None before the first."""
    found = costs(cycles)
    return median(found) if found else None


def cause(evaluations: Sequence[Evaluation]) -> str:
    """By what the gate refused: the first check that failed, and its subject."""
    for evaluation in evaluations:
        for verdict in evaluation.verdicts:
            if verdict.outcome == "fail" and not verdict.exploratory:
                return f"{verdict.check} {verdict.subject}".strip()
    return ""


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
