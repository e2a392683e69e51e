"""``treadle data import dvc`` and ``treadle data export --dvc``: from DVC, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.interop.dvc import DvcExport, DvcReport

_SHOWN = 20


# The list of the group has room for one screen; `treadle import` shows it.
@click.group("import", cls=Group, short_help="Take in what DVC, lakeFS or a bucket has", hidden=True)
def import_data() -> None:
    """Take in data that another tool versions, or that lies in a bucket."""


@import_data.command("dvc", short_help="Take in what a DVC repository tracks")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--history", is_flag=True, help="Make a version of each Git commit that changed an output.")
@click.option("--remote", metavar="NAME", help="Read from this DVC remote what the cache doesn't have.")
@click.option("--default-remote", is_flag=True, help="The same, from the default remote.")
@click.option("--only", metavar="OUTPUT", multiple=True, help="Take in only this output.")
@click.option("--prefix", metavar="TEXT", default="", help="Begin the names of the datasets so.")
@json_option
@pass_app
def import_dvc(
    app: App,
    path: Path,
    history: bool,
    remote: str | None,
    default_remote: bool,
    only: tuple[str, ...],
    prefix: str,
) -> int:
    """Take in what a DVC repository tracks: each output of a .dvc file or dvc.lock becomes a dataset.

    PATH is the repository, which is only read. What was taken in before is passed over, so that an
    import that was cut off goes on when it is run again. Exits with 3 if something could not be read.
    """
    from treadle.cli.moving import PARTIAL, Progress
    from treadle.interop.dvc import DvcImporter, Repository

    progress = Progress()
    try:
        repository = Repository(path, remote if remote or not default_remote else "")
        report = DvcImporter(repository, app.client, progress, prefix).run(history=history, only=only)
    finally:
        progress.end()
    app.answer(report, _show_import)
    return PARTIAL if report.troubles else 0


@click.command("export", short_help="Write a version for DVC")
@click.argument("ref", metavar="NAME[@VERSION]")
@click.option(
    "--dvc", "folder", metavar="FOLDER", required=True, type=click.Path(path_type=Path),
    help="Write into this DVC repository; a new folder becomes one.",
)  # fmt: skip
@click.option("--to", metavar="PATH", default="", help="Where the data shall lie in it; PATH/ for a folder.")
@json_option
@pass_app
def export_data(app: App, ref: str, folder: Path, to: str) -> None:
    """Write a version for DVC: objects into its cache, a pointer, and a line of .gitignore."""
    from treadle.cli.moving import Progress
    from treadle.interop.dvc import export_dvc

    progress = Progress()
    try:
        made = export_dvc(app.client, ref, folder, to, progress)
    finally:
        progress.end()
    app.answer(made, _show_export)


def _show_import(report: DvcReport) -> None:
    rows = [
        (one.path, one.ref or one.dataset, one.added, one.before, f"{one.files:,}", format_bytes(one.bytes))
        for one in report.outputs
    ]
    show.table(["output", "!latest", ">new", ">before", ">files", ">size"], rows, empty="DVC tracks nothing")
    for trouble in report.troubles[:_SHOWN]:
        click.echo(f"not read: {trouble.where}: {trouble.reason}", err=True)
    if len(report.troubles) > _SHOWN:
        click.echo(f"… and {len(report.troubles) - _SHOWN} more; --json has all", err=True)
    show.following(
        "treadle data ls",
        *(f"treadle data checkout {one.dataset} --to {one.path}" for one in report.outputs[:1]),
    )


def _show_export(made: DvcExport) -> None:
    files = show.counted(made.files, "file")
    show.say(f"{made.ref}: {files}, {format_bytes(made.bytes)} as {made.path} in {made.repository}")
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    show.following(f"cd {made.repository} && dvc checkout {made.pointer}", "dvc push")
