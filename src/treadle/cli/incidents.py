"""``treadle incidents``: what is wrong, since when, what it comes from, and who looks after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app

if TYPE_CHECKING:
    from treadle.monitor import ChannelTest, Delivery, Incident, IncidentReport, Mute


@click.group(cls=Group, default="ls", short_help="What is wrong: ls, show, ack, resolve, mute, test")
def incidents() -> None:
    """Alerts that belong together, and who looks after them. `treadle incidents` alone lists."""


@incidents.command("ls")
@click.argument("model", required=False)
@click.option(
    "--state", type=click.Choice(["open", "acknowledged", "resolved"]), help="Only those in this state."
)
@json_option
@pass_app
def ls(app: App, model: str | None, state: str | None) -> None:
    """List a model's incidents, oldest first."""
    app.answer(app.client.incidents(app.model(model), state), show_incidents)


def show_incidents(found: list[Incident]) -> None:
    """Prints incidents."""
    rows = [
        (one.id, one.severity, one.state, f"{one.model}/{one.version}", one.since, one.last_at, one.title)
        for one in found
    ]
    headings = ["!incident", "!severity", "!state", "!version", "!since", "!latest alert", "what happened"]
    show.table(headings, rows, empty="no incidents")
    waiting = [one for one in found if one.state != "resolved"]
    show.following(f"treadle incidents show {waiting[-1].id}" if waiting else "treadle monitor")


@incidents.command("show")
@click.argument("incident")
@json_option
@pass_app
def show_one(app: App, incident: str) -> None:
    """Show what changed, since when, for whom, and likely why."""
    app.answer(app.client.incident(incident), show_report)


def show_report(found: IncidentReport) -> None:
    """Prints all that is known of an incident."""
    one = found.incident
    show.say(f"{one.id}: {one.severity}, {one.state}")
    show.say(one.title)
    show.facts(
        [
            ("since", one.since),
            ("affected", found.affected),
            ("predictions", f"{found.predictions:,} since it began"),
            ("opened", one.opened_at),
            *(("grown", what) for what in found.growths),
            ("taken", one.acknowledged_by or None),
            ("escalated", one.escalated_at),
            ("resolved", one.resolved_at and f"{one.resolved_at:%Y-%m-%d %H:%M} by {one.resolved_by}"),
            ("note", one.note or None),
        ]
    )
    show.say()
    show.table(
        ["what changed", "where", "statistic", ">value", ">limit", "!since", "!until", "course"],
        [
            (
                f"{cause.kind} {cause.subject}",
                cause.segment,
                cause.statistic,
                cause.value,
                cause.limit,
                cause.since,
                cause.until,
                show.spark(cause.course, 16),
            )
            for cause in found.causes
        ],
        empty="no monitor is in alert any more" if found.windowed else "it is no window's finding",
    )
    for cause in sorted(found.causes, key=lambda one: one.until is not None)[:3]:  # what stands first
        over = f" (until {show.when(cause.until)}; well since)" if cause.until else ""
        show.item("ok" if cause.until else "alert", f"{cause.sentence}{over}")
    for alert in found.beside:
        show.item("alert", f"{show.when(alert.at)}  {alert.sentence}")
    if found.production:
        show.say()
        rows = [(event.at, event.message, event.actor) for event in found.production]
        show.table(["!production", "what happened there", "who"], rows)
    show.following(*found.next)


@incidents.command("ack")
@click.argument("incident")
@click.option("--note", default="", metavar="TEXT", help="What you make of it.")
@json_option
@pass_app
def ack(app: App, incident: str, note: str) -> None:
    """Take an incident: it isn't escalated any more."""
    from treadle.monitor import IncidentChange

    app.answer(
        app.client.change_incident(incident, IncidentChange(state="acknowledged", note=note)), show_changed
    )


@incidents.command("resolve")
@click.argument("incident")
@click.option("--note", default="", metavar="TEXT", help="What it was.")
@json_option
@pass_app
def resolve(app: App, incident: str, note: str) -> None:
    """Say that an incident is over. One whose monitors are fine again resolves by itself."""
    from treadle.monitor import IncidentChange

    app.answer(
        app.client.change_incident(incident, IncidentChange(state="resolved", note=note)), show_changed
    )


def show_changed(one: Incident) -> None:
    """Prints what became of an incident."""
    who = one.resolved_by if one.state == "resolved" else one.acknowledged_by
    show.say(f"{one.id} is {one.state} by {who}")
    show.following("treadle incidents" if one.state == "resolved" else f"treadle incidents show {one.id}")


@incidents.command("mute")
@click.argument("model", required=False)
@click.option("--hours", type=float, required=True, metavar="N", help="For how long, from now on.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept for who wonders later.")
@click.option("--kind", default="", metavar="KIND", help="Only this kind of monitor, such as input.")
@click.option("--subject", default="", metavar="NAME", help="Only this column or metric.")
@json_option
@pass_app
def mute(app: App, model: str | None, hours: float, reason: str, kind: str, subject: str) -> None:
    """Tell nobody for some time. Alerts are raised and kept all the same."""
    from treadle.monitor import NewMute

    new = NewMute(hours=hours, reason=reason, kind=kind, subject=subject)
    app.answer(app.client.mute(app.model(model), new), lambda made: show_mutes([made]))


@incidents.command("mutes")
@click.argument("model", required=False)
@json_option
@pass_app
def mutes(app: App, model: str | None) -> None:
    """List what is kept quiet now."""
    app.answer(app.client.mutes(app.model(model)), show_mutes)


def show_mutes(found: list[Mute]) -> None:
    """Prints mutes."""
    rows = [(one.id, one.kind or "all", one.subject or "all", one.until, one.by, one.reason) for one in found]
    show.table(["!mute", "monitors", "of", "!until", "by", "why"], rows, empty="nothing is muted")
    if found:
        show.following(f"treadle incidents unmute {found[-1].id}")


@incidents.command("unmute")
@click.argument("mute_id", metavar="MUTE")
@json_option
@pass_app
def unmute(app: App, mute_id: str) -> None:
    """End a mute now."""
    app.client.unmute(mute_id)
    app.answer({"unmuted": mute_id}, lambda _: show.say(f"{mute_id} holds no longer"))


@incidents.command("sent")
@click.argument("incident")
@json_option
@pass_app
def sent(app: App, incident: str) -> None:
    """List what was sent about an incident, and what is on its way."""
    app.answer(app.client.deliveries(incident), show_deliveries)


def show_deliveries(found: list[Delivery]) -> None:
    """Prints deliveries, of which the first that waits holds up the others of its way."""
    waiting: set[str] = set()
    rows = []
    for one in found:
        when = one.delivered_at or f"try {one.attempts + 1} at {one.next_at:%Y-%m-%d %H:%M:%S}"
        if not one.delivered_at and one.channel in waiting:
            when = "after the one before"
        if not one.delivered_at:
            waiting.add(one.channel)
        rows.append((one.notice.at, one.notice.occasion, one.channel, when, one.error))
    show.table(["!when", "occasion", "by", "!taken", "error"], rows, empty="nothing was to be sent")


@incidents.command("test", short_help="Send a test notice by every declared way")
@click.argument("model", required=False)
@json_option
@pass_app
def test(app: App, model: str | None) -> int:
    """Send a test notice by every way of [monitor.notify], once, and say what became of it.

    `treadle up` sends it where it runs, with its own secrets. Exit code 1 when somebody wasn't told.
    """
    found = app.client.test_notices(app.model(model))
    app.answer(found, show_tests)
    return 1 if any(one.error for one in found) else 0


def show_tests(found: list[ChannelTest]) -> None:
    """Prints what became of test notices."""
    rows = [
        (show.mark("fail" if one.error else "ok"), one.channel, one.error or "took the test notice")
        for one in found
    ]
    show.table(["", "!channel", "what became of it"], rows)
