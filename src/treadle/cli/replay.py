"""``treadle replay``: the past of the data, lived through again as traffic."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click
import msgspec

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, length, moment, pass_app
from treadle.cli.follow import headline, polled, why
from treadle.kernel.errors import Conflict
from treadle.retrain.types import Cycle

if TYPE_CHECKING:
    from treadle.retrain.types import ReplayState, ReplayStep


class Replayed(msgspec.Struct, kw_only=True):
    """What a replay came to.

    Attributes:
        since: Where it began.
        until: Where it stands.
        requests: Requests sent to the inference server.
        failed: Of those, how many were not answered with predictions.
        rows: Rows predicted.
        labels: Labels that became known.
        alerts: Alerts raised.
        cycles: The cycles that alerts started, as they ended.
    """

    since: datetime
    until: datetime
    requests: int = 0
    failed: int = 0
    rows: int = 0
    labels: int = 0
    alerts: int = 0
    cycles: list[Cycle] = []


@click.group(cls=Group, default="status", short_help="Live through the data's past: start, until, stop")
def replay() -> None:
    """Live through the past of the data as if it were today's traffic.

    `treadle replay start 2013-04-01`, then `treadle replay until 2013-07-01`.
    """


@replay.command("status")
@json_option
@pass_app
def status(app: App) -> None:
    """Show where the replay stands."""
    app.answer(app.client.replay(), show_state)


def show_state(state: ReplayState | None) -> None:
    """Prints where a replay stands."""
    if state is None:
        show.say("no replay is under way", "dim")
        show.following("treadle replay start DATE")
        return
    show.say(f"the replay stands at {show.when(state.at)} UTC; the data ends at {show.when(state.end)}")
    show.following("treadle replay until DATE")


@replay.command("start")
@click.argument("date", callback=moment)
@json_option
@pass_app
def start(app: App, date: datetime) -> None:
    """Set the workspace's clock to a date in the data's past."""
    app.answer(app.client.start_replay(date), show_state)


@replay.command("stop")
@pass_app
def stop(app: App) -> None:
    """Give the workspace the machine's clock again."""
    app.client.stop_replay()
    show.say("the workspace follows the machine's clock again")


@replay.command("until")
@click.argument("date", required=False, callback=moment)
@click.option(
    "--step",
    metavar="LENGTH",
    default="7d",
    show_default=True,
    callback=length,
    help="How far each step goes.",
)
@json_option
@pass_app
def until(app: App, date: datetime | None, step: timedelta) -> None:
    """Replay the traffic up to a date (the data's end by default)."""
    state = app.client.replay()
    if state is None:
        raise Conflict("no replay is under way", fix="start one: treadle replay start DATE")
    target = min(date or state.end, state.end)
    total = Replayed(since=state.at, until=state.at)
    try:
        _Drive(app, total, target, step).go()
    except KeyboardInterrupt:
        click.echo(
            f"\nthe replay stands at {show.when(total.until)}; `treadle replay until` goes on", err=True
        )
        raise click.exceptions.Exit(130) from None
    app.answer(total, show_summary)


def show_summary(total: Replayed) -> None:
    """Prints what a replay came to."""
    ended = [cycle.state for cycle in total.cycles]
    outcomes = ", ".join(f"{ended.count(state)} {state}" for state in dict.fromkeys(ended))
    cycles = show.counted(len(ended), "cycle") + (f" ({outcomes})" if outcomes else "")
    failed = f"{total.failed:,} failed" if total.failed else "none failed"
    show.say(f"replayed {show.when(total.since)} to {show.when(total.until)}")
    show.facts(
        [
            (
                "  requests",
                f"{total.requests:,}, {failed}; {total.rows:,} rows predicted, {total.labels:,} labels",
            ),
            ("  alerts", f"{total.alerts:,}"),
            ("  cycles", cycles),
        ]
    )
    show.following("treadle history", "treadle report")


class _Drive:
    """Steps a replay to its target, and tells of alerts and of cycles that end on the way."""

    def __init__(self, app: App, total: Replayed, target: datetime, step: timedelta) -> None:
        self._app = app
        self._total = total
        self._target = target
        self._step = step
        self._open: list[str] = []

    def go(self) -> None:
        """Goes all the way."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        shown = show.console(stderr=self._app.json)
        columns = (
            TextColumn("{task.fields[at]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}% {task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
        )
        quiet = self._app.json or show.is_dumb()
        with Progress(*columns, console=shown, transient=True, disable=quiet) as progress:
            seconds = (self._target - self._total.since).total_seconds()
            task = progress.add_task("", total=max(seconds, 1.0), at=show.when(self._total.since), rate="")
            while self._total.until < self._target:
                step = self._app.client.step_replay(min(self._total.until + self._step, self._target))
                if step.until <= self._total.until:
                    break
                self._tell_ended(wait=False)  # what began in a step before comes before this one's news
                self._add(step)
                if step.tick.cycle:
                    self._tell_ended(wait=False)
                elapsed = progress.tasks[0].elapsed or 0.0
                rate = f"{self._total.rows / elapsed:,.0f} rows/s" if elapsed else ""
                done = (step.until - self._total.since).total_seconds()
                progress.update(task, completed=done, at=show.when(step.until), rate=rate)
            self._tell_ended(wait=True)

    def _add(self, step: ReplayStep) -> None:
        total = self._total
        total.until = step.until
        total.requests += step.requests
        total.failed += step.failed
        total.rows += step.rows
        total.labels += step.labels
        total.alerts += len(step.tick.alerts)
        for alert in step.tick.alerts:
            self._line(alert.at, "alert", brief(alert.sentence))
        if step.tick.held_back:
            self._line(step.until, "pending", f"no cycle was started: {step.tick.held_back}")
        if step.tick.cycle:
            self._open.append(step.tick.cycle)

    def _tell_ended(self, *, wait: bool) -> None:
        """Tells of the cycles that have ended, or of all of them once they have."""
        for name in list(self._open):
            cycle = self._app.client.cycle(name)
            if wait:
                *_, cycle = polled(self._app, cycle)
            if cycle.state == "running":
                continue
            self._open.remove(name)
            self._total.cycles.append(cycle)
            self._line(cycle.as_of, cycle.state, f"{headline(cycle)}{_because(cycle)}")

    def _line(self, at: datetime, state: str, text: str) -> None:
        if not self._app.json:
            show.item(state, f"{show.when(at)}  {text}")


def brief(sentence: str) -> str:
    """What an alert says first; `treadle monitor alerts` says all of it."""
    return re.split(r"; |\. ", sentence, maxsplit=1)[0]


def _because(cycle: Cycle) -> str:
    return f": {why(cycle)}" if cycle.state not in ("promoted", "trained", "trial") and why(cycle) else ""
