"""A cycle as it goes: its stages live, then its outcome with the verdicts behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App
from treadle.kernel.errors import Unavailable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from treadle.evaluate.types import Evaluation
    from treadle.retrain.types import Cycle, Stage

POLL = 0.2
PATIENCE = 15.0  # seconds; a server that is started again within them is the same to whoever watches

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def follow(app: App, cycle: Cycle) -> Cycle:
    """Shows a cycle's stages until it has ended; returns it as it ended."""
    if app.json:
        *_, cycle = polled(app, cycle)
        return cycle
    if show.is_dumb():
        return _in_lines(app, cycle)
    return _live(app, cycle)


def stopped(app: App, begun: bool) -> click.exceptions.Exit:
    """Tells whoever interrupts what becomes of the cycle, and gives what ends the command.

    Args:
        app: The call.
        begun: Whether it is known that a cycle was started.
    """
    if not begun:
        told = "interrupted; `treadle cycles` shows whether a cycle was started"
    elif app.client.embedded:
        told = (
            "stopped watching. The cycle goes on from its last finished step"
            " with `treadle run` or `treadle up`"
        )
    else:
        told = f"stopped watching. The cycle goes on at {app.client.server}; `treadle cycles` shows it"
    click.echo(f"\n{told}", err=True)
    return click.exceptions.Exit(130)


def polled(app: App, cycle: Cycle) -> Iterator[Cycle]:
    """The cycle again and again, until it has ended.

    Raises:
        Unavailable: If the server has been away for longer than a restart takes.
    """
    yield cycle
    heard = time.monotonic()
    while cycle.state == "running":
        time.sleep(POLL)
        try:
            cycle = app.client.cycle(cycle.id)
        except Unavailable:
            if time.monotonic() - heard > PATIENCE:
                raise
            continue
        heard = time.monotonic()
        yield cycle


def _in_lines(app: App, cycle: Cycle) -> Cycle:
    told: set[str] = set()
    for seen in polled(app, cycle):
        cycle = seen
        for stage in cycle.stages:
            ended = stage.state in ("done", "failed")
            # One that says how far it is says so once: a line for each step would fill a log.
            key = stage.name if ended else f"{stage.name} {stage.state}"
            if key not in told and (ended or (stage.state == "running" and stage.summary)):
                told.add(key)
                show.say(stage_line(stage))
    return cycle


def stage_line(stage: Stage) -> str:
    """A stage that has ended, in one line."""
    spent = show.took(stage.started_at, stage.ended_at)
    return f"  {stage.name:<9} {stage.state:<7} {spent:>7}  {_brief(stage)}".rstrip()


def _brief(stage: Stage) -> str:
    """What came of a stage, in a line; the end of a script's log is told once, with the error."""
    return _in_a_line(stage.summary)


def _in_a_line(summary: str) -> str:
    """Of several lines the first and the last, which is where a script's log says what was wrong."""
    first, *more = summary.strip().splitlines() or [""]
    return f"{first.removesuffix('; its last words:')}: {more[-1].strip()}" if more else first


def _live(app: App, cycle: Cycle) -> Cycle:
    from rich.live import Live

    with Live(console=show.console(), auto_refresh=False) as live:
        for seen in polled(app, cycle):
            cycle = seen
            live.update(stages(cycle), refresh=True)
    return cycle


def stages(cycle: Cycle) -> RenderableType:
    """A cycle's stages, as a table that is drawn anew while it runs."""
    from rich.table import Table

    made = Table.grid(padding=(0, 1))
    for column in ("sign", "name", "spent", "summary"):
        made.add_column(no_wrap=column != "summary", justify="right" if column == "spent" else "left")
    for stage in cycle.stages:
        running = stage.state == "running"
        sign = (
            show.marked(_FRAMES[int(time.monotonic() * 8) % len(_FRAMES)], "cyan")
            if running
            else show.mark(stage.state)
        )
        spent = show.took(stage.started_at, stage.ended_at) if stage.started_at else ""
        style = "" if stage.started_at else "dim"
        made.add_row(
            sign, show.marked(stage.name, style), show.marked(spent, "dim"), show.clean(_brief(stage))
        )
    return made


def conclude(app: App, cycle: Cycle) -> int:
    """Tells how a cycle ended and why; returns the exit code.

    Returns:
        0 promoted, held, unchanged or trained; 1 refused by a check that failed;
        3 refused because the data can't tell; 2 failed.
    """
    found = [app.client.evaluation(name) for name in cycle.evaluations]
    if app.json:
        app.answer(cycle, lambda _: None)
        return code_of(cycle, found)
    show.say()
    show.say(headline(cycle))
    show.verdicts(found)
    if cycle.goal == "train":
        _trained(app, cycle)
    if cycle.error:
        show.item("failed", cycle.error)
    show.following(*next_commands(app, cycle))
    return code_of(cycle, found)


def code_of(cycle: Cycle, found: list[Evaluation]) -> int:
    """The exit code that tells a script how a cycle ended."""
    if cycle.state in ("failed", "running"):
        return 2
    if cycle.state != "refused":
        return 0
    outcomes = {evaluation.outcome for evaluation in found}
    return 3 if "inconclusive" in outcomes and "fail" not in outcomes else 1


def headline(cycle: Cycle) -> str:
    """What became of a cycle, in a line."""
    what = f"{cycle.model}/{cycle.version}" if cycle.version else f"cycle {cycle.id}"
    words = {
        "trained": f"{show.counted(len(cycle.runs), 'run')} of {cycle.model} trained",
        "trial": f"{what} is in trial: it becomes production when its last step has ended",
        "promoted": f"{what} is in production",
        "rolled_back": f"{what} was taken back out of its trial",
        "refused": f"{what} was refused",
        "held": f"{what} is held: it waits for an approval",
        "unchanged": _same(cycle),
        "failed": f"{what} failed",
        "running": f"{what} is running",
    }
    spent = show.took(cycle.started_at, cycle.ended_at)
    return f"{words[cycle.state]} · {spent} · {show.cpu(cycle.cpu_seconds)}"


def why(cycle: Cycle) -> str:
    """Why a cycle ended as it did: what its last stage said."""
    said = [stage.summary for stage in cycle.stages if stage.summary]
    return _in_a_line(said[-1]).removeprefix("held for approval: ") if said else ""


def _same(cycle: Cycle) -> str:
    """Which version was made of the same code, data and parameters, and what became of it."""
    said = why(cycle).rpartition("; ")[2]
    if "made of exactly this" not in said:
        return "unchanged: production is already made of the same code, data and parameters"
    return f"unchanged: {said}"


def _trained(app: App, cycle: Cycle) -> None:
    for run in [app.client.run(name) for name in cycle.runs]:
        figures = ", ".join(
            f"{name} {show.number(run.metrics[name])}" for name in show.ranked(run.metrics)[:2]
        )
        show.item(run.status, f"{run.name}  {figures}  {run.id}")


def _onward(app: App, cycle: Cycle) -> list[str]:
    """What to do with a version that is held: promote it from where it was delivered, or approve it."""
    first = next(iter(app.client.environments(cycle.model)), None)
    if first and first.next and first.served and first.served.version == cycle.version:
        onward = f"treadle deploy promote {cycle.model} --to {first.next} --reason 'why'"
        return [onward, f"treadle deploy status --env {first.environment}"]
    ref = f"{cycle.model}/{cycle.version}"
    decided = [f"treadle models {what} {ref} --reason 'why'" for what in ("approve", "refuse")]
    return [*decided, f"treadle models show {ref}"]


def next_commands(app: App, cycle: Cycle) -> list[str]:
    """What to do after a cycle."""
    if cycle.state == "held":
        return _onward(app, cycle)
    if cycle.state == "trial":
        return ["treadle deploy status"]
    if cycle.state == "promoted":
        served = app.client.deployment(cycle.model).replicas
        start = "treadle up" if app.client.embedded else "treadle serve"
        return ["treadle history"] if served else [start, "treadle history"]
    if cycle.state == "trained":
        return ["treadle runs", f"treadle run --like {cycle.runs[0]}" if cycle.runs else "treadle run"]
    if cycle.state == "unchanged":
        return ["treadle history"]
    return [f"treadle cycles show {cycle.id}"]
