"""``treadle run`` and ``treadle train``: one turn of the wheel, whole or up to the trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from treadle.cli import show
from treadle.cli.app import App, F, json_option, pass_app
from treadle.cli.follow import conclude, follow, stopped
from treadle.kernel.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from treadle.retrain.types import Cycle, Goal, NewCycle, Plan

Scalar = bool | int | float | str


def _params(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Scalar]:
    """Reads ``--set`` options.

    Raises:
        InvalidInput: If one isn't ``key=value``.
    """
    found: dict[str, Scalar] = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or not key.strip():
            raise InvalidInput(f"--set {value!r} sets nothing", fix="write --set key=value")
        found[key.strip()] = scalar(text.strip())
    return found


def scalar(text: str) -> Scalar:
    """Text as the value that ``treadle.toml`` would hold: true, false, a number, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _options(command: F) -> F:
    for option in (
        json_option,
        click.option("--reason", metavar="TEXT", help="Why; kept in the history."),
        click.option("--like", metavar="RUN", help="Take the parameters of a run."),
        click.option(
            "--set",
            "params",
            metavar="KEY=VALUE",
            multiple=True,
            callback=_params,
            help="A parameter that differs from [train.params]; may be repeated.",
        ),
    ):
        command = option(command)
    return command


@click.command(short_help="Turn the wheel once: data, train, evaluate, deploy")
@click.option("--plan", is_flag=True, help="Say what would be done, and change nothing.")
@_options
@pass_app
def run(app: App, plan: bool, params: dict[str, Scalar], like: str | None, reason: str | None) -> int:
    """Turn the wheel once: check the data, train, evaluate, and deploy what passes.

    A cycle that was interrupted is gone on with instead of starting another.
    Exit code: 0 it went through, 1 a check failed, 3 inconclusive, 2 an error.
    """
    new = _new("deploy", params, like, reason or "started by hand")
    if plan:
        app.answer(app.client.plan(new), show_plan)
        return 0
    return turn(app, new)


@click.command(short_help="Train and measure only; change nothing in production")
@click.option("--name", metavar="NAME", help="What to call the runs.")
@click.option("--experiment", metavar="NAME", default="Default", help="What the runs belong to.")
@_options
@pass_app
def train(
    app: App,
    name: str | None,
    experiment: str,
    params: dict[str, Scalar],
    like: str | None,
    reason: str | None,
) -> int:
    """Train and measure only: an experiment. Nothing in production changes.

    Exit code: 0 trained, 1 a data check failed, 3 inconclusive, 2 an error.
    """
    why = reason or "an experiment by hand"
    return turn(app, _new("train", params, like, why, name=name, experiment=experiment))


def _new(goal: Goal, params: dict[str, Scalar], like: str | None, reason: str, **names: Any) -> NewCycle:
    from treadle.client.client import actor
    from treadle.retrain.types import NewCycle, Trigger

    trigger = Trigger(kind="manual", actor=actor(), reason=reason)
    return NewCycle(trigger=trigger, goal=goal, params=params, like=like, **names)


def turn(app: App, new: NewCycle) -> int:
    """Goes on with a cycle that was interrupted, or starts one, and follows it to its end.

    Raises:
        Conflict: If an experiment is asked for while a cycle that deploys is under way.
    """
    cycles: list[Cycle] = []
    try:
        if new.goal == "train":
            _check_free(app)
        cycles = app.client.resume()
        for cycle in cycles:
            _resumed(app, cycle)
        if not cycles:
            cycles = [app.client.start_cycle(new)]
        return max(conclude(app, follow(app, cycle)) for cycle in cycles)
    except KeyboardInterrupt:
        raise stopped(app, bool(cycles)) from None


def _check_free(app: App) -> None:
    """An experiment must not go on with a cycle that would change production."""
    unfinished = [c for c in app.client.cycles() if c.state == "running" and c.goal == "deploy"]
    if unfinished:
        raise Conflict(
            "a cycle that deploys has not ended, and only one runs at a time",
            where=unfinished[0].id,
            fix="end it with `treadle run`, then train again",
        )


def _resumed(app: App, cycle: Cycle) -> None:
    if not app.json:
        stage = next((s.name for s in cycle.stages if s.state in ("running", "pending")), "its end")
        how = "was interrupted" if app.client.embedded else "is under way"
        show.say(f"cycle {cycle.id} {how} at {stage}; going on with it")


def show_plan(plan: Plan) -> None:
    """Prints what a cycle would do."""
    show.say(f"A cycle of {plan.model}, looking back from {show.when(plan.as_of)} UTC, would:")
    known = plan.cpu_seconds is not None
    cost = f"about {show.cpu(plan.cpu_seconds)}" if known else "unknown before the first cycle"
    lines = [(f"  {stage.name}", stage.sentence) for stage in plan.stages]
    show.facts([*lines, ("  cost", cost)])
    for problem in plan.problems:
        show.item("fail", problem)
    show.say("Nothing was changed.", "dim")
    show.following("treadle doctor" if plan.problems else "treadle run")
