"""``treadle monitor``: what the monitors see, and which alerts they raised."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, moment, pass_app

if TYPE_CHECKING:
    from treadle.monitor import Unpaired
    from treadle.monitor.types import Alert, Backfill, DroppedFile, Hindsight, WindowResult
    from treadle.retrain.types import Tick

_BLIND = 3
"""After so many windows that had too few rows, it is said that this won't change by itself."""

_A_WHILE, _MOST = 1.0, 64
"""Windows are asked for in more and more at a time, as long as that takes less than so many seconds."""


@click.group(cls=Group, default="show", short_help="Drift and performance: show, look, alerts, suggest")
def monitor() -> None:
    """What the monitors see in live traffic. `treadle monitor` alone shows it."""


@monitor.command("show")
@click.argument("model", required=False)
@json_option
@pass_app
def show_latest(app: App, model: str | None) -> None:
    """Show each monitor's latest window and its course."""
    app.answer(app.client.windows(app.model(model)), show_windows)


def show_windows(found: list[WindowResult]) -> None:
    """Prints each monitor's latest window; what needs attention comes first."""
    courses: dict[tuple[str, str, str, str], list[WindowResult]] = {}
    for window in found:
        key = (window.kind, window.subject, window.segment, window.statistic)
        courses.setdefault(key, []).append(window)
    order = ("alert", "inconclusive", "ok")
    last = max((window.until for window in found), default=None)
    current = [course for course in courses.values() if course[-1].until == last]
    latest = sorted(current, key=lambda course: (order.index(course[-1].state), course[-1].kind))
    show.table(
        ["", "monitor", "statistic", ">value", ">limit", ">rows", "!until", "course"],
        [
            (
                show.mark(course[-1].state),
                " where ".join(filter(None, (course[-1].subject, course[-1].segment))),
                _statistic(course[-1]),
                course[-1].value,
                course[-1].limit,
                f"{course[-1].n:,}",
                f"{course[-1].until:%Y-%m-%d}",
                show.spark([window.value for window in course if window.value is not None], 16),
            )
            for course in latest
        ],
        empty="no window was judged yet: that is done when one ends that has a version in production",
    )
    for course in latest:
        if course[-1].state != "ok":
            show.item(course[-1].state, course[-1].sentence)
    few = [course for course in current if course[-1].kind in {"input", "quality"}]
    blind = min((_untold(course) for course in few), default=0)
    if blind >= _BLIND:
        what = f"the last {blind} windows had too few rows to judge any input"
        show.item("inconclusive", f"{what}: longer ones (`every`) would tell")
    told = "treadle monitor suggest" if blind >= _BLIND else "treadle monitor alerts"
    show.following(told if found else "treadle monitor look")


def _untold(course: list[WindowResult]) -> int:
    """How many of the latest windows of a monitor could not tell."""
    told = (place for place, one in enumerate(reversed(course)) if one.value is not None)
    return next(told, len(course))


def _statistic(found: WindowResult) -> str:
    """Which figure it is: a metric may be realised, or estimated before labels are there."""
    estimated = found.kind == "estimated" and found.statistic == found.subject
    return f"{found.statistic}, estimated" if estimated else found.statistic


@monitor.command("look")
@click.argument("model", required=False)
@json_option
@pass_app
def look(app: App, model: str | None) -> None:
    """Compute the windows that have ended, and act on alerts."""
    app.answer(app.client.look(app.model(model)), show_tick)


def show_tick(tick: Tick) -> None:
    """Prints what a look found and started."""
    show.say(
        f"{show.counted(len(tick.windows), 'window')} computed, {show.counted(len(tick.alerts), 'alert')}"
    )
    for alert in tick.alerts:
        show.item("alert", alert.sentence)
    if tick.held_back:
        show.say(f"no cycle was started: {tick.held_back}")
    if tick.cycle:
        show.say(f"cycle {tick.cycle} was started")
    show.following(f"treadle cycles show {tick.cycle}" if tick.cycle else "treadle monitor")


@monitor.command("performance", short_help="How good past windows were, as known at a moment")
@click.argument("model", required=False)
@click.option("--as-of", metavar="TIME", callback=moment, help="By labels known by then; by default now.")
@click.option("--since", metavar="TIME", callback=moment, help="All windows that ended later.")
@click.option("--recorded-by", metavar="TIME", callback=moment, help="By what had been handed in by then.")
@json_option
@pass_app
def performance(
    app: App,
    model: str | None,
    as_of: datetime | None,
    since: datetime | None,
    recorded_by: datetime | None,
) -> None:
    """Show how good past windows were, by what was known at a moment.

    Labels come late, and are corrected: beside what a window's end could tell stands what TIME could.
    """
    found = app.client.hindsight(app.model(model), as_of, since, recorded_by)
    app.answer(found, show_hindsight)


def show_hindsight(found: list[Hindsight]) -> None:
    """Prints what was found when windows ended, and what is known of them."""
    show.table(
        [
            "",
            "!window until",
            "metric",
            ">at its end",
            ">labels",
            "!as of",
            ">value",
            ">labels",
            ">corrected",
        ],
        [
            (
                show.mark(one.now.state),
                f"{one.now.until:%Y-%m-%d %H:%M}",
                one.now.subject,
                one.then.value if one.then else None,
                f"{one.then.n:,}" if one.then else None,
                f"{one.as_of:%Y-%m-%d %H:%M}",
                one.now.value,
                f"{one.now.n:,}",
                f"{one.corrected:,}",
            )
            for one in found
        ],
        empty="no window had ended by then",
    )
    for one in found:
        show.item(one.now.state, one.now.sentence)


@monitor.command("ingest")
@click.argument("model", required=False)
@json_option
@pass_app
def ingest(app: App, model: str | None) -> None:
    """Take in the files that were dropped for the log.

    `[monitor] drop` says where they lie. A look takes them in as well.
    """
    model = app.model(model)
    app.answer(app.client.ingest(model), show_ingested)
    if not app.json:
        show_unpaired(app.client.unpaired_events(model))
        show.following("treadle monitor look")


def show_unpaired(found: Unpaired) -> None:
    """Prints what other servers logged that waits for its other side."""
    sides = (("request", found.requests), ("response", found.responses))
    told = " and ".join(show.counted(number, side) for side, number in sides if number)
    if found.since:
        since = show.when(found.since)
        show.item("inconclusive", f"{told} of other servers without the other side, since {since}")


def show_ingested(found: list[DroppedFile]) -> None:
    """Prints what became of dropped files; those that were not taken with the reason."""
    taken = [one for one in found if one.state == "taken"]
    rows = sum(one.rows for one in taken)
    show.say(f"{show.counted(len(taken), 'file')} taken, {show.counted(rows, 'row')}")
    for one in found:
        if one.reason:
            signs = {"taken": "ok", "refused": "alert"}
            show.item(signs.get(one.state, "inconclusive"), f"{one.file}: {one.reason}")


@monitor.command("backfill", short_help="Compute past windows again")
@click.argument("model", required=False)
@click.option("--since", metavar="TIME", required=True, callback=moment, help="Windows that ended later.")
@json_option
@pass_app
def backfill(app: App, model: str | None, since: datetime) -> None:
    """Compute past windows again, from what is logged now.

    They come out as they were, unless predictions came late or what is declared has changed. No alert
    is raised for the past. Ctrl-C stops after the window at hand; what is printed then goes on from there.
    """
    app.answer(again(app, app.model(model), since), show_backfill)


def again(app: App, model: str, since: datetime) -> Backfill:
    """Computes past windows again, some at a time, and shows how far it is on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from treadle.monitor.types import Backfill

    columns = TextColumn("windows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    where, last, most = show.console(stderr=True), None, 1
    done: list[Backfill] = []
    with Progress(*columns, console=where, transient=True, disable=app.json or not where.is_terminal) as bar:
        task = bar.add_task("", total=None)
        try:
            while last is None or done[-1].left:
                begun = time.monotonic()
                done.append(app.client.backfill(model, since, last, most))
                windows, last = sum(one.windows for one in done), done[-1].last or since
                bar.update(task, completed=windows, total=windows + done[-1].left)
                if time.monotonic() - begun < _A_WHILE:
                    most = min(2 * most, _MOST)
        except KeyboardInterrupt:
            bar.stop()
            _stopped(model, done)
            raise click.exceptions.Exit(130) from None
    changed = [found for one in done for found in one.changed]
    return Backfill(model=model, windows=windows, changed=tuple(changed), last=done[-1].last)


def _stopped(model: str, done: list[Backfill]) -> None:
    """Tells how to go on after Ctrl-C."""
    windows = sum(one.windows for one in done)
    if not windows or done[-1].last is None:
        click.echo("\nstopped; the same command begins anew", err=True)
        return
    click.echo(
        f"\nstopped after {windows:,} of {windows + done[-1].left:,} windows, which stay as they are now\n"
        f"to go on: treadle monitor backfill {model} --since {done[-1].last:%Y-%m-%dT%H:%M:%S}",
        err=True,
    )


def show_backfill(found: Backfill) -> None:
    """Prints what came out otherwise."""
    show.say(
        f"{show.counted(found.windows, 'window')} computed again: "
        f"{show.counted(len(found.changed), 'finding')} came out otherwise"
    )
    for one in found.changed:
        show.item(one.state, f"{one.until:%Y-%m-%d} {one.sentence}")


@monitor.command("suggest", short_help="Write [monitor] for a model, by its profile")
@click.argument("model", required=False)
@json_option
@pass_app
def suggest(app: App, model: str | None) -> None:
    """Write monitors that suit MODEL, by its profile and its traffic.

    Prune what it writes, and put it into treadle.toml.
    """
    app.answer(app.client.suggest_monitors(app.model(model)), lambda found: click.echo(found.toml, nl=False))


@monitor.command("alerts")
@click.argument("model", required=False)
@json_option
@pass_app
def alerts(app: App, model: str | None) -> None:
    """List the alerts, oldest first."""
    app.answer(app.client.alerts(app.model(model)), show_alerts)


def show_alerts(found: list[Alert]) -> None:
    """Prints alerts."""
    rows = [
        (alert.at, alert.kind, f"{alert.model}/{alert.version}", alert.sentence, alert.cycle)
        for alert in found
    ]
    show.table(["!raised", "!monitor", "!version", "what happened", "started"], rows, empty="no alerts")
