"""``treadle import`` and ``treadle export``: in from another tracking server, and out again."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.data_dvc import import_dvc
from treadle.cli.data_lakefs import import_lakefs

if TYPE_CHECKING:
    from treadle.interop import ImportReport, Trouble

DIFFERS, PARTIAL = 1, 3
_SHOWN = 20


@click.group("import", cls=Group, short_help="Take in what MLflow, DVC or lakeFS has")
def import_() -> None:
    """Take in experiments, runs and models of another tracking server, or data of DVC or lakeFS."""


import_.add_command(import_dvc)
import_.add_command(import_lakefs)


@import_.command("mlflow")
@click.argument("store", metavar="STORE")
@click.option(
    "--artifacts",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder in which artifacts lie that aren't where the store says.",
)
@click.option("--without-artifacts", is_flag=True, help="Take in all but the files.")
@click.option("--verify/--no-verify", default=True, help="Count all again at the end, and read files again.")
@click.option("--dry-run", is_flag=True, help="Only count what there is.")
@json_option
@pass_app
def mlflow(
    app: App, store: str, artifacts: tuple[Path, ...], without_artifacts: bool, verify: bool, dry_run: bool
) -> int:
    """Take in all that an MLflow store has.

    STORE is a folder such as ./mlruns, sqlite:///mlflow.db, postgresql://USER@HOST/NAME or
    http://HOST:5000. What was taken in before is passed over, so that an import that was cut
    off goes on when it is run again. Exits with 1 if something is not here as it was read, and
    with 3 if something could not be read or taken in.
    """
    from treadle.interop import Importer, open_source

    troubles: list[Trouble] = []
    source = open_source(store, troubles.append, artifacts)
    progress = Progress()
    try:
        if dry_run:
            from treadle.interop import count

            report = count(source, troubles, progress, files=not without_artifacts)
        else:
            importer = Importer(source, app.client, troubles, progress, files=not without_artifacts)
            report = importer.run(verify=verify)
    finally:
        progress.end()
        source.close()
    app.answer(report, lambda found: _show(found, dry_run=dry_run, verified=verify and not dry_run))
    if report.differing or (verify and not dry_run and any(line.here < line.there for line in report.lines)):
        return PARTIAL if report.troubles and not report.differing else DIFFERS
    return PARTIAL if report.troubles else 0


@click.group(cls=Group, short_help="Write all there is for MLflow")
def export() -> None:
    """Write experiments, runs and models for another tracking server."""


@export.command("mlflow")
@click.argument("where", metavar="FOLDER|URL")
@click.option("--verify/--no-verify", default=True, help="Read all again on the server and compare.")
@json_option
@pass_app
def export_mlflow(app: App, where: str, verify: bool) -> int:
    """Write all there is for MLflow: to a file store or a server.

    A FOLDER is new or empty; `mlflow ui --backend-store-uri FOLDER` opens it, and identifiers are
    kept. A server at a URL such as http://HOST:5000 gives its own, and keeps the original ones in
    tags; an export to it that was cut off goes on when it is run again. What was written is read
    again and compared. Exits with 1 if something is not there as it is here, and with 3 if
    something could not be written.
    """
    from treadle.interop import HttpSource, export_files, export_server

    troubles: list[Trouble] = []
    progress = Progress()
    online = where.startswith(("http://", "https://"))
    try:
        source = HttpSource(app.client.transport, app.client.server, troubles.append)
        if online:
            from treadle.client import HttpTransport

            there = HttpTransport(where)
            try:
                report = export_server(source, there, there.name, troubles, progress, verify=verify)
            finally:
                there.close()
        else:
            report = export_files(source, _folder(where), troubles, progress)
    finally:
        progress.end()
    app.answer(report, lambda found: _show_export(found, where, online=online, verified=verify))
    lacking = online and any(line.here < line.there for line in report.lines)
    if report.differing or (lacking and not report.troubles):
        return DIFFERS
    return PARTIAL if report.troubles else 0


def _folder(text: str) -> Path:
    """A folder that doesn't look like something else.

    Raises:
        InvalidInput: If it does.
    """
    from treadle.kernel.errors import InvalidInput

    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme not in {"", "file"}:
        raise InvalidInput(
            f"nothing can be exported to {scheme}://",
            where=text[:200],
            fix="name a folder, or a running server as http://HOST:PORT",
        )
    folder = Path(text.removeprefix("file://"))
    if folder.is_file():
        raise InvalidInput("that is a file", where=str(folder), fix="name a folder that is new or empty")
    return folder


class Progress:
    """A line that says how far it is, where somebody watches."""

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._count = 0
        self._shown = sys.stderr.isatty()

    def __call__(self, what: str) -> None:
        """Says what was done last, a few times a second."""
        self._count += 1
        now = time.monotonic()
        if self._shown and now - self._said > 0.2:
            self._said = now
            rate = self._count / (now - self._began)
            click.echo(f"\r\033[K{self._count:,} done, {rate:,.0f}/s: {what[:60]}", nl=False, err=True)

    def end(self) -> None:
        """Takes the line away."""
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)


def _show(report: ImportReport, *, dry_run: bool, verified: bool) -> None:
    from treadle.cli import show

    columns = ["", "there"] if dry_run else ["", "there", "here"]
    rows = [
        [line.what, f"{line.there:,}"] + ([] if dry_run else [f"{line.here:,}"])
        for line in report.lines
        if line.there or line.here
    ]
    show.table(columns, rows)
    _tell_of(report, "not read")
    if dry_run:
        click.echo("Nothing was changed; run it without --dry-run to take it in.")
        return
    said = f"{report.added} runs taken in, {report.before} were here already."
    if verified and not report.differing and not report.troubles:
        said += " All is here as it was read: counts and digests agree."
    click.echo(said)
    show.following("treadle runs ls")


def _show_export(report: ImportReport, where: str, *, online: bool, verified: bool) -> None:
    from treadle.cli import show

    rows = [
        [line.what, f"{line.there:,}", f"{line.here:,}"] for line in report.lines if line.there or line.here
    ]
    show.table(["", "here", "there" if online else "written"], rows)
    _tell_of(report, "not written")
    if online:
        click.echo(f"{report.added} runs sent, {report.before} were there already.")
    lacking = any(line.here < line.there for line in report.lines)
    if (verified or not online) and not report.differing and not report.troubles and not lacking:
        click.echo("All was written as it is here: counts and digests agree.")
    show.following(f"open {where}" if online else f"mlflow ui --backend-store-uri {where}")


def _tell_of(report: ImportReport, what: str) -> None:
    for trouble in report.troubles[:_SHOWN]:
        click.echo(f"{what}: {trouble.where}: {trouble.reason}", err=True)
    if len(report.troubles) > _SHOWN:
        click.echo(f"… and {len(report.troubles) - _SHOWN} more; --json has all", err=True)
    for one in report.differing[:_SHOWN]:
        click.echo(f"not as it was read: {one}", err=True)
