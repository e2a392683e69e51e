"""``treadle runs media``: what a run shows, and its files on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import origin, show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.experiment.types import Media


@click.command("media", short_help="List images, sounds, tables, plots and pages")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--to",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files there.",
)
@json_option
@pass_app
def media(app: App, run_id: str, folder: Path | None) -> None:
    """List the images, sounds, tables, plots and pages of a run."""
    origin.settle(app, run_id)
    found = app.client.media(run_id)
    if folder is not None:
        for one in found:
            app.client.fetch_file(run_id, one.path, folder / one.path.removeprefix("media/"))
    app.answer(found, lambda found: show_media(found, run_id, folder))


def show_media(found: list[Media], run_id: str, folder: Path | None) -> None:
    """Prints what a run shows."""
    rows = [
        (one.info.name, one.info.step, one.info.kind, one.info.caption, format_bytes(one.size), one.path)
        for one in found
    ]
    show.table(["name", ">step", "kind", "caption", ">size", "file"], rows, empty="nothing to look at")
    if folder is not None:
        show.say(f"{show.counted(len(found), 'file')} in {folder}")
    elif found:
        show.following(f"treadle runs media {run_id} --to FOLDER")
