"""``treadle data status`` and ``checkout``: the data in the project's folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data import CheckedOut, WorkStatus

_SHOWN = 20
_MARKS = {"added": "+", "modified": "~", "deleted": "-"}


def inside(app: App, path: str) -> str:
    """A path that was typed, as it is called within the project.

    Raises:
        InvalidInput: If it lies outside.
    """
    whole = Path(os.path.abspath(app.start / path))  # noqa: PTH100 - a link's own place is meant, not its target's
    for root in (app.root, app.root.resolve()):
        if whole.is_relative_to(root):
            return whole.relative_to(root).as_posix()
    raise InvalidInput(
        f"{path!r} lies outside of the project", where=str(app.root), fix="name what lies in it"
    )


@contextlib.contextmanager
def working(app: App, done: str) -> Iterator[None]:
    """Shows how far a long piece of work is, on a terminal."""
    where = show.console(stderr=True)
    if app.json or not where.is_terminal:
        yield
        return
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from treadle.kernel import progress

    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=where, transient=True) as bar:
        task = bar.add_task("…")
        files = size = 0

        def tell(more: int, more_bytes: int) -> None:
            nonlocal files, size
            files, size = files + more, size + more_bytes
            started = bar.tasks[0].elapsed or 1e-9
            rate = format_bytes(round(size / started))
            bar.update(task, description=f"{files:,} files, {format_bytes(size)} {done}, {rate}/s")

        with progress.listening(tell):
            yield


@click.command("status", short_help="How the data in the folder differs from its versions")
@click.argument("path", default="")
@json_option
@pass_app
def status(app: App, path: str) -> None:
    """Tell how the data in the project's folder differs from its versions."""
    found = app.client.data_status(inside(app, path) if path else "")
    app.answer(found, _show_status)


def _show_status(found: list[WorkStatus]) -> None:
    if not found:
        show.say("no data has a version yet", "dim")
        show.following("treadle data add PATH")
    for one in found:
        branch = "" if one.branch == "main" else f" on {one.branch}"
        behind = f"; {one.branch} stands at {one.head}" if one.head and one.head != one.ref else ""
        if not one.present:
            show.say(f"{one.path}: {one.ref}{branch} isn't here{behind}")
            show.following(f"treadle data {'checkout' if one.head else 'pull'} {one.path}")
        elif one.clean:
            show.say(f"{one.path}: as {one.ref}{branch}{behind}")
        else:
            counts = [(one.added, "added"), (one.modified, "modified"), (one.deleted, "deleted")]
            told = ", ".join(f"{count:,} {word}" for count, word in counts if count)
            show.say(f"{one.path}: {told} since {one.ref}{branch}{behind}")
            for change in one.changes[:_SHOWN]:
                show.say(f"  {_MARKS[change.kind]} {change.path}")
            left = one.added + one.modified + one.deleted - _SHOWN
            if left > 0:
                show.say(f"  and {left:,} more (--json tells the first 1,000)", "dim")
            show.following(f"treadle data add {one.path}")


@click.command("checkout", short_help="Bring the data that pointers name")
@click.argument("paths", nargs=-1, metavar="[PATH...|DATASET@VERSION]")
@click.option("--at", "ref", metavar="VERSION", default="", help="Another version: v3, a branch, a tag.")
@click.option(
    "--to", metavar="PATH", default="", help="Where a dataset shall lie that has no place here yet."
)
@click.option("--force", is_flag=True, help="Drop changes that are in no version.")
@click.option(
    "--link",
    type=click.Choice(["auto", "copy", "hardlink"]),
    default="auto",
    show_default=True,
    help="How large files are brought; hard links are read-only.",
)
@json_option
@pass_app
def checkout(
    app: App,
    paths: tuple[str, ...],
    ref: str,
    to: str,
    force: bool,
    link: Literal["auto", "copy", "hardlink"],
) -> None:
    """Bring the data that pointers name into the project's folder."""
    from treadle.data import Checkout

    if to:
        paths, ref, to = (), _version_for(paths, ref), inside(app, to) + "/" * to.endswith("/")
    elif len(paths) == 1 and "@" in paths[0] and not ref:
        paths, ref = _meant(app, paths[0])
    named = tuple(inside(app, path) for path in paths)
    asked = Checkout(paths=named, ref=ref, to=to, force=force, link=link)
    with working(app, "written"):
        found = app.client.checkout_data(asked)
    app.answer(found, _show_checkouts)


def _version_for(paths: tuple[str, ...], at: str) -> str:
    """The version that ``--to`` gives a place: ``pets@v3``, of a dataset alone what ``main`` has."""
    if len(paths) != 1:
        raise click.UsageError("--to needs one dataset: treadle data checkout DATASET@VERSION --to PATH")
    dataset, _, version = paths[0].partition("@")
    return f"{dataset}@{version or at or 'main'}"


def _meant(app: App, text: str) -> tuple[tuple[str, ...], str]:
    """Path and version of ``pets@v3``, which is the path where a pointer names that dataset."""
    if (app.start / text).exists() or (app.start / f"{text}.treadle").exists():
        return (text,), ""
    dataset, _, version = text.partition("@")
    found = [one.path for one in app.client.data_status() if one.ref.partition("@")[0] == dataset]
    if len(found) != 1:
        lies = f"lies in {len(found)} places: {', '.join(found)}" if found else "has no place in this project"
        fix = f"name one: treadle data checkout PATH --at {version}"
        if not found:
            fix = f"say where it shall lie: treadle data checkout {text} --to PATH"
        raise InvalidInput(f"dataset {dataset!r} {lies}", where=text, fix=fix)
    return (str(app.root / found[0]),), version


def _show_checkouts(found: list[CheckedOut]) -> None:
    if not found:
        show.say("no data has a version yet", "dim")
    for one in found:
        what = [f"{one.written:,} written ({format_bytes(one.bytes)})"] if one.written else []
        what += [f"{one.removed:,} removed"] if one.removed else []
        what += [f"{one.kept:,} {'was' if one.kept == 1 else 'were'} right"] if one.kept else []
        show.say(f"{one.path}: {one.ref}: {', '.join(what) or 'nothing lies in it'}")
