"""``treadle data delete``, ``prune`` and ``restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.cli.data_branches import named
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data import DatasetVersion, Deletion, VersionFate

_SHOWN = 20


@click.command("delete", short_help="Delete versions, or a whole dataset")
@click.argument("refs", metavar="DATASET[@VERSION[..VERSION]]...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", default="", help="Why; kept with the versions.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done, and what is in use.")
@json_option
@pass_app
def delete(app: App, refs: tuple[str, ...], reason: str, dry_run: bool) -> None:
    """Delete versions (pets@v3, pets@v3..v9), or a whole dataset (pets) with its branches and tags.

    All that are named or none: what a branch, a tag, a run, a model, an open review or a pointer
    needs is refused. Deleted versions stay listed, and can be restored until `treadle gc` frees them.
    """
    from treadle.data import DeleteVersions

    dataset, versions = _one_dataset([named(app, ref) for ref in refs])
    said = f" --reason {reason!r}" if reason else ""
    again = f"treadle data delete {' '.join(refs)}{said}"
    asked = DeleteVersions(versions=versions, reason=reason, dry_run=dry_run)
    found = app.client.delete_data(dataset, asked)
    # What is in use would be refused: then that comes first.
    app.answer(found, lambda told: _show(told, told.kept[0].uses[0].fix if told.kept else again))


@click.command("prune", short_help="Keep the newest versions, delete others")
@click.argument("dataset")
@click.option("--keep-last", metavar="N", type=click.IntRange(1), help="The newest N of each branch.")
@click.option("--keep-for", metavar="TIME", default="", help="Those made in the last while, such as 90d.")
@click.option("--reason", metavar="TEXT", default="", help="Why; else what was kept.")
@click.option("--yes", is_flag=True, help="Do it; it is only told otherwise.")
@json_option
@pass_app
def prune(app: App, dataset: str, keep_last: int | None, keep_for: str, reason: str, yes: bool) -> None:
    """Delete versions that are neither among the newest of a branch, nor young, nor in use.

    Without --yes it only says which. Deleted versions can be restored until `treadle gc` frees them.
    """
    from treadle.data import PruneVersions

    asked = PruneVersions(keep_last=keep_last or 0, keep_for=keep_for, reason=reason, apply=yes)
    last = f" --keep-last {keep_last}" if keep_last else ""
    young = f" --keep-for {keep_for}" if keep_for else ""
    again = f"treadle data prune {dataset}{last}{young} --yes"
    app.answer(app.client.prune_data(dataset, asked), lambda found: _show(found, again))


@click.command("restore", short_help="Bring deleted versions back")
@click.argument("refs", metavar="DATASET[@VERSION[..VERSION]]...", nargs=-1, required=True)
@json_option
@pass_app
def restore(app: App, refs: tuple[str, ...]) -> None:
    """Bring deleted versions back that `treadle gc` hasn't freed yet; a dataset alone is all of them."""
    from treadle.data import RestoreVersions

    dataset, versions = _one_dataset([(ref.partition("@")[0], ref.partition("@")[2]) for ref in refs])
    restored = app.client.restore_data(dataset, RestoreVersions(versions=versions))
    app.answer(restored, lambda found: _show_restored(dataset, found))


def _show_restored(dataset: str, found: list[DatasetVersion]) -> None:
    if not found:
        show.say(f"nothing to restore: none of what was named of {dataset} is deleted")
    for version in found[:_SHOWN]:
        show.say(f"{version.ref} is there again")
    if len(found) > _SHOWN:
        show.say(f"and {len(found) - _SHOWN:,} more (--json tells all)", "dim")
    show.following(f"treadle data log {dataset}")


def _one_dataset(refs: list[tuple[str, str]]) -> tuple[str, tuple[str, ...]]:
    """The dataset that references name, and which versions of it; none for the whole."""
    datasets = sorted({dataset for dataset, _ in refs})
    if len(datasets) > 1:
        raise InvalidInput(
            f"versions of several datasets are named: {', '.join(datasets[:5])}",
            fix="name one dataset at a time",
        )
    versions = tuple(version.removeprefix(f"{datasets[0]}@") for _, version in refs)
    if "" in versions and len(versions) > 1:
        raise InvalidInput(
            f"{datasets[0]!r} alone is the whole dataset", fix="name it alone, or versions of it"
        )
    return datasets[0], tuple(filter(None, versions))


def _show(found: Deletion, again: str) -> None:
    rows = [(*_row(one), None) for one in found.versions] + [(*_row(one), _why(one)) for one in found.kept]
    show.table(
        ["!version", "branch", ">files", ">size", "!made", "in use"], rows[:_SHOWN], empty="no versions"
    )
    if len(rows) > _SHOWN:
        show.say(f"and {len(rows) - _SHOWN:,} more (--json tells all)", "dim")
    count = show.counted(len(found.versions), "version")
    kept = f", {len(found.kept):,} in use" if found.kept else ""
    verb = "deleted" if found.applied else "would be deleted"
    others = show.counted(found.others, "other stays", "others stay")
    show.say(f"{count} of {found.dataset} {verb}{kept}, {others}")
    if found.applied and found.versions:
        show.say(
            "They can be restored until `treadle gc` frees what they had, 30 days from now at the earliest."
        )
        show.following(
            f"treadle data restore {found.versions[0].ref}",
            f"treadle gc --data {found.dataset} --older-than 0",
        )
    elif not found.applied and found.versions:
        show.following(again)
    elif found.kept:
        show.following(found.kept[0].uses[0].fix)


def _row(one: VersionFate) -> tuple[object, ...]:
    return one.ref, one.branch, f"{one.count:,}", format_bytes(one.bytes), one.created_at


def _why(one: VersionFate) -> str:
    more = f" and {len(one.uses) - 1} more" if len(one.uses) > 1 else ""
    return one.uses[0].by + more


DELETING_COMMANDS = (delete, prune, restore)
