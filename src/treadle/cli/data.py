"""``treadle data``: versions of the project's datasets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.data_branches import COMMANDS, named, only, show_versions
from treadle.cli.data_bucket import import_bucket
from treadle.cli.data_deleting import DELETING_COMMANDS
from treadle.cli.data_dvc import export_data, import_data
from treadle.cli.data_hooks import install_hooks
from treadle.cli.data_lakefs import import_lakefs
from treadle.cli.data_paths import list_paths, local_path
from treadle.cli.data_remotes import REMOTE_COMMANDS
from treadle.cli.data_reviews import review
from treadle.cli.data_tables import table
from treadle.cli.data_work import checkout, inside, status, working
from treadle.cli.deleting import gc
from treadle.cli.lineage import data_lineage as lineage
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data.types import DatasetVersion, Source


_TOPICS = {
    "Versions": ("add", "status", "checkout", "ls", "path", "log", "show", "diff", "lineage", "revert"),
    "Sharing": ("push", "pull", "fetch", "verify"),
    "Deleting": ("delete", "prune", "restore", "gc"),
    "Branches": ("branch", "branches", "tag", "tags", "merge", "protect", "review"),
}


@click.group(
    cls=Group,
    default="ls",
    topics=_TOPICS,
    short_help="Versions of the data: add, status, push, pull, ls, log",
)
def data() -> None:
    """Versions of the project's datasets. `treadle data` alone lists."""


data.add_command(status)
data.add_command(checkout)
for _command in (*COMMANDS, *REMOTE_COMMANDS, *DELETING_COMMANDS):
    data.add_command(_command)
data.add_command(gc)
data.add_command(table)
data.add_command(local_path)
data.add_command(lineage)
data.add_command(install_hooks)
import_data.add_command(import_bucket)
data.add_command(review)
import_data.add_command(import_lakefs)
data.add_command(import_data)
data.add_command(export_data)


@data.command("add", short_help="Make a version of a path, or of a dataset")
@click.argument("target", metavar="PATH|NAME")
@click.option("--name", metavar="NAME", default="", help="Call the dataset so; else as the path's last part.")
@click.option("--branch", metavar="BRANCH", default="", help="Make the version on this branch.")
@click.option("-m", "--message", metavar="TEXT", default="", help="Why the version is made.")
@click.option("--link", is_flag=True, help="Link large files instead of copying; they become read-only.")
@click.option(
    "--chunking",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Cut large files into chunks that versions share.",
)
@click.option("--from", "made_of", metavar="REF", multiple=True, help="A version that it was made of.")
@click.option("--step", metavar="TEXT", default="", help="How it was made, such as the command.")
@json_option
@pass_app
def add(
    app: App,
    target: str,
    name: str,
    branch: str,
    message: str,
    link: bool,
    chunking: Literal["auto", "on", "off"],
    made_of: tuple[str, ...],
    step: str,
) -> None:
    """Make a version of a file or folder, or of a dataset of treadle.toml.

    A path gets a small pointer beside it, PATH.treadle, for Git to keep instead of the data.
    """
    from treadle.data import AddPath

    if not _is_path(app, target):
        _check_declared(app, target)
        if made_of or step or branch:
            raise InvalidInput(
                f"{target!r} is a dataset of treadle.toml: it takes no --branch, --from or --step",
                fix="name its path instead, such as data/train",
            )
        before = {version.dataset: version.number for version in app.client.datasets()}
        app.answer(app.client.add_data(target), lambda version: show_version(version, before.get(target)))
        return
    path = inside(app, target)
    asked = AddPath(
        path=path,
        name=name,
        branch=branch,
        message=message,
        link=link,
        chunking=chunking,
        origin=_origin(app, made_of, step),
    )
    with working(app, "read"):
        version = app.client.add_path(asked)
    app.answer(version, lambda found: _show_added(app, found, path))


def _origin(app: App, made_of: tuple[str, ...], step: str) -> tuple[Source, ...]:
    """What was said of where data comes from; a run that has started this command is a part of that."""
    from treadle.data import Source

    found = [app.client.data_version(*named(app, one)).ref for one in made_of]
    sources = [Source("version", ref, step) for ref in found]
    if run := os.environ.get("TREADLE_RUN"):
        sources.append(Source("run", run, step))
    return tuple(sources) or ((Source("step", step),) if step else ())


def _is_path(app: App, target: str) -> bool:
    """Whether a path is meant, and not a dataset of ``treadle.toml``, which may be called like its folder."""
    from treadle.kernel.config import load_config

    return "/" in target or ((app.start / target).exists() and target not in load_config(app.root).data)


def _check_declared(app: App, target: str) -> None:
    """Refuses what is neither a path nor a dataset of ``treadle.toml``; without that file the server does.

    Raises:
        NotFound: If it isn't one.
    """
    from treadle.kernel.config import load_config
    from treadle.kernel.names import did_you_mean

    try:
        known = load_config(app.root).data
    except NotFound:
        return
    if target.partition("@")[0] not in known:
        here = {one.name for one in app.start.iterdir() if not one.name.startswith(".")}
        raise NotFound(
            f"there is no file, folder or declared dataset {target!r}",
            where=str(app.start),
            fix=did_you_mean(target, {*known, *here}) or "name what lies in the project",
        )


def _show_added(app: App, version: DatasetVersion, path: str) -> None:
    from treadle.kernel.config import load_config

    branch = "" if version.branch == "main" else f" on {version.branch}"
    files = show.counted(version.count, "file")
    show.say(f"{version.ref}{branch}: {files}, {format_bytes(version.bytes)}")
    push = ["treadle data push"] if load_config(app.root).remotes else []
    show.following(f"git add {path}.treadle", *push)


def show_version(version: DatasetVersion, before: int | None) -> None:
    """Prints what was versioned."""
    what = f"{show.counted(version.rows, 'row')} in {show.counted(len(version.files), 'file')}"
    same = " (nothing has changed)" if before == version.number else ""
    show.say(f"{version.ref}: {what}, {format_bytes(version.bytes)}{same}")
    show.following("treadle run --plan")


@data.command("ls", short_help="List datasets, or what lies in a version")
@click.argument("place", metavar="[DATASET@VERSION[/PATH]]", default="")
@click.option("-r", "--recursive", is_flag=True, help="All that is below.")
@json_option
@pass_app
def ls(app: App, place: str, recursive: bool) -> None:
    """List the latest version of each dataset, or what lies in a version or a folder of it."""
    if place:
        list_paths(app, place, recursive)
        return
    app.answer(app.client.datasets(), lambda found: show_versions(found, "treadle data add NAME"))


@data.command("log", short_help="List a dataset's versions, or a branch's")
@click.argument("ref", metavar="[DATASET[@VERSION]]", default="")
@click.option("-n", "limit", type=click.IntRange(1, 10_000), default=100, help="At most so many.")
@json_option
@pass_app
def log(app: App, ref: str, limit: int) -> None:
    """List a dataset's versions, or those that a version, a branch or a tag follows; newest first."""
    name, at, version = (ref or only(app)).partition("@")
    if at:
        found = app.client.data_history(name, version, limit)
        oldest = next((one.ref for one in reversed(found) if one.deleted_at is None), f"{name}@v1")
        app.answer(found, lambda told: show_versions(told, f"treadle data diff {oldest} {version}"))
        return
    found = app.client.data_log(name)[:limit]
    there = [one.ref for one in found if one.deleted_at is None]
    following = f"treadle data {'diff' if there[1:] else 'ls'} {' '.join(there[1::-1])}"
    app.answer(found, lambda told: show_versions(told, following))
