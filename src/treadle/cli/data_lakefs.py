"""``treadle data import lakefs``: a reference of a lakeFS server becomes a version."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.interop.lakefs import LakefsReport

_SHOWN = 20


@click.command("lakefs", short_help="Take in a reference of a lakeFS server")
@click.argument("server", metavar="http://SERVER")
@click.argument("place", metavar="REPO@REF[/FOLDER]")
@click.argument("name", metavar="NAME")
@click.option("--branch", metavar="BRANCH", default="main", help="The branch that gets the version.")
@json_option
@pass_app
def import_lakefs(app: App, server: str, place: str, name: str, branch: str) -> int:
    """Make a version of what a branch, a tag or a commit of a lakeFS server holds now.

    The version is pinned to the commit at which the reference stands, and its origin says so; the
    same commit is taken in once. Keys come from LAKECTL_CREDENTIALS_ACCESS_KEY_ID and
    LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY.
    """
    from treadle.cli.moving import Progress
    from treadle.client import HttpTransport
    from treadle.interop import lakefs

    key, secret = (
        os.environ.get(f"LAKECTL_CREDENTIALS_{part}", "") for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    )
    transport = HttpTransport(server)
    progress = Progress()
    try:
        report = lakefs.import_lakefs(
            lakefs.LakefsServer(transport, key, secret),
            lakefs.parse_place(place),
            app.client,
            name,
            branch=branch,
            progress=progress,
        )
    finally:
        progress.end()
        transport.close()
    app.answer(report, _show)
    return 0


def _show(report: LakefsReport) -> None:
    version = report.version
    size = f"{version.count:,} {'file' if version.count == 1 else 'files'}, {format_bytes(version.bytes)}"
    is_here = "is" if report.added else "was there already as"
    click.echo(f"{report.source} {is_here} {version.ref}: {size}")
    for one in report.troubles[:_SHOWN]:
        click.echo(f"left out: {one.where}: {one.reason}")
    show.following(f"treadle data show {version.ref}", f"treadle data checkout {version.ref} --to PATH")
