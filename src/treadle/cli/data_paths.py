"""``treadle data ls DATASET@VERSION/PATH`` and ``treadle data path``: versions by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.cli.data_work import working
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data import PathEntry


def list_paths(app: App, text: str, recursive: bool) -> None:
    """Lists what lies in a version, or in a folder of it."""
    from treadle.paths import find_place

    place = find_place(app.client, text)
    version = app.client.data_version(place.dataset, place.ref)
    found = app.client.data_paths(place.dataset, version.commit_id, place.path, deep=recursive)
    app.answer(found, lambda told: _show(told, place.of(place.path)))


def _show(found: list[PathEntry], where: str) -> None:
    rows = [
        (
            f"{one.path}/" if one.kind == "folder" else one.path,
            format_bytes(one.size) if one.kind == "file" else None,
            one.digest[:12] or None,
            f"→ {one.target or one.external}" if one.target or one.external else "",
        )
        for one in found
    ]
    show.table(["!path", ">size", "!digest", ""], rows, empty=f"nothing lies in {where}")
    show.following(f"treadle data log {where.partition('/')[0]}")


class LocalPath(msgspec.Struct, frozen=True):
    """Where files of a version lie on this machine.

    Attributes:
        ref: The version.
        path: The file, or the folder.
    """

    ref: str
    path: str


@click.command("path", short_help="Print a local path of a version's files")
@click.argument("place", metavar="DATASET[@VERSION][/PATH]")
@json_option
@pass_app
def local_path(app: App, place: str) -> None:
    """Print where a version, or a file or folder of it, lies on this machine; it is brought first.

    The files are read-only. They lie in .treadle/cache/versions, which may be deleted.
    """
    from treadle.paths import bring, find_place

    named = find_place(app.client, place)
    version = app.client.data_version(named.dataset, named.ref)
    with working(app, "brought"):
        where = bring(app.client, version, named.path, app.root / ".treadle" / "cache" / "versions")
    app.answer(LocalPath(version.ref, str(where)), lambda told: click.echo(told.path))
