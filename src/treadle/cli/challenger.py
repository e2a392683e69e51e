"""``treadle retrain challenger``: a version that is held beside production on live rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from treadle.retrain import Challenger, Compared

_why = click.option("--reason", required=True, metavar="TEXT", help="Why; kept on the model's timeline.")
_MARKS = {"better": "pass", "worse": "fail", "open": "open", "undecided": "inconclusive"}


@click.group(
    cls=Group, default="show", for_ref="start", short_help="A version beside production: show, start, stop"
)
def challenger() -> None:
    """Hold a version beside production on live rows, until labels tell which is better.

    `treadle retrain challenger` alone shows it. [retrain.challenger] watch = true
    holds the newest that was refused or held; any other is started by hand.
    """


@challenger.command("show", short_help="Which version is held, and how it does")
@click.argument("model", required=False)
@json_option
@pass_app
def show_now(app: App, model: str | None) -> None:
    """Show which version is held beside production, and the evidence so far."""
    app.answer(app.client.challenger(app.model(model)), show_challenger)


@challenger.command("start", short_help="Hold a version beside production")
@click.argument("ref", metavar="VERSION")
@_why
@json_option
@pass_app
def start(app: App, ref: str, reason: str) -> None:
    """Hold a version beside production, instead of any other that is."""
    model, number = _version(app.ref(ref))
    app.answer(app.client.start_challenger(model, number, reason), show_challenger)


@challenger.command("stop", short_help="Hold the version beside production no more")
@click.argument("model", required=False)
@_why
@json_option
@pass_app
def stop(app: App, model: str | None, reason: str) -> None:
    """Hold the version beside production no more; what was found stays on the timeline."""
    app.answer(app.client.stop_challenger(app.model(model), reason), show_challenger)


def _version(ref: str) -> tuple[str, int]:
    model, _, number = ref.rpartition("/")
    if not model or not number.isdecimal():
        raise InvalidInput(f"{ref!r} names no version", fix="write it as MODEL/3, or as 3")
    return model, int(number)


def show_challenger(found: Challenger) -> None:
    """Prints which version is held beside production, and how it does."""
    if found.challenger is None:
        show.say(f"Nothing is held beside production of {found.model}: {found.why}.")
        if found.production:
            show.following("treadle retrain challenger start VERSION --reason TEXT")
        else:
            show.following("treadle models")
        return
    by = f"; {found.actor}, {show.when(found.held_since)}" if found.held_since else ""
    show.facts(
        [
            ("challenger", f"{found.challenger} ({found.why}{by})"),
            ("production", found.production),
            *(_facts(found.found) if found.found else ()),
        ]
    )
    if found.problem:
        show.item("fail", found.problem)
    if found.found:
        show.item(_MARKS[found.found.verdict], found.found.sentence)
    show.following(_following(found))


def _facts(found: Compared) -> list[tuple[str, str]]:
    until = f" to {show.when(found.until)}" if found.until else ""
    rows = [
        ("compared", f"since {show.when(found.since)}{until}"),
        ("days", f"{found.days} of {found.most} with their labels; {found.rows:,} rows"),
        ("blocks", f"{found.blocks} of {found.block} days each"),
    ]
    if found.low is not None:
        rows.append(
            ("gain", f"{found.gain:+.4f} a day in {found.metric}, {found.low:+.4f} to {found.high:+.4f}")
        )
    rows.append(("evidence", f"{found.e_value:,.3g}; {found.asked:,.0f} decide{_needed(found)}"))
    if found.correlation is not None:
        rows.append(("correlation", f"{found.correlation:+.2f} with the day before"))
    return rows


def _needed(found: Compared) -> str:
    if found.verdict != "open" or found.blocks < 2:
        return ""
    if found.needed is None:
        return f"; if it goes on like this, {found.most} days won't"
    return f"; if it goes on like this, after about {found.needed} days"


def _following(found: Challenger) -> str:
    if found.found and found.found.verdict == "better":
        return f"treadle incidents {found.model}"
    if found.problem or (found.found and found.found.verdict in ("worse", "undecided")):
        return "treadle retrain challenger stop --reason TEXT"
    return "treadle history --timeline"
