"""``treadle data``: versions of the project's datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data.types import DatasetVersion


@click.group(cls=Group, default="ls", short_help="Versions of the data: add, ls, log")
def data() -> None:
    """Versions of the project's datasets. `treadle data` alone lists."""


@data.command("add")
@click.argument("name")
@json_option
@pass_app
def add(app: App, name: str) -> None:
    """Make a version of what a dataset's files hold now."""
    before = {version.dataset: version.number for version in app.client.datasets()}
    app.answer(app.client.add_data(name), lambda version: show_version(version, before.get(name)))


def show_version(version: DatasetVersion, before: int | None) -> None:
    """Prints what was versioned."""
    what = f"{show.counted(version.rows, 'row')} in {show.counted(len(version.files), 'file')}"
    same = " (nothing has changed)" if before == version.number else ""
    show.say(f"{version.ref}: {what}, {format_bytes(version.bytes)}{same}")
    show.following("treadle run --plan")


@data.command("ls")
@json_option
@pass_app
def ls(app: App) -> None:
    """List the latest version of each dataset."""
    app.answer(app.client.datasets(), lambda found: show_versions(found, "treadle data add NAME"))


@data.command("log")
@click.argument("name")
@json_option
@pass_app
def log(app: App, name: str) -> None:
    """List a dataset's versions, newest first."""
    app.answer(app.client.data_log(name), lambda found: show_versions(found, f"treadle data add {name}"))


def show_versions(found: list[DatasetVersion], following: str) -> None:
    """Prints dataset versions."""
    rows = [
        (
            version.ref,
            f"{version.rows:,}",
            len(version.columns),
            format_bytes(version.bytes),
            version.created_at,
            version.actor,
            version.digest[:12],
        )
        for version in found
    ]
    headings = ["!version", ">rows", ">columns", ">size", "!made", "by", "!digest"]
    show.table(headings, rows, empty="no versions yet")
    show.following(following)
