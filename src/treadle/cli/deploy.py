"""``treadle deploy``: which version serves, and putting another in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.kernel.errors import Conflict

if TYPE_CHECKING:
    from treadle.deploy.types import DeploymentStatus, Replica, Revision


@click.group(cls=Group, default="status", for_ref="to", short_help="What serves: status, to REF, rollback")
def deploy() -> None:
    """What serves, and what is to serve. `treadle deploy` alone shows it.

    `treadle deploy flights/3 --reason TEXT` deploys a version.
    """


@deploy.command("to")
@click.argument("ref")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
@pass_app
def to(app: App, ref: str, reason: str) -> None:
    """Deploy a version that was approved before."""
    app.answer(app.client.deploy(app.ref(ref), reason), show_revision)


@deploy.command("rollback")
@click.argument("model", required=False)
@click.option(
    "--to", "version", type=int, metavar="N", help="The version to go back to; the one before by default."
)
@click.option("--reason", default="rolled back by hand", metavar="TEXT", help="Why; kept in the history.")
@json_option
@pass_app
def rollback(app: App, model: str | None, version: int | None, reason: str) -> None:
    """Go back to the version that served before."""
    model = app.model(model)
    target = version or previous(app.client.revisions(model), model)
    app.answer(app.client.deploy(f"{model}/{target}", reason), show_revision)


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
    show.say(f"revision {revision.revision}: {revision.model}/{revision.version} is to serve")
    show.following("treadle deploy status")


@deploy.command("status")
@click.argument("model", required=False)
@json_option
@pass_app
def status(app: App, model: str | None) -> None:
    """Show what should run and what does."""
    start = "treadle up" if app.client.embedded else "treadle serve"
    app.answer(app.client.deployment(app.model(model)), lambda found: show_status(found, start))


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
    show.say()
    show.table(
        ["replica at", ">revision", ">requests", ">errors", ">p50 ms", ">p99 ms", "!heard"],
        [_replica(replica) for replica in found.replicas],
        empty="no replica runs",
    )
    if not found.replicas:
        show.following(start)


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
