"""``treadle data import bucket``: versions of what lies in a bucket, without copying it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data import DatasetVersion


@click.command("bucket", short_help="Take in what lies in a bucket, without copying it")
@click.argument("url", metavar="s3://BUCKET/PREFIX")
@click.argument("name", metavar="NAME")
@click.option("--branch", metavar="BRANCH", default="main", help="The branch that gets the version.")
@click.option("-m", "--message", metavar="TEXT", default="", help="Why the version is made.")
@json_option
@pass_app
def import_bucket(app: App, url: str, name: str, branch: str, message: str) -> None:
    """Make a version of the objects below a URL as they are now: one listing, no bytes are copied.

    Each file is known by its object's URL, size and ETag, and is read from the bucket. A file whose
    object was changed or removed since is refused; `treadle data verify` tells which these are.
    """
    from treadle.data import ImportBucket

    asked = ImportBucket(dataset=name, url=url, branch=branch, message=message)
    app.answer(app.client.import_bucket(asked), lambda made: _show(made, url))


def _show(made: DatasetVersion, url: str) -> None:
    show.say(
        f"{url} is {made.ref}: {show.counted(made.count, 'file')}, {format_bytes(made.bytes)}, none copied"
    )
    show.following(f"treadle data ls {made.ref}")
