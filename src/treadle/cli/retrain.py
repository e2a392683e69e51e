"""``treadle retrain``: production's parameters on newer data, what would start that, and a challenger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.challenger import challenger
from treadle.cli.follow import conclude, follow, stopped

if TYPE_CHECKING:
    from treadle.retrain import PlannedCost, PlannedWindow, RetrainPlan, Signal


@click.group(
    cls=Group, default="start", for_model="start", short_help="Retrain on newer data; --plan; challenger"
)
def retrain() -> None:
    """Train what is in production anew on newer data, and let the gate decide.

    `treadle retrain` alone does it; `treadle retrain --plan` tells what would start
    it by itself; `treadle retrain challenger` tells whether a version that was
    refused or held does better than production by now.
    """


@retrain.command("start", short_help="Retrain now; --plan says what would start it")
@click.argument("model", required=False)
@click.option("--plan", is_flag=True, help="Say which trigger would fire and what for, and change nothing.")
@click.option("--reason", metavar="TEXT", default="asked for by hand", help="Why; kept in the history.")
@json_option
@pass_app
def start(app: App, model: str | None, plan: bool, reason: str) -> int:
    """Train what is in production anew on newer data, and let the gate decide.

    Triggers of [retrain] do the same by themselves; --plan tells which would, which
    would not and why. Exit code: as of `treadle run`.
    """
    model = app.model(model)
    if plan:
        app.answer(app.client.retrain_plan(model), show_plan)
        return 0
    cycle = None
    try:
        cycle = app.client.retrain(model, reason)
        return conclude(app, follow(app, cycle))
    except KeyboardInterrupt:
        raise stopped(app, cycle is not None) from None


retrain.add_command(challenger)


def show_plan(plan: RetrainPlan) -> None:
    """Prints what would start a retraining, and what it would do."""
    show.say(f"Triggers of {plan.model}, as of {show.when(plan.as_of)} UTC:")
    rows = [(one.trigger, show.state(_state(one)), one.hold.reason if one.hold else "", one.reason)
            for one in plan.triggers]  # fmt: skip
    empty = "none is declared: a retraining starts by hand only"
    show.table(["!trigger", "!state", "held back", "because"], rows, empty=empty)
    if plan.rests:
        until, count = f"{plan.rests.until:%Y-%m-%d %H:%M}", len(plan.rests.cycles)
        why = f"{count} cycles in a row ended for the same reason: {plan.rests.sentence}"
        show.item("alert", f"triggers rest until {until}: {why}")
    show.say()
    if plan.starts:
        show.say(f"Trigger {plan.starts} would start a cycle:")
    else:
        show.say("No trigger would start a cycle now; by hand it would be:")
    show.facts(
        [
            ("  window", _window(plan.window)),
            ("  cost", _cost(plan.cost)),
            *((f"  {stage.name}", stage.sentence) for stage in plan.cycle.stages),
        ]
    )
    for problem in plan.cycle.problems:
        show.item("fail", problem)
    show.say("Nothing was changed.", "dim")
    show.following("treadle doctor" if plan.cycle.problems else f"treadle retrain {plan.model}")


def _state(signal: Signal) -> str:
    if not signal.fires:
        return "quiet"
    return "held back" if signal.hold else "fires"


def _window(window: PlannedWindow | None) -> str:
    if window is None:
        return "not known before the first version of the data, which the cycle makes"
    since = f"{window.since:%Y-%m-%d}" if window.since else "the beginning"
    changed = window.version or "no version yet"
    if window.changed and window.version:
        changed += ", whose files have changed since"
    return (
        f"{window.policy}; {show.counted(window.rows, 'row')} from {since} to {window.until:%Y-%m-%d}, "
        f"{window.held_out:,} held out to {window.end:%Y-%m-%d} ({changed})"
    )


def _cost(cost: PlannedCost) -> str:
    if cost.cpu_seconds is None:
        about = "unknown before the first cycle"
    else:
        span = f", {cost.least:,.1f} to {cost.most:,.1f} in" if cost.cycles > 1 else " by"
        about = f"about {show.cpu(cost.cpu_seconds)}{span} {show.counted(cost.cycles, 'cycle')}"
    limit = f" of {show.cpu(cost.limit)}" if cost.limit is not None else ""
    return f"{about}; {show.cpu(cost.spent)}{limit} spent in 30 days"
