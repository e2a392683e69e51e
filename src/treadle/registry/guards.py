"""The stages that a team declares, and what lets a version into each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from treadle.kernel.config import Config, StageConfig
from treadle.kernel.errors import Conflict, InvalidInput, Refused
from treadle.registry.rules import MOVES, PASSING
from treadle.registry.types import Approval, ModelVersion, Status

PRODUCTION = "production"


def between(config: Config) -> tuple[str, ...]:
    """The stages that a version goes through before production, in order; empty if none are declared."""
    return tuple(name for name in config.registry.stages if name != PRODUCTION)


def moves(config: Config) -> dict[Status, tuple[Status, ...]]:
    """Every change of status that there is."""
    stages = between(config)
    if not stages:
        return MOVES
    found = {status: after for status, after in MOVES.items() if status != "staging"}
    found["candidate"] = (stages[0], "refused", "archived")
    for stage, after in zip(stages, (*stages[1:], PRODUCTION), strict=True):
        found[stage] = (after, "archived")
    return found


def next_stage(config: Config, status: Status) -> str | None:
    """Where a version goes next on its way to production; None if it isn't on it."""
    stages = ("candidate", *between(config), PRODUCTION)
    if status in stages[:-1]:
        return stages[stages.index(status) + 1]
    return PRODUCTION if status == "staging" else None


def has_reached(config: Config, status: Status, stage: str) -> bool:
    """Whether a version is at a stage or has come beyond it on its way to production."""
    way = ("candidate", *between(config), PRODUCTION)
    now = PRODUCTION if status == "deprecated" else status
    return now in way and stage in way and way.index(now) >= way.index(stage)


def guard(config: Config, stage: str) -> StageConfig:
    """What a version needs to go to a stage."""
    return config.registry.stages.get(stage) or StageConfig()


def may_approve(config: Config, stage: str) -> tuple[str, ...]:
    """Who may approve that a version goes to a stage; empty if anybody may."""
    roles = guard(config, stage).roles
    return tuple(sorted({member for role in roles for member in config.teams[role].members}))


def check_approver(
    config: Config, version: ModelVersion, stage: str, actor: str, makers: Iterable[str]
) -> None:
    """Refuses an approval by somebody who may not give it.

    Args:
        config: Who may.
        version: The version.
        stage: Where it is to go.
        actor: Who approves.
        makers: Who made or registered the version.

    Raises:
        Refused: With who may.
    """
    asked, may = guard(config, stage), may_approve(config, stage)
    if asked.roles and actor not in may:
        raise Refused(
            f"{actor} can't approve it for {stage}: that is for {' and '.join(asked.roles)}",
            where=version.ref,
            fix=f"ask {', '.join(may)}",
        )
    if asked.four_eyes and (actor in set(makers) or actor == "mlflow"):
        why = "doesn't say who asks" if actor == "mlflow" else "made or registered it"
        others = [one for one in may if one not in set(makers)]
        raise Refused(
            f"{actor} {why}, and {stage} takes four eyes",
            where=version.ref,
            fix=f"ask {', '.join(others)}" if others else "ask somebody else (`treadle models approve`)",
        )


def counting(
    config: Config, stage: str, approvals: Iterable[Approval], makers: Iterable[str]
) -> list[Approval]:
    """The approvals that count for a stage as it is declared now: one of each person."""
    asked, may, made = guard(config, stage), may_approve(config, stage), set(makers)
    found: dict[str, Approval] = {}
    for one in approvals:
        able = not asked.roles or one.actor in may
        other = not asked.four_eyes or one.actor not in made
        if one.stage == stage and one.withdrawn_at is None and able and other:
            found.setdefault(one.actor, one)
    return list(found.values())


def check_guard(
    config: Config,
    version: ModelVersion,
    stage: str,
    approvals: Sequence[Approval],
    makers: Iterable[str],
    outcome: str,
) -> None:
    """Refuses a stage to a version that lacks what it takes.

    A version that was in production before may come back without being asked again, unless an
    approval of it was withdrawn: a rollback can't wait.

    Raises:
        Refused: With all that is missing.
    """
    asked, given = guard(config, stage), len(counting(config, stage, approvals, makers))
    withdrawn = any(one.withdrawn_at for one in approvals if one.stage == stage)
    if version.status == "deprecated" and not withdrawn:
        return
    lacking = []
    if "verdict" in asked.needs and outcome not in PASSING:
        lacking.append(f"its evaluations must pass (they came to {outcome or 'nothing'})")
    if given < asked.needed:
        may = may_approve(config, stage)
        by = f" by {', '.join(may)}" if may else ""
        lacking.append(f"{asked.needed - given} more of {asked.needed} approvals are needed{by}")
    if lacking:
        raise Refused(
            f"it can't go to {stage}: {'; '.join(lacking)}",
            where=version.ref,
            fix=f"treadle models approve {version.ref} --reason TEXT" if given < asked.needed else None,
        )


def check_reason(reason: str, where: str) -> None:
    """Refuses a decision without a reason.

    Raises:
        InvalidInput: If there is none.
    """
    if not reason.strip():
        raise InvalidInput("a reason is needed", where=where, fix="say why with --reason")


def check_waiting(config: Config, version: ModelVersion) -> str:
    """Where a version that waits goes next.

    Raises:
        Conflict: If it doesn't wait.
    """
    stage = next_stage(config, version.status)
    if stage is None:
        raise Conflict(
            f"{version.ref} is {version.status}; only a version on its way to production can be approved",
            where=version.ref,
            fix="`treadle models ls` shows what waits",
        )
    return stage
