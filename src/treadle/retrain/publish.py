"""The stage that puts a version to work, and the ways a person does the same."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from treadle.deploy import Deployments, Environments, LoadTests, Revision
from treadle.evaluate import Evaluations, aggregate
from treadle.kernel.config import DeployConfig, StrategyName
from treadle.kernel.errors import Conflict, JobFailed, Refused
from treadle.kernel.workspace import Workspace
from treadle.registry import (
    MLFLOW,
    Approvals,
    Catalog,
    CatalogVersion,
    ModelVersion,
    Registry,
    Stage,
    check_stage,
    stage_of,
)
from treadle.retrain import rules
from treadle.retrain.own_branch import tidy
from treadle.retrain.step import CycleContext, Step
from treadle.retrain.types import Approved

_PATIENCE = 60.0


def deploy(context: CycleContext) -> Step:
    """Has the version served; it counts as production once it answers requests."""
    workspace, cycle, work = context.workspace, context.cycle, context.work
    evaluations = [Evaluations(workspace).get(e) for e in cycle.evaluations]
    version = Registry(workspace).get(f"{cycle.model}/{work.number}")
    revision = publish(
        workspace,
        version,
        f"cycle:{cycle.id}",
        rules.reason(evaluations),
        cycle.id,
        outcome="pass",
        told=context.say,
    )
    work = replace(work, revision=revision.revision)
    if revision.plan is not None:
        how = f"{version.ref} in trial, revision {revision.revision}, {revision.plan.strategy}"
        return Step(work, how, "trial")
    served = "serving" if revision.state == "serving" else "served as soon as `treadle up` runs"
    return Step(work, f"{version.ref} in production, revision {revision.revision}, {served}", "promoted")


def publish(
    workspace: Workspace,
    version: ModelVersion,
    actor: str,
    reason: str,
    key: str,
    outcome: str,
    strategy: StrategyName | None = None,
    expect: int | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Revision:
    """Deploys a version to the last environment and makes it production, once it serves or nothing does.

    One that takes over step by step becomes production when its last step has ended well.

    Args:
        workspace: The project's workspace.
        version: The version.
        actor: Who decided.
        reason: Why.
        key: The decision's identity: publishing it twice is publishing it once.
        outcome: The gate's outcome; anything but ``pass`` is recorded as overridden.
        strategy: How it takes over; as ``[deploy]`` says when None.
        expect: Only if this is the newest revision there; 0: only if there is none.
        told: Is told how far the load test is, if it makes one, in a line and some times a second.

    Raises:
        Refused: If it lacks what ``[registry.stages.production]`` or the environment asks for, or has not
            served yet and doesn't hold its objective in the load test that ``[deploy] loadtest`` asks for.
        JobFailed: If the replicas can't load it; the revision before it serves on.
        Conflict: If somebody else deploys another version meanwhile: that one stays.
    """
    Environments(workspace).admit("", version, actor)
    Registry(workspace).check_guard(version, "production", outcome)
    deployments = Deployments(workspace)
    _hold(workspace, version, actor, told)
    plan = chosen(workspace, strategy)
    revision = deployments.deploy(
        version.model, version.number, actor, reason, key, plan=plan, outcome=outcome, expect=expect
    )
    revision = _loaded(deployments, revision)
    if revision.plan is not None:
        return revision
    Registry(workspace).promote(
        version.model,
        version.number,
        actor=actor,
        reason=reason,
        key=key,
        outcome=outcome,
        override=outcome != "pass",
        last_look=lambda connection: deployments.check_current(connection, revision),
    )
    tidy(workspace, version.model)
    return revision


def _loaded(deployments: Deployments, revision: Revision) -> Revision:
    """A revision once a replica serves it, or none is there that could.

    Raises:
        JobFailed: If the replicas can't load it.
    """
    found = deployments.wait(revision.model, revision.revision, _PATIENCE)
    if found.state == "failed":
        raise JobFailed(
            f"the inference server can't load it: {found.error}",
            where=f"{found.model}/{found.version}, revision {found.revision}",
            fix="the version before it serves on; see .treadle/logs/replica.log",
        )
    return found


def deliver(
    workspace: Workspace,
    version: ModelVersion,
    environment: str,
    actor: str,
    reason: str,
    key: str,
    strategy: StrategyName | None = None,
    expect: int | None = None,
) -> Revision:
    """Deploys an admitted version to an environment before the last; its status in the registry stays.

    Args:
        workspace: The project's workspace.
        version: The version.
        environment: The environment's name.
        actor: Who decided.
        reason: Why.
        key: The decision's identity.
        strategy: How it takes over; at once when None.
        expect: Only if this is the newest revision there; 0: only if there is none.

    Raises:
        NotFound: If there is no such environment.
        JobFailed: If the replicas can't load it.
        Conflict: If somebody else has deployed meanwhile.
    """
    deployments = Deployments(workspace, environment)
    plan = chosen(workspace, strategy) if strategy else None
    revision = deployments.deploy(version.model, version.number, actor, reason, key, plan=plan, expect=expect)
    return _loaded(deployments, revision)


def _hold(
    workspace: Workspace, version: ModelVersion, actor: str, told: Callable[[str], None] = lambda _: None
) -> None:
    """Has a version pass the load test that ``[deploy] loadtest`` asks for, unless it has.

    Raises:
        Refused: If it doesn't.
    """
    if workspace.config.deploy.loadtest and not has_served(Deployments(workspace), version):
        LoadTests(workspace).require(version.ref, actor, lambda now: told(f"load test: {now.sentence}"))


def has_served(deployments: Deployments, version: ModelVersion) -> bool:
    """Whether a version is known to hold under traffic: going back to one must not wait for a test."""
    return any(one.version == version.number and one.served_at for one in deployments.history(version.model))


def chosen(workspace: Workspace, strategy: StrategyName | None) -> DeployConfig:
    """The plan of ``[deploy]``, with another strategy if one was chosen.

    Where its guards say nothing of slow answers, the service level objective does.
    """
    plan, objective = workspace.config.deploy, workspace.config.serve.objective
    if plan.guards.max_p99_ms is None and objective.p99_ms is not None:
        plan = replace(plan, guards=replace(plan.guards, max_p99_ms=objective.p99_ms))
    return replace(plan, strategy=strategy) if strategy else plan


def approve(
    workspace: Workspace, ref: str, actor: str, reason: str, strategy: StrategyName | None = None
) -> Approved:
    """Approves a version for its next stage, and moves it there once enough have.

    Into production means: deployed, and in production once it serves.

    Raises:
        InvalidInput: If there is no reason.
        Refused: If this person may not, or the version lacks what the stage takes.
        Conflict: If the version isn't on its way to production.
        JobFailed: If the replicas can't load it.
    """
    registry, approvals = Registry(workspace), Approvals(workspace)
    version = registry.get(ref)
    outcome = outcome_of(workspace, version)
    before = approvals.expected(version.ref, actor, outcome, reason)
    if before.next == "production" and before.given >= before.needed:
        # Somebody whose word would deploy it is refused whole: no approval stays behind of what was not done.
        Environments(workspace).admit("", version, actor)
        _hold(workspace, version, actor)
    standing = approvals.add(version.ref, actor, reason, outcome)
    if standing.given < standing.needed or standing.next is None:
        return Approved(standing=standing)
    key = f"approve:{version.ref}:{standing.next}"
    if standing.next == "production":
        revision = publish(workspace, version, actor, reason, key, outcome, strategy)
        return Approved(standing=approvals.standing(version.ref), revision=revision)
    registry.stage(version.model, version.number, actor, reason, key, to=standing.next, outcome=outcome)
    return Approved(standing=approvals.standing(version.ref))


def redeploy(
    workspace: Workspace,
    ref: str,
    actor: str,
    reason: str,
    strategy: StrategyName | None = None,
    *,
    environment: str = "",
    expect: int | None = None,
) -> Revision:
    """Deploys a version to an environment: one that was in production before, or that may come in.

    Args:
        workspace: The project's workspace.
        ref: The version.
        actor: Who asks.
        reason: Why.
        strategy: How it takes over.
        environment: Where; empty for the last one, whose version is in production in the registry.
        expect: Only if this is the newest revision there; 0: only if there is none.

    Raises:
        NotFound: If there is no such version or environment.
        Refused: If the version lacks what the environment asks for, or the actor may not deploy there.
        Conflict: If it never was in production and no environment lies before, or somebody else has
            deployed meanwhile.
    """
    version = Registry(workspace).get(ref)
    key = workspace.ids.new("deploy")
    names = list(workspace.config.environments)
    if environment and environment not in names[-1:]:
        Environments(workspace).admit(environment, version, actor)
        return deliver(workspace, version, environment, actor, reason, key, strategy, expect)
    outcome = outcome_of(workspace, version)
    check_redeployed(workspace, version, outcome)
    return publish(workspace, version, actor, reason, key, outcome, strategy, expect)


def check_redeployed(workspace: Workspace, version: ModelVersion, outcome: str) -> None:
    """Checks that a version was in production before, or that an environment lies before the last one.

    Raises:
        Conflict: If neither is so.
        Refused: If its gate didn't let it pass.
    """
    if version.status in ("production", "deprecated"):
        return
    if len(workspace.config.environments) < 2:
        raise Conflict(
            f"{version.ref} is {version.status} and has never been in production",
            where=version.ref,
            fix="a cycle's gate or `treadle models approve` lets a version in",
        )
    Registry.check_outcome(version, outcome)


def move_stage(
    workspace: Workspace, model: str, number: str, stage: str, *, archive: bool = False
) -> CatalogVersion:
    """Moves a version between stages, as an MLflow client asks.

    One that Treadle made or runs goes where its guards let it: into production as
    :func:`approve` and :func:`redeploy` do it, served and all, if its gate let it pass.

    Args:
        workspace: The project's workspace.
        model: The registered model.
        number: The version's number.
        stage: The stage, however its letters are written.
        archive: Whether those that are in the stage already go to the archive.

    Raises:
        NotFound: If there is no such version.
        InvalidInput: If there is no such stage, or nothing can be archived for it.
        Refused: If the version's gate didn't let it pass.
        Conflict: If its status forbids it.
        JobFailed: If the replicas can't load it.
    """
    catalog, registry, wanted = Catalog(workspace), Registry(workspace), check_stage(stage)
    entry = catalog.version(model, number)
    version = registry.get(f"{model}/{entry.number}")
    if not version.governed:
        return catalog.move_version(model, number, stage, archive=archive)
    if entry.stage != wanted:
        reason, key = f"moved to {wanted} by an MLflow client", workspace.ids.new("move")
        if wanted == "Production" and version.status == "deprecated":
            registry.check_outcome(version, outcome_of(workspace, version))
            redeploy(workspace, version.ref, MLFLOW, reason)
        elif wanted == "Archived":
            registry.archive(model, entry.number, MLFLOW, reason, key)
        elif wanted == "None":
            registry.check_move(version, "candidate")
        else:
            registry.check_outcome(version, outcome_of(workspace, version))
            _approve_for(workspace, version, wanted, reason)
    return catalog.version(model, number)


def _approve_for(workspace: Workspace, version: ModelVersion, stage: Stage, reason: str) -> None:
    """Approves a version for its next stage, if that is the one which an MLflow client means."""
    to = Approvals(workspace).standing(version.ref).next
    if stage_of(to or version.status) != stage and not (to == "production" and version.status == "candidate"):
        raise Conflict(
            f"{version.ref} is {version.status} and goes to {to or 'no stage'} next, not to {stage}",
            where=version.ref,
            fix="move it stage by stage",
        )
    if stage == "Staging" and to == "production":
        Registry(workspace).stage(version.model, version.number, MLFLOW, reason, workspace.ids.new("move"))
        return
    approved = approve(workspace, version.ref, MLFLOW, reason)
    done = approved.standing
    if approved.revision is None and done.status == version.status:
        raise Refused(
            f"{done.needed - done.given} more of {done.needed} approvals are needed for {done.next}",
            where=version.ref,
            fix=f"treadle models approve {version.ref} --reason TEXT",
        )


def outcome_of(workspace: Workspace, version: ModelVersion) -> str:
    """What the gate came to; of a version that another Treadle made only what was judged here counts."""
    evaluations = Evaluations(workspace)
    if version.imported is None:
        return aggregate(evaluations.get(e).outcome for e in version.evaluations)
    latest = {one.kind: one.outcome for one in reversed(evaluations.list(version.ref))}
    return aggregate(latest.values()) if latest else "inconclusive"
