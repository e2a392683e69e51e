"""``treadle history`` and ``treadle report``: a model's life, in the terminal and as a page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, moment, pass_app
from treadle.cli.follow import why
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.deploy.types import InEnvironment
    from treadle.kernel.types import Event
    from treadle.retrain.types import Cycle, InProduction, Reign


@click.command(short_help="What was in production when, why, and its cost")
@click.argument("model", required=False)
@click.option(
    "--at", metavar="TIME", callback=moment, help="What was there at a moment, and on what evidence."
)
@click.option(
    "--timeline", is_flag=True, help="Every decision, also not to start a cycle: who, when and why."
)
@json_option
@pass_app
def history(app: App, model: str | None, at: datetime | None, timeline: bool) -> None:
    """Show what was in production when, why it changed, and what each cycle cost."""
    model = app.model(model)
    if timeline:
        if at is not None:
            raise InvalidInput("--at and --timeline ask for two things", fix="give one of them")
        app.answer(app.client.timeline(model), lambda found: show_timeline(model, found))
    elif at is None:
        app.answer(app.client.reigns(model), lambda reigns: show_history(app, model, reigns))
    else:
        found = app.client.in_production(model, at)
        app.answer(found, lambda found: show_moment(model, found, at))
        if not app.json:
            show_environments(model, app.client.environments(model, at))


def show_timeline(model: str, found: list[Event]) -> None:
    """Prints every decision about a model, oldest first."""
    rows = [(event.at, event.kind, event.actor, event.message) for event in found]
    show.table(["!when", "!what", "who", "why"], rows, empty=f"nothing has happened to {model} yet")
    show.following(f"treadle history {model}" if found else "treadle run")


def show_moment(model: str, found: list[InProduction], at: datetime) -> None:
    """Prints what was in production at a moment, who let it in, and on what evidence."""
    if not found:
        show.say(f"nothing of {model} was in production at {show.when(at)}")
        show.following(f"treadle history {model}")
        return
    for one in found:
        reign = one.reign
        until = show.when(reign.until) if reign.until else "now"
        share = "not served by Treadle then" if one.share is None else f"{one.share:.0%} of the requests"
        show.facts(
            [
                ("version", one.ref + (" (deleted since)" if one.deleted else "")),
                ("in trial" if one.trial else "in production", f"{show.when(reign.since)} to {until}"),
                ("traffic", f"{share}, revision {one.revision}" if one.revision else share),
                ("let in by", reign.actor + (", against its gate" if reign.override else "")),
                ("why", reign.reason),
                *(
                    ("approved by", f"{who.actor}, {show.when(who.at)}: {who.reason}")
                    for who in one.approvals
                ),
                *((f"evaluation {told.outcome}", told.sentence) for told in one.evidence),
            ]
        )
        show.say()
    show.following(f"treadle models show {found[0].ref}")


def show_environments(model: str, found: list[InEnvironment]) -> None:
    """Prints what each environment served at a moment; nothing if none is declared."""
    if not found:
        return
    rows = [
        (
            one.environment,
            f"{model}/{one.served.version}" if one.served else None,
            one.digest[:12] or None,
            one.served.since if one.served else None,
            one.actor or None,
            one.reason or None,
        )
        for one in found
    ]
    show.say()
    show.table(["!environment", "!served", "!digest", "!since", "by", "why"], rows)


def show_history(app: App, model: str, found: list[Reign]) -> None:
    """Prints what was in production when, and the cycles that changed nothing."""
    show_reigns(model, found)
    show_others([cycle for cycle in app.client.cycles(model) if cycle.goal == "deploy"])
    show.following("treadle report" if found else "treadle run")


def show_reigns(model: str, found: list[Reign]) -> None:
    """Prints what was in production when."""
    empty = f"nothing of {model} was in production"
    rows = [
        (
            f"{model}/{reign.version}",
            reign.since,
            show.when(reign.until) if reign.until else show.state("serving"),
            "-" if reign.cpu_seconds is None else f"{reign.cpu_seconds:,.1f}",
            reign.reason,
        )
        for reign in found
    ]
    show.table(["!version", "!from", "!until", ">CPU-s", "why"], rows, empty=empty)


def show_others(cycles: list[Cycle]) -> None:
    """Prints the cycles that put nothing into production, and what all cycles cost."""
    others = [cycle for cycle in cycles if cycle.state not in ("promoted", "trial", "running")]
    if others:
        show.say()
        rows = [
            (
                f"{cycle.model}/{cycle.version}" if cycle.version else None,
                cycle.as_of,
                show.state(cycle.state),
                f"{cycle.cpu_seconds:,.1f}",
                why(cycle),
            )
            for cycle in others
        ]
        show.table(["!version", "!as of", "!changed nothing", ">CPU-s", "why"], rows)
    if cycles:
        spent = show.cpu(sum(cycle.cpu_seconds for cycle in cycles))
        show.say(f"{show.counted(len(cycles), 'cycle')}, {spent}", "dim")


@click.command(short_help="Write the model's history as one HTML page")
@click.argument("model", required=False)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="Where to write it.",
)
@pass_app
def report(app: App, model: str | None, out: Path) -> None:
    """Write the model's history as one self-contained HTML page."""
    from treadle.kernel.files import write_atomic

    page = app.client.report_page(app.model(model))
    write_atomic(out, page)
    show.say(f"wrote {out} ({format_bytes(len(page))})")
    show.say(f"open it: {out.resolve().as_uri()}")
