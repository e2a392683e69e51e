"""``treadle data push``, ``fetch``, ``pull`` and ``verify``: versions at remotes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.cli.data_work import inside, working
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data import FetchedVersion, Pulled, PushedVersions, Verified

_SHOWN = 20

_remote = click.option("--remote", metavar="NAME", default="", help="The remote; `origin` when left out.")
_limit = click.option("--limit", metavar="RATE", default="", help="Bytes a second at most, such as 50MB/s.")
_depth = click.option(
    "--depth", type=click.IntRange(min=0), default=0, help="So many versions of each line; all when left out."
)


@contextlib.contextmanager
def moving(app: App, doing: str) -> Iterator[None]:
    """Shows bytes, rate and time left of a transfer, on a terminal."""
    where = show.console(stderr=True)
    if app.json or not where.is_terminal:
        yield
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from treadle.kernel import progress

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
        TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=where, transient=True) as bar:
        task = bar.add_task(doing, total=0)
        total = 0

        def expect(_: int, size: int) -> None:
            nonlocal total
            total += size
            bar.update(task, total=total)

        with progress.listening(lambda _, size: bar.advance(task, size), expect):
            yield


def named(app: App, refs: Sequence[str]) -> tuple[str, ...]:
    """References as they are, and paths as they are called within the project."""
    return tuple(_named(app, ref) for ref in refs)


def _named(app: App, ref: str) -> str:
    path = app.start / ref
    pointed = any(
        part.with_name(part.name + ".treadle").is_file() for part in (path, *path.parents) if part.name
    )
    if "@" not in ref and (pointed or ref in (".", "..") or ref.endswith(".treadle")):
        return inside(app, ref)
    return ref


@click.command("push", short_help="Send versions to the remote")
@click.argument("refs", nargs=-1, metavar="[PATH|VERSION...]")
@_remote
@_depth
@_limit
@json_option
@pass_app
def push(app: App, refs: tuple[str, ...], remote: str, depth: int, limit: str) -> None:
    """Send versions to the remote: what the pointers name, or what is named."""
    from treadle.data import Push

    with moving(app, "sent"):
        done = app.client.push_data(Push(refs=named(app, refs), remote=remote, depth=depth, limit=limit))
    app.answer(done, _show_pushed)


def _show_pushed(done: PushedVersions) -> None:
    branches = ", ".join(done.branches)
    if not done.versions:
        show.say(f"{done.remote} has everything of {branches} already")
        return
    what = f"{show.counted(done.blobs, 'blob')}, {format_bytes(done.bytes)}"
    first = ", ".join(done.versions[-3:])
    more = f" and {len(done.versions) - 3:,} before them" if len(done.versions) > 3 else ""
    are = "are" if len(done.versions) > 1 else "is"
    show.say(f"{first}{more} {are} at {done.remote} now ({what}); {branches} told")
    show.following("git push", "treadle data pull")


@click.command("fetch", short_help="Bring versions from the remote, not into the folder")
@click.argument("refs", nargs=-1, metavar="[PATH|VERSION...]")
@_remote
@_depth
@click.option("--no-contents", is_flag=True, help="Only the lists of files; contents are read when needed.")
@_limit
@json_option
@pass_app
def fetch(app: App, refs: tuple[str, ...], remote: str, depth: int, no_contents: bool, limit: str) -> None:
    """Bring versions from the remote: what the pointers name, what is named, or only some paths."""
    app.answer(_fetch(app, refs, remote, depth, limit, contents=not no_contents), _show_fetched)


def _fetch(
    app: App, refs: tuple[str, ...], remote: str, depth: int, limit: str, *, contents: bool = True
) -> list[FetchedVersion]:
    from treadle.data import Fetch

    asked = Fetch(refs=named(app, refs), remote=remote, depth=depth, contents=contents, limit=limit)
    with moving(app, "fetched"):
        return app.client.fetch_data(asked)


def _show_fetched(found: list[FetchedVersion]) -> None:
    for one in found:
        called = f", {one.called} at the remote" if one.called else ""
        moved = f"; {one.branch} stands there now" if one.moved and one.branch else ""
        size = f", {format_bytes(one.bytes)}" if one.bytes else ""
        new = f"{show.counted(one.known, 'version')} new{size}" if one.known else f"known already{size}"
        show.say(f"{one.ref}{called}: {new}{moved}")
        if one.note:
            show.say(f"  {one.note}", "yellow")
    show.following("treadle data checkout")


@click.command("pull", short_help="Bring versions from the remote into the folder")
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@_remote
@_limit
@click.option("--force", is_flag=True, help="Drop changes that are in no version.")
@json_option
@pass_app
def pull(app: App, paths: tuple[str, ...], remote: str, limit: str, force: bool) -> None:
    """Bring what the pointers name from the remote, and into the project's folder."""
    from treadle.data import Pull

    asked = Pull(paths=tuple(inside(app, path) for path in paths), remote=remote, limit=limit, force=force)
    with moving(app, "fetched and written"):
        pulled = app.client.pull_data(asked)
    app.answer(list(pulled.written), lambda _: _show_pulled(pulled))


def _show_pulled(pulled: Pulled) -> None:
    brought = sum(one.bytes for one in pulled.fetched)
    for each in pulled.fetched:
        if each.note:
            show.say(each.note, "yellow")
    for one in pulled.written:
        size = f"{one.written:,} written ({format_bytes(one.bytes)})" if one.written else "nothing to write"
        show.say(f"{one.path}: {one.ref}: {size}")
    show.say(f"{format_bytes(brought)} came from the remote", "dim")


@click.command("verify", short_help="Read versions bit for bit, and mend them")
@click.argument("refs", nargs=-1, metavar="[PATH|VERSION...]")
@click.option("--remote", "at_remote", is_flag=True, help="Read the copies at the remote [NAME].")
@click.option("--at", "remote", metavar="NAME", default="", help="Which remote; `origin` when left out.")
@click.option("--repair", is_flag=True, help="Replace what is damaged from the other side.")
@json_option
@pass_app
def verify(app: App, refs: Sequence[str], at_remote: bool, remote: str, repair: bool) -> None:
    """Read versions bit for bit, here or at the remote: all of them, or those that are named."""
    from treadle.data import Verify
    from treadle.kernel.config import load_config

    if at_remote and not remote and refs and refs[0] in load_config(app.root).remotes:
        remote, *refs = refs  # `--remote NAME`, as push and pull have it
    asked = Verify(refs=named(app, refs), at_remote=at_remote, remote=remote, repair=repair)
    with working(app, "read"):
        found = app.client.verify_data(asked)
    app.answer(found, lambda found: _show_verified(found, repaired=repair))
    if found.damaged > found.repaired:
        raise click.exceptions.Exit(1)


def _show_verified(found: Verified, *, repaired: bool) -> None:
    what = f"{show.counted(found.versions, 'version')}, {show.counted(found.files, 'file')}"
    read = f"{format_bytes(found.bytes)} read"
    away = f"; {found.elsewhere:,} are at the remote only" if found.elsewhere else ""
    away += f"; of {found.external:,} in buckets only the ETag" if found.external else ""
    state = f"{found.damaged:,} damaged" if found.damaged else "all whole"
    show.say(f"{found.where}: {what}, {read}: {state}{away}")
    for one in found.damages[:_SHOWN]:
        mark = "mended" if one.repaired else one.problem
        show.say(f"  {one.version} {one.path or '(the version itself)'}: {mark}")
    if found.damaged > _SHOWN:
        show.say(f"  and {found.damaged - _SHOWN:,} more (--json tells the first 1,000)", "dim")
    if found.damaged > found.repaired:
        if repaired:
            show.say("no whole copy of the rest was found: add it again, or push it from another clone")
        else:
            side = " --remote" if found.where != "here" else ""
            show.following(f"treadle data verify{side} --repair")


REMOTE_COMMANDS = (push, fetch, pull, verify)
