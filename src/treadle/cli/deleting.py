"""``treadle gc``: what was deleted goes for good; ``treadle runs delete`` and ``restore``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, length, pass_app
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.govern import Collected

_SHOWN = 20
_USUAL = timedelta(days=30)


def _grace(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """Reads a duration, which may be nothing here."""
    return timedelta(0) if value in {"0", "0s"} else length(context, parameter, value)


@click.command(short_help="Erase what was deleted, and free its files")
@click.option(
    "--older-than",
    metavar="TIME",
    default="30d",
    show_default=True,
    callback=_grace,
    help="Only what was deleted longer ago.",
)
@click.option("--run", "runs", metavar="ID", multiple=True, help="Only this run.")
@click.option("--experiment", "experiments", metavar="NAME", multiple=True, help="Only this experiment.")
@click.option("--data", metavar="DATASET[@VERSION]", multiple=True, help="Only this data.")
@click.option("--apply", is_flag=True, help="Do it; it is only told otherwise.")
@click.option("--compact", is_flag=True, help="Rewrite SQLite's file, to free its disk space.")
@json_option
@pass_app
def gc(
    app: App,
    older_than: timedelta,
    runs: tuple[str, ...],
    experiments: tuple[str, ...],
    data: tuple[str, ...],
    apply: bool,
    compact: bool,
) -> None:
    """Erase runs, experiments, logged models and versions of data that were deleted, and free their files.

    Without --apply it only says what would go. What a model version, an evaluation, a cycle or
    a registered version needs is kept.
    """
    from treadle.govern import Collect

    asked = Collect(
        older_than=older_than.total_seconds(),
        runs=runs,
        experiments=experiments,
        data=data,
        apply=apply,
        compact=compact,
    )
    again = [f"--older-than {older_than.total_seconds():.0f}s"] * (older_than != _USUAL)
    for option, values in (("run", runs), ("experiment", experiments), ("data", data)):
        again += [f"--{option} {value}" for value in values]
    app.answer(
        app.client.collect(asked), lambda found: _show(found, " ".join(["treadle gc", *again, "--apply"]))
    )


def _show(found: Collected, again: str) -> None:
    rows = [(one.kind, one.id, one.name, show.when(one.deleted_at), one.kept) for one in found.items]
    if rows:
        show.table(("", "id", "name", "deleted", "kept, because"), rows[:_SHOWN])
    if len(rows) > _SHOWN:
        click.echo(f"… and {len(rows) - _SHOWN} more; --json has them")
    going = [
        show.counted(found.experiments, "experiment"),
        show.counted(found.runs, "run"),
        show.counted(found.logged_models, "logged model"),
        show.counted(found.versions, "version of data", "versions of data"),
        show.counted(found.rows, "row"),
        show.counted(found.files, "file"),
    ]
    verb = "went" if found.applied else "would go"
    click.echo(f"{', '.join(going)} {verb}.")
    freed = "were freed" if found.applied else "would be freed"
    click.echo(f"{show.counted(found.blobs, 'blob')} of {format_bytes(found.bytes)} {freed}.")
    if found.young:
        click.echo(f"{show.counted(found.young, 'blob')} that nothing needs stay until they are a day old.")
    if found.debris:
        click.echo(
            f"{show.counted(found.debris, 'leftover')} of broken uploads, sent runs and caches {verb}."
        )
    if found.note:
        click.echo(found.note)
    if not found.applied:
        show.following(again)


@click.command("delete", short_help="Delete runs, models or an experiment")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--experiment", metavar="NAME", help="A whole experiment with its runs.")
@pass_app
def delete(app: App, runs: tuple[str, ...], experiment: str | None) -> None:
    """Delete runs, logged models (m-...) or an experiment; they can be restored."""
    client = app.client
    _each(runs, experiment, client.delete_run, client.delete_logged_model, client.delete_experiment)
    click.echo("Deleted. It can be restored until `treadle gc` erases it.")
    show.following("treadle runs restore …", "treadle gc")


@click.command("restore", short_help="Restore what was deleted")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--experiment", metavar="NAME", help="A whole experiment with its runs.")
@pass_app
def restore(app: App, runs: tuple[str, ...], experiment: str | None) -> None:
    """Restore deleted runs, logged models (m-...) or an experiment."""
    client = app.client
    _each(runs, experiment, client.restore_run, client.restore_logged_model, client.restore_experiment)
    click.echo("Restored.")
    show.following("treadle runs ls")


def _each(
    runs: tuple[str, ...],
    experiment: str | None,
    of_run: Callable[[str], None],
    of_model: Callable[[str], None],
    of_experiment: Callable[[str], None],
) -> None:
    if not runs and experiment is None:
        raise InvalidInput("no run is named", fix="name runs by their ids, or --experiment NAME")
    for run in runs:
        (of_model if run.startswith("m-") else of_run)(run)
    if experiment is not None:
        of_experiment(experiment)
