"""``treadle models export`` and ``import``: a version as one file, for another Treadle and from one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.errors import CorruptData
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.registry.types import ModelVersion


@click.command("export", short_help="Write a version as one archive")
@click.argument("ref")
@click.option(
    "-o",
    "out",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to.",
)
@click.option(
    "--sign",
    "key",
    metavar="KEY",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Sign it with this ed25519 key of OpenSSH.",
)
@pass_app
def export_model(app: App, ref: str, out: Path, key: Path | None) -> None:
    """Write a version, with all that it consists of, as one archive.

    The same version is the same bytes; every part is named by its digest.
    A public key is enough for --sign where an agent has the private one.
    """
    size = app.client.export_model(app.ref(ref), out, key)
    show.say(f"wrote {out}, {format_bytes(size)}")
    show.following(f"treadle models import {out}   # in the other project")


@click.command("import", short_help="Take in another Treadle's archive")
@click.argument("what", metavar="FILE|REF")
@click.option("--from", "server", metavar="URL", help="Fetch the version REF of that Treadle.")
@click.option("--model", metavar="NAME", help="The model's name here; as it was there if left out.")
@json_option
@pass_app
def import_model(app: App, what: str, server: str | None, model: str | None) -> None:
    """Take in a version that another Treadle exported, once every digest fits.

    It keeps its identity and becomes a candidate; no verdict of the other
    Treadle lets it into production here.
    """
    if server is None:
        found = app.client.import_model(Path(what), model)
    else:
        found = _fetched(app, server, what, model)
    app.answer(found, show_imported)


def _fetched(app: App, server: str, ref: str, model: str | None) -> ModelVersion:
    """Takes in a version of another server, and checks that it is what that server has."""
    from treadle.client import Client

    with tempfile.TemporaryDirectory() as folder, Client.http(server) as there:
        wanted = there.model(ref)
        there.export_model(wanted.ref, Path(folder) / "version.tar")
        found = app.client.import_model(Path(folder) / "version.tar", model)
    if found.id != wanted.id:
        raise CorruptData(f"it is {found.id:.16}, and {wanted.ref} there is {wanted.id:.16}", where=found.ref)
    return found


def show_imported(version: ModelVersion) -> None:
    """Prints what a version came in as."""
    origin = version.imported
    came = f" from {origin.ref} of {origin.project}" if origin else " and was made here"
    signed = f", signed by {origin.signed_by}" if origin and origin.signed_by else ""
    show.say(f"{version.ref} is {version.status}, {version.id[:16]},{came}{signed}")
    show.following(f"treadle models show {version.ref}")
