"""``treadle deploy``: which version serves, and putting another in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.loadtest import loadtest, watched
from treadle.kernel.config import StrategyName
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.names import did_you_mean

if TYPE_CHECKING:
    from treadle.deploy import LoadTestJob
    from treadle.deploy.types import (
        DeploymentPlan,
        DeploymentStatus,
        InEnvironment,
        Replica,
        Revision,
        Rollout,
        ServiceLevels,
    )
    from treadle.kernel.config import DeployConfig

strategy_option = click.option(
    "--strategy",
    type=click.Choice(get_args(StrategyName)),
    help="How it takes over; as [deploy] says by default.",
)
env_option = click.option("--env", metavar="NAME", help="The environment; the last one by default.")
_why = click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")


@click.group(cls=Group, default="status", for_ref="to", short_help="What serves: status, to REF, rollback")
def deploy() -> None:
    """What serves, and what is to serve. `treadle deploy` alone shows it.

    `treadle deploy flights/3 --reason TEXT` deploys a version.
    """


deploy.add_command(loadtest)


@deploy.command("to", short_help="Deploy a version that was approved before")
@click.argument("ref")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
@strategy_option
@env_option
@click.option("--plan", "only_plan", is_flag=True, help="Only tell what would change.")
@json_option
@pass_app
def to(
    app: App, ref: str, reason: str, strategy: StrategyName | None, env: str | None, only_plan: bool
) -> None:
    """Deploy a version that was approved before, at once or step by step.

    Of several environments the first takes any version; a later one what has
    served in the one before it, as [environments] says.
    """
    if only_plan:
        app.answer(app.client.deployment_plan(app.ref(ref), strategy, env), show_plan)
        return
    if not reason:
        raise InvalidInput("a deployment needs a reason", fix="say why: --reason TEXT; or look first: --plan")
    ref = app.ref(ref)
    newest = newest_of(app, ref, env)
    app.answer(_deployed(app, ref, reason, strategy, env, newest), show_revision)


def _deployed(
    app: App, ref: str, reason: str, strategy: StrategyName | None, env: str | None, newest: int
) -> Revision:
    """Deploys a version, and tells how far the load test is that is made for it, if one is."""

    def ask(follow: Callable[[LoadTestJob], None]) -> Revision:
        return app.client.deploy(ref, reason, strategy, environment=env, expect=newest, follow=follow)

    return watched(app, ask, f"{ref} is not deployed")


def newest_of(app: App, ref: str, env: str | None) -> int:
    """The newest revision in an environment: what is decided now is decided on what it shows."""
    model = ref.partition("/")[0] if "/" in ref else ref.rpartition("@")[0] or ref
    return max((one.revision for one in app.client.revisions(model, env)), default=0)


@deploy.command("promote", short_help="To the next environment, or end a trial")
@click.argument("model", required=False)
@_why
@click.option("--from", "source", metavar="NAME", help="The environment that the version comes from.")
@click.option("--to", "target", metavar="NAME", help="The environment that it goes to.")
@env_option
@strategy_option
@json_option
@pass_app
def promote(
    app: App,
    model: str | None,
    reason: str,
    source: str | None,
    target: str | None,
    env: str | None,
    strategy: StrategyName | None,
) -> None:
    """Promote what serves in one environment to the next, byte for byte.

    With --to or --from, the version that serves in the one goes to the other;
    without, the version in trial takes over now.
    """
    model = app.model(model)
    if source or target:
        if env is not None:
            raise InvalidInput("--env is for a trial", fix="give --from and --to, or --env alone")
        version, target = _coming(app.client.environments(model), model, source, target)
        newest = newest_of(app, model, target)
        done = _deployed(app, version, reason, strategy, target, newest)
    elif strategy is not None:
        raise InvalidInput("--strategy is for a promotion to an environment", fix="add --to NAME")
    else:
        done = app.client.promote(model, reason, env)
    app.answer(done, show_revision)


def _coming(
    found: list[InEnvironment], model: str, source: str | None, target: str | None
) -> tuple[str, str]:
    """Which version is to be promoted, and to which environment.

    Raises:
        NotFound: If one of the environments isn't declared, or nothing serves where it is to come from.
        Conflict: If they don't follow each other.
    """
    names = [one.environment for one in found]
    for name in (source, target):
        if name is not None and name not in names:
            hint = did_you_mean(name, names) or "declare it in treadle.toml: [environments.NAME]"
            raise NotFound(f"there is no environment {name!r}", fix=hint)
    before = next((one for one in found if one.next is not None and target in (None, one.next)), None)
    if source is not None:
        before = found[names.index(source)]
    if before is None or before.next is None or target not in (None, before.next):
        ways = ", ".join(f"--from {one.environment} --to {one.next}" for one in found if one.next)
        raise Conflict("a version goes from each environment to the next", fix=ways or "declare two or more")
    if before.served is None:
        raise NotFound(
            f"nothing of {model} serves in {before.environment}",
            fix=f"treadle deploy {model}/N --env {before.environment} --reason TEXT",
        )
    return f"{model}/{before.served.version}", before.next


@deploy.command("rollback", short_help="Take a trial back, or go back a version")
@click.argument("model", required=False)
@click.option(
    "--to", "version", type=int, metavar="N", help="The version to go back to; the one before by default."
)
@click.option("--reason", default="rolled back by hand", metavar="TEXT", help="Why; kept in the history.")
@env_option
@click.option("--plan", "only_plan", is_flag=True, help="Only tell what would change.")
@json_option
@pass_app
def rollback(
    app: App, model: str | None, version: int | None, reason: str, env: str | None, only_plan: bool
) -> None:
    """Take a version in trial back, or go back to the version that served before."""
    model = app.model(model)
    tried = app.client.deployment(model, env).rollout if version is None else None
    if tried is not None and only_plan:
        app.answer(tried, _show_would_withdraw)
        return
    if tried is not None:
        app.answer(app.client.withdraw_trial(model, reason, env), _show_withdrawn)
        return
    known = app.client.revisions(model, env)
    newest = max((one.revision for one in known), default=0)
    ref = f"{model}/{version or previous(known, model)}"
    if only_plan:
        again = " ".join(["treadle deploy rollback", model, *(["--to", str(version)] if version else [])])
        found = app.client.deployment_plan(ref, "at-once", env)
        app.answer(found, lambda plan: show_plan(plan, f"{again} --env {env}" if env else again))
        return
    done = _deployed(app, ref, reason, "at-once", env, newest)
    app.answer(done, show_revision)


def previous(revisions: list[Revision], model: str) -> int:
    """The last version that served before the one that serves now.

    Raises:
        Conflict: If there was none.
    """
    served = [revision.version for revision in revisions if revision.served_at and revision.state != "failed"]
    now = served[-1] if served else None
    before = [version for version in served if version != now]
    if not before:
        raise Conflict(f"no other version of {model} has served before", fix="see `treadle models`")
    return before[-1]


def show_revision(revision: Revision) -> None:
    """Prints a deployment that was asked for."""
    ref = f"{revision.model}/{revision.version}"
    if revision.state == "trial" and revision.plan:
        show.say(f"revision {revision.revision}: {ref} is in trial: {_steps(revision.plan)}")
    else:
        show.say(f"revision {revision.revision}: {ref} is to serve")
    show.following(f"treadle deploy status{f' --env {revision.environment}' if revision.environment else ''}")


def _show_would_withdraw(found: Rollout) -> None:
    trial = found.revision
    show.say(f"{trial.model}/{trial.version}, revision {trial.revision}, would be taken out of its trial")
    show.say("what serves now would answer all requests again")
    show.following(f"treadle deploy rollback {trial.model}")


def _show_withdrawn(revision: Revision) -> None:
    show.say(f"revision {revision.revision}: {revision.model}/{revision.version} was taken back")
    show.following("treadle deploy status")


def _steps(plan: DeployConfig) -> str:
    """A plan in a few words."""
    each = f"{plan.bake} each and {plan.min_requests:,} requests at least"
    return {
        "at-once": "every replica swaps at once",
        "rolling": f"one replica after another, {each}",
        "blue-green": f"all replicas at one moment, then {plan.bake} until the old one goes",
        "canary": f"{', '.join(f'{share:.0%}' for share in plan.steps)} of the requests, {each}",
        "shadow": "asked beside what serves and compared, until somebody decides",
        "challenger": f"{plan.steps[0]:.0%} of the requests, until somebody decides",
    }[plan.strategy]


def show_plan(found: DeploymentPlan, command: str = "") -> None:
    """Prints what a deployment would change, and the command that does it."""
    serving = found.serving
    show.facts(
        [
            ("serves now", _revision(serving) if serving else "nothing"),
            ("would serve", f"{found.model}/{found.version}"),
            ("takes over", _steps(found.plan) if found.plan else "every replica swaps at once"),
            ("ends", _revision(found.replaces) if found.replaces else None),
            ("replicas", found.replicas),
        ]
    )
    for line in found.lacks:
        show.say(f"  ✗ {line}", "red")
    if serving:
        show.say()
        show.table(
            ["what changes"], [(line,) for line in found.changes], empty="nothing: it is the same model"
        )
    show.following(command or f"treadle deploy {found.model}/{found.version} --reason TEXT")


@deploy.command("status")
@click.argument("model", required=False)
@env_option
@json_option
@pass_app
def status(app: App, model: str | None, env: str | None) -> None:
    """Show what should run and what does."""
    start = "treadle up" if app.client.embedded else f"treadle serve{f' --env {env}' if env else ''}"
    model = app.model(model)
    found = app.client.deployment(model, env)
    if not app.json and env is None:
        places = app.client.environments(model)
        show_environments(model, places)
        if found.desired is None and any(one.served for one in places):
            _show_next(model, places)
            return
    app.answer(found, lambda found: show_status(found, start))


def show_environments(model: str, found: list[InEnvironment]) -> None:
    """Prints what each environment serves, and what that lacks for the next one, where any is declared."""
    if not found:
        return
    rows = [
        (
            one.environment,
            f"{model}/{one.served.version}" if one.served else None,
            one.digest[:12] or None,
            one.served.since if one.served else None,
            one.replicas,
            _onward(one, found),
        )
        for one in found
    ]
    show.table(["!environment", "!serves", "!digest", "!since", ">replicas", "next"], rows)
    show.say()


def _show_next(model: str, found: list[InEnvironment]) -> None:
    """Prints how what serves before the last environment gets on."""
    furthest = [one for one in found if one.served][-1]
    where = f"--from {furthest.environment} --to {furthest.next}"
    if furthest.lacks:
        show.following(f"treadle deploy status {model} --env {furthest.environment}")
    else:
        show.following(f"treadle deploy promote {model} {where} --reason 'why'")


def _onward(one: InEnvironment, found: list[InEnvironment]) -> str | None:
    if one.next is None or one.served is None:
        return None
    there = next(each.served for each in found if each.environment == one.next)
    if there and there.version == one.served.version:
        return f"serves in {one.next} as well"
    return f"not yet to {one.next}: {'; '.join(one.lacks)}" if one.lacks else f"may go to {one.next}"


def show_status(found: DeploymentStatus, start: str) -> None:
    """Prints what should run and what does."""
    if found.desired is None:
        show.say(f"nothing of {found.model} has been deployed", "dim")
        show.following("treadle run")
        return
    show.facts(
        [
            ("to serve", _revision(found.desired)),
            ("serving", _revision(found.serving) if found.serving else "nothing yet"),
            ("why", f"{found.desired.reason} ({found.desired.actor})"),
            ("trouble", found.desired.error),
        ]
    )
    if found.rollout:
        _show_rollout(found.rollout)
    if found.levels:
        _show_levels(found.levels)
    show.say()
    show.table(
        ["replica at", ">revision", ">requests", ">errors", ">p50 ms", ">p99 ms", "!heard"],
        [_replica(replica) for replica in found.replicas],
        empty="no replica runs",
    )
    if not found.replicas:
        show.following(start)


def _show_levels(found: ServiceLevels) -> None:
    troubles = [trouble for trouble in (found.gone, found.failing, found.stuck) if trouble]
    if not found.levels and not troubles:
        return
    show.say()
    for trouble in troubles:
        show.say(f"  ✗ {trouble}", "red")
    for level in found.levels:
        bad = level.fallen or any(one.burning for one in level.burns)
        show.say(f"  {'✗' if bad else '✓'} {level.name}: {level.sentence}", "red" if bad else "")
    rows = [
        (level.name, f"{one.long} and {one.short}", one.long_rate, one.short_rate, one.limit, one.severity)
        for level in found.levels
        for one in level.burns
        if one.long_rate is not None
    ]
    if rows:
        show.table(["burn rate of", "in", ">long", ">short", ">limit", "then"], rows)


def _show_rollout(found: Rollout) -> None:
    trial, plan = found.revision, found.revision.plan
    does = "is asked, and never answers" if found.shadow else f"answers {found.share:.0%} of the requests"
    show.say()
    show.facts(
        [
            ("in trial", _revision(trial)),
            ("plan", f"{plan.strategy}: {_steps(plan)}" if plan else None),
            ("now", f"step {trial.step + 1} of {found.steps}: it {does}" if trial.step_at else "not begun"),
            ("waits for", found.waits or None),
            ("asked", f"{found.counts.requests:,} requests; beside it {found.beside.requests:,}"),
            ("apart", f"{found.apart:.4g} on average, {found.compared:,} rows" if found.compared else None),
        ]
    )
    for guard in found.guards:
        mark = "✗" if guard.broken else "✓"
        show.say(f"  {mark} {guard.name}: {guard.sentence}")
    judged = ["treadle retrain challenger"] if plan and plan.strategy in ("shadow", "challenger") else []
    show.following("treadle deploy promote --reason TEXT", "treadle deploy rollback", *judged)


def _revision(revision: Revision) -> str:
    since = show.when(revision.at)
    return f"{revision.model}/{revision.version} (revision {revision.revision}, {revision.state}, {since})"


def _replica(replica: Replica) -> tuple[object, ...]:
    return (
        replica.url,
        replica.revision,
        f"{replica.requests:,}",
        show.marked(f"{replica.errors:,}", "red" if replica.errors else ""),
        replica.p50_ms,
        replica.p99_ms,
        f"{show.took(replica.heard_at)} ago",
    )
