"""``treadle data branch``, ``tag``, ``diff``, ``merge``, ``revert``, ``protect``, ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data import (
        ColumnDiff,
        ColumnStats,
        DataDiff,
        DatasetVersion,
        Merged,
        MergePlan,
        Ref,
        RowConflict,
    )

_SHOWN = 20
_MARKS = {"added": "+", "modified": "~", "deleted": "-"}


def named(app: App, text: str) -> tuple[str, str]:
    """Dataset and version, branch or tag that are meant: ``flights@exp``, or ``exp`` if there is one dataset.

    Raises:
        InvalidInput: If a dataset has to be named.
    """
    dataset, at, name = text.partition("@")
    if at:
        return dataset, name
    known = sorted({version.dataset for version in app.client.datasets()})
    if text in known:
        return text, ""
    if len(known) == 1:
        return known[0], text
    raise InvalidInput(
        f"{text!r} doesn't say of which dataset",
        fix=f"write it with its dataset: {known[0] if known else 'NAME'}@{text}",
    )


def only(app: App) -> str:
    """The project's one dataset, where a command may leave it out.

    Raises:
        InvalidInput: If it has none, or several.
    """
    known = sorted({version.dataset for version in app.client.datasets()})
    if len(known) == 1:
        return known[0]
    raise InvalidInput(
        f"there are {len(known)} datasets: which one?" if known else "no dataset has a version yet",
        fix=f"name one: {', '.join(known[:12])}" if known else "make one: treadle data add PATH",
    )


def whole(app: App, text: str, what: str) -> tuple[str, str]:
    """The same where more than a dataset is needed.

    Raises:
        InvalidInput: If only a dataset is named.
    """
    dataset, name = named(app, text)
    if not name:
        raise InvalidInput(f"{text!r} is a dataset, not a {what}", fix=f"write {dataset}@NAME")
    return dataset, name


# ── branches and tags ────────────────────────────────────────────────────


@click.command("branch", short_help="Make or remove a branch")
@click.argument("name", metavar="[DATASET@]NAME")
@click.option("--at", metavar="VERSION", default="", help="Begin there: v3, a branch, a tag; else main.")
@click.option("-d", "--delete", is_flag=True, help="Remove it; its versions stay.")
@json_option
@pass_app
def branch(app: App, name: str, at: str, delete: bool) -> None:
    """Make a branch: a line of versions that moves by itself. No bytes are copied."""
    _ref(app, "branch", name, at, delete)


@click.command("tag", short_help="Give a version a name that stays")
@click.argument("name", metavar="[DATASET@]NAME")
@click.option("--at", metavar="VERSION", default="", help="The version: v3, a branch, a commit; else main.")
@click.option("-d", "--delete", is_flag=True, help="Remove it; its version stays.")
@json_option
@pass_app
def tag(app: App, name: str, at: str, delete: bool) -> None:
    """Give a version a name that stays."""
    _ref(app, "tag", name, at, delete)


def _ref(app: App, kind: Literal["branch", "tag"], text: str, at: str, delete: bool) -> None:
    dataset, name = whole(app, text, kind)
    if delete:
        app.client.delete_data_ref(dataset, kind, name)
        app.answer(None, lambda _: show.say(f"{kind} {name} of {dataset} is removed"))
        return
    made = app.client.create_data_ref(dataset, kind, name, at)
    app.answer(made, _show_ref)


def _show_ref(made: Ref) -> None:
    show.say(f"{made.dataset}@{made.name}: a {made.kind} at v{made.number}")
    if made.kind == "branch":
        show.following(
            f"treadle data add PATH --name {made.dataset} --branch {made.name}",
            f"treadle data merge {made.dataset}@{made.name}",
        )
    else:
        show.following(f"treadle data show {made.dataset}@{made.name}")


@click.command("branches", short_help="List a dataset's branches")
@click.argument("dataset", default="")
@json_option
@pass_app
def branches(app: App, dataset: str) -> None:
    """List a dataset's branches."""
    dataset = dataset or only(app)
    app.answer(app.client.data_refs(dataset, "branch"), lambda found: _show_refs(found, dataset, "branch"))


@click.command("tags", short_help="List a dataset's tags")
@click.argument("dataset", default="")
@json_option
@pass_app
def tags(app: App, dataset: str) -> None:
    """List a dataset's tags."""
    dataset = dataset or only(app)
    app.answer(app.client.data_refs(dataset, "tag"), lambda found: _show_refs(found, dataset, "tag"))


def _show_refs(found: list[Ref], dataset: str, kind: str) -> None:
    rows = [
        (
            one.name,
            f"v{one.number}" if one.number else None,
            one.changed_at,
            one.actor,
            "protected" if one.settings.protected else "",
        )
        for one in found
    ]
    show.table([f"!{kind}", "version", "!moved", "by", ""], rows, empty=f"no {kind} yet")
    show.following(f"treadle data {kind} {dataset}@NAME")


@click.command("protect", short_help="Let a branch move by reviews only")
@click.argument("branch", metavar="[DATASET@]BRANCH")
@click.option("--approvals", type=click.IntRange(0, 20), default=1, show_default=True, help="How many.")
@click.option("--check", "checks", metavar="NAME", multiple=True, help="A check that must pass.")
@click.option("--off", is_flag=True, help="Open the branch again.")
@json_option
@pass_app
def protect(app: App, branch: str, approvals: int, checks: tuple[str, ...], off: bool) -> None:
    """Let a branch move by merges of approved reviews only.

    Checks: schema, volume, values, drift, balance; see `treadle data review check`.
    """
    from treadle.data import RefSettings

    dataset, name = whole(app, branch, "branch")
    settings = RefSettings() if off else RefSettings(protected=True, approvals=approvals, checks=checks)
    changed = app.client.protect_data(dataset, name, settings)
    app.answer(changed, lambda _: _show_protected(changed))


def _show_protected(changed: Ref) -> None:
    needed = [show.counted(changed.settings.approvals, "approval"), *changed.settings.checks]
    how = f"protected: {', '.join(needed)} needed" if changed.settings.protected else "open"
    show.say(f"{changed.dataset}@{changed.name} is {how}")
    if changed.settings.protected:
        following = f"open {changed.dataset}@BRANCH --into {changed.name} --title TEXT"
        show.following(f"treadle data review {following}")


# ── versions ─────────────────────────────────────────────────────────────


@click.command("show", short_help="Show a version")
@click.argument("ref", metavar="[DATASET@]VERSION")
@json_option
@pass_app
def show_one(app: App, ref: str) -> None:
    """Show a version: what it holds, what it follows, who made it."""
    dataset, at = named(app, ref)
    app.answer(app.client.data_version(dataset, at), _show_version)


def _show_version(version: DatasetVersion) -> None:
    show.facts(
        [
            ("version", version.ref),
            ("commit", version.commit_id),
            ("branch", version.branch),
            ("follows", ", ".join(one[:12] for one in version.parents) or None),
            ("message", version.message or None),
            ("made", version.created_at),
            ("by", version.actor),
            ("files", f"{version.file_count:,}"),
            ("size", format_bytes(version.bytes)),
            ("rows", f"{version.rows:,}" if version.rows else None),
            ("digest", version.digest),
            ("made of", ", ".join(f"{one.kind} {one.id}" for one in version.origin) or None),
            ("deleted", _deleted(version) or None),
        ]
    )
    show.following(f"treadle data log {version.ref}")


def _deleted(version: DatasetVersion) -> str:
    if version.deleted_at is None:
        return ""
    why = f": {version.deleted_reason}" if version.deleted_reason else ""
    freed = "; freed" if version.freed_at else ""
    return f"{show.when(version.deleted_at)} by {version.deleted_by}{why}{freed}"


def show_versions(found: list[DatasetVersion], following: str) -> None:
    """Prints versions; how many rows they have only where one is a table."""
    tables = any(one.columns for one in found)
    gone = any(one.deleted_at for one in found)
    rows = [
        (
            one.ref,
            one.branch,
            f"{one.file_count:,}",
            *([f"{one.rows:,}" if one.columns else "-"] if tables else ()),
            format_bytes(one.bytes),
            one.created_at,
            one.actor.partition(" <")[0],
            one.message,
            *([_deleted(one)] if gone else ()),
        )
        for one in found
    ]
    headings = ["!version", "branch", ">files", *[">rows"] * tables, ">size", "!made", "by", "message"]
    headings += ["deleted"] * gone
    show.table(headings, rows, empty="no versions yet")
    show.following(following)


@click.command("diff", short_help="How two versions differ")
@click.argument("before", metavar="[DATASET@]VERSION")
@click.argument("after", metavar="[VERSION]", default="")
@click.option("--rows", is_flag=True, help="Of tables: rows, columns, and statistics of both.")
@json_option
@pass_app
def diff(app: App, before: str, after: str, rows: bool) -> None:
    """Tell how two versions differ; how a version differs from main where only one is named."""
    dataset, first = named(app, before)
    second = after.removeprefix(f"{dataset}@")
    if not after:
        first, second = "", first
    app.answer(app.client.data_diff(dataset, first, second, rows=rows), show_diff)


def show_diff(found: DataDiff) -> None:
    """Prints how two versions differ."""
    counts = [(found.added, "added"), (found.modified, "modified"), (found.deleted, "deleted")]
    told = ", ".join(f"{count:,} {word}" for count, word in counts if count) or "the same files"
    show.say(f"{found.before or 'nothing'} → {found.after}: {told}")
    for one in found.paths[:_SHOWN]:
        show.say(f"  {_MARKS[one.kind]} {one.path}")
    if (left := found.added + found.modified + found.deleted - _SHOWN) > 0:
        show.say(f"  and {left:,} more (--json tells the first 1,000)", "dim")
    if found.table is None:
        return
    table = found.table
    by = f", by {table.key}" if table.key else ""
    where = " in the files that differ" if table.partial else ""
    show.say(f"rows{where}{by}: {table.added:,} added, {table.removed:,} removed, {table.changed:,} changed")
    show.table(["column", "type", ">nulls", ">mean", "least", "greatest"], map(_column, table.columns))


def _column(one: ColumnDiff) -> tuple[object, ...]:
    kind = one.after if one.before == one.after else f"{one.before or '(new)'} → {one.after or '(gone)'}"
    old, new = one.stats_before, one.stats_after

    def both(name: str) -> str:
        values = [_value(side, name) for side in (old, new) if side is not None]
        return " → ".join(dict.fromkeys(values))

    return one.name, kind, both("nulls"), both("mean"), both("min"), both("max")


def _value(stats: ColumnStats, name: str) -> str:
    value = getattr(stats, name)
    if value is None:
        return "-"
    return show.number(value) if isinstance(value, float) else str(value)


# ── merges ───────────────────────────────────────────────────────────────


@click.command("merge", short_help="Merge a branch into another")
@click.argument("source", metavar="[DATASET@]SOURCE")
@click.option("--into", "target", metavar="BRANCH", default="main", show_default=True, help="What moves.")
@click.option("-m", "--message", metavar="TEXT", default="", help="Why.")
@click.option("--strategy", type=click.Choice(["ours", "theirs"]), help="Whose side wins every conflict.")
@click.option(
    "--ours", metavar="PATH", multiple=True, help="Keep the target's side there; FOLDER/ for all below."
)
@click.option("--theirs", metavar="PATH", multiple=True, help="Take the source's side there.")
@click.option(
    "--key", metavar="COLUMN", default="", help="What names a row of a table; else as in treadle.toml."
)
@click.option("--fast-forward", is_flag=True, help="Just move on to the source where that follows.")
@click.option("--plan", is_flag=True, help="Only tell what would be done.")
@json_option
@pass_app
def merge(
    app: App,
    source: str,
    target: str,
    message: str,
    strategy: Literal["ours", "theirs"] | None,
    ours: tuple[str, ...],
    theirs: tuple[str, ...],
    key: str,
    fast_forward: bool,
    plan: bool,
) -> None:
    """Merge a branch, a tag or a version into a branch: all of it or nothing."""
    from treadle.data import Merge

    dataset, name = whole(app, source, "branch")
    asked = Merge(
        source=name,
        target=target,
        message=message,
        strategy=strategy or "",
        resolve={**dict.fromkeys(ours, "ours"), **dict.fromkeys(theirs, "theirs")},
        key=key,
        fast_forward=fast_forward,
    )
    if plan:
        app.answer(app.client.plan_data_merge(dataset, asked), lambda found: _show_plan(found, target))
    else:
        app.answer(app.client.merge_data(dataset, asked), lambda done: _show_merged(app, done, target))


def merge_counts(plan: MergePlan) -> str:
    """What a merge does, counted."""
    return f"{plan.added:,} added, {plan.modified:,} modified, {plan.deleted:,} deleted"


def _show_plan(plan: MergePlan, target: str) -> None:
    show.say(f"{plan.source} into {target} ({plan.target or 'no version yet'}): {merge_counts(plan)}")
    rows = [(one.path, one.ours, one.theirs, one.why or _first(one.rows)) for one in plan.conflicts]
    if rows:
        show.say(f"{show.counted(len(rows), 'conflict')}:")
        show.table(["path", target, "source", ""], rows)
        show.following("treadle data merge SOURCE --ours PATH --theirs PATH")


def _first(rows: tuple[RowConflict, ...]) -> str:
    told = [
        f"row {one.key}{f', {one.column}' if one.column else ''}: {one.ours} / {one.theirs}"
        for one in rows[:3]
    ]
    return "; ".join([*told, *(["…"] if len(rows) > len(told) else [])])


def _show_merged(app: App, done: Merged, target: str) -> None:
    if not done.changed:
        show.say(f"nothing to merge: {done.version.ref} has all of {done.plan.source}")
        return
    show.say(f"{done.version.ref} on {target}: {done.plan.source} merged, {merge_counts(done.plan)}")
    from treadle.kernel.config import load_config

    version = done.version
    push = [f"treadle data push {version.dataset}@{target}"] if load_config(app.root).remotes else []
    show.following(
        f"treadle data diff {done.plan.target or version.ref} {version.ref}",
        f"treadle data checkout --at {target} {version.dataset}",
        *push,
    )


@click.command("revert", short_help="Take a version's changes back, or restore one")
@click.argument("version", metavar="[DATASET@]VERSION")
@click.option("--on", "branch", metavar="BRANCH", default="main", show_default=True, help="What moves.")
@click.option("--restore", is_flag=True, help="Have what that version had, and nothing else.")
@click.option("-m", "--message", metavar="TEXT", default="", help="Why.")
@click.option("--strategy", type=click.Choice(["ours", "theirs"]), help="Whose side wins every conflict.")
@json_option
@pass_app
def revert(
    app: App,
    version: str,
    branch: str,
    restore: bool,
    message: str,
    strategy: Literal["ours", "theirs"] | None,
) -> None:
    """Take a version's changes back by a new version; or bring back what a version had."""
    from treadle.data import Revert

    dataset, name = whole(app, version, "version")
    asked = Revert(version=name, branch=branch, restore=restore, message=message, strategy=strategy or "")
    app.answer(app.client.revert_data(dataset, asked), _show_reverted)


def _show_reverted(made: DatasetVersion) -> None:
    show.say(f"{made.ref} on {made.branch}: {made.message}")
    show.following(f"treadle data log {made.dataset}@{made.branch}")


COMMANDS = (branch, branches, tag, tags, protect, show_one, diff, merge, revert)
