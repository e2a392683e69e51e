"""``treadle cycles``: the turns of the wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.follow import headline, next_commands, stage_line

if TYPE_CHECKING:
    from treadle.retrain.types import Cycle


@click.group(cls=Group, default="ls", short_help="The turns of the wheel: ls, show")
def cycles() -> None:
    """The turns of the wheel. `treadle cycles` alone lists."""


@cycles.command("ls")
@click.argument("model", required=False)
@json_option
@pass_app
def ls(app: App, model: str | None) -> None:
    """List cycles, oldest first."""
    app.answer(app.client.cycles(model), show_cycles)


def show_cycles(found: list[Cycle]) -> None:
    """Prints cycles."""
    rows = [
        (
            name,
            cycle.as_of,
            cycle.trigger.kind,
            show.state(cycle.state),
            cycle.version and f"{cycle.model}/{cycle.version}",
            f"{cycle.cpu_seconds:,.1f}",
        )
        for name, cycle in zip(show.short([cycle.id for cycle in found], 16), found, strict=True)
    ]
    headings = ["!cycle", "!as of", "trigger", "!state", "!version", ">CPU-s"]
    show.table(headings, rows, empty="no cycles yet")
    show.following("treadle cycles show CYCLE" if found else "treadle run")


@cycles.command("show")
@click.argument("cycle_id", metavar="CYCLE")
@json_option
@pass_app
def show_one(app: App, cycle_id: str) -> None:
    """Show a cycle's stages, verdicts and cost."""
    app.answer(app.client.cycle(cycle_id), lambda cycle: show_cycle(app, cycle))


def show_cycle(app: App, cycle: Cycle) -> None:
    """Prints a cycle."""
    show.say(headline(cycle))
    show.facts(
        [
            ("cycle", cycle.id),
            ("as of", cycle.as_of),
            ("because", f"{cycle.trigger.reason} ({cycle.trigger.actor})"),
            ("runs", ", ".join(cycle.runs) or None),
        ]
    )
    show.say()
    for stage in cycle.stages:
        show.say(stage_line(stage))
    show.say()
    show.verdicts(app.client.evaluation(name) for name in cycle.evaluations)
    if cycle.error:
        show.item("failed", cycle.error)
    if cycle.state not in ("refused", "failed", "running"):
        show.following(*next_commands(app, cycle))
