"""``treadle data table``: tables with a history."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.data_work import inside
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data import Rows, TableDiff, TableEvent, TableState, Vacuumed, Who, Wrote

_SHOWN = 20
_NAMED_ALL = 3
# As delta-rs and Spark call them.
_COUNTED = {
    "num_added_rows": "added",
    "numOutputRows": "written",
    "num_target_rows_inserted": "added",
    "num_target_rows_updated": "updated",
    "num_target_rows_deleted": "deleted",
    "num_updated_rows": "updated",
    "num_deleted_rows": "deleted",
}


@click.group("table", cls=Group, short_help="Tables with a history: create, append, merge, history, diff")
def table() -> None:
    """Delta tables: datasets of treadle.toml with format = "delta"."""


def _rows(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which rows are written, and why."""
    for option in (
        click.option("-m", "--message", metavar="TEXT", default="", help="Why."),
        click.option(
            "--query",
            "sql",
            metavar="SQL",
            default="",
            help="Rows of a query over datasets and `file`.",
        ),
        click.option("--from", "path", metavar="PATH", default="", help="Rows of a file or folder."),
    ):
        command = option(command)
    return command


def _asked(app: App, path: str, sql: str) -> Rows:
    from treadle.data import Rows

    return Rows(path=inside(app, path) if path else "", sql=sql)


def _who(message: str) -> Who:
    from treadle.data import Who

    return Who(message=message)


@table.command("create")
@click.argument("name")
@_rows
@click.option("--partition-by", "partition_by", metavar="COLUMN", multiple=True, help="Partition by it.")
@json_option
@pass_app
def create(app: App, name: str, path: str, sql: str, message: str, partition_by: tuple[str, ...]) -> None:
    """Make a table of the rows of a file or a query."""
    from treadle.data import WriteRows

    asked = WriteRows(rows=_asked(app, path, sql), partition_by=partition_by, by=_who(message))
    app.answer(app.client.create_table(name, asked), _show_wrote)


@table.command("append")
@click.argument("name")
@_rows
@click.option("--batch", metavar="ID", default="", help="The rows' identity: they are appended once.")
@json_option
@pass_app
def append(app: App, name: str, path: str, sql: str, message: str, batch: str) -> None:
    """Append the rows of a file or a query: all or none."""
    from treadle.data import WriteRows

    asked = WriteRows(rows=_asked(app, path, sql), batch=batch, by=_who(message))
    app.answer(app.client.append_rows(name, asked), _show_wrote)


@table.command("merge", short_help="Replace rows by key, and add the others")
@click.argument("name")
@_rows
@click.option("--key", metavar="COLUMN", multiple=True, help="What names a row; else the dataset's key.")
@json_option
@pass_app
def merge(app: App, name: str, path: str, sql: str, message: str, key: tuple[str, ...]) -> None:
    """Replace the rows that have the same key as new ones, and add the others."""
    from treadle.data import MergeRows

    asked = MergeRows(rows=_asked(app, path, sql), key=key, by=_who(message))
    app.answer(app.client.merge_rows(name, asked), _show_wrote)


@table.command("delete")
@click.argument("name")
@click.option("--where", metavar="SQL", required=True, help="Which rows.")
@click.option("-m", "--message", metavar="TEXT", default="", help="Why.")
@json_option
@pass_app
def delete(app: App, name: str, where: str, message: str) -> None:
    """Delete the rows that fulfil a condition."""
    from treadle.data import ChangeRows

    app.answer(app.client.change_rows(name, ChangeRows(where=where, by=_who(message))), _show_wrote)


@table.command("update")
@click.argument("name")
@click.option("--set", "values", metavar="COLUMN=SQL", multiple=True, required=True, help="A new value.")
@click.option("--where", metavar="SQL", required=True, help="Which rows.")
@click.option("-m", "--message", metavar="TEXT", default="", help="Why.")
@json_option
@pass_app
def update(app: App, name: str, values: tuple[str, ...], where: str, message: str) -> None:
    """Give the rows that fulfil a condition new values."""
    from treadle.data import ChangeRows

    new: dict[str, str] = {}
    for value in values:
        column, equals, sql = value.partition("=")
        if not equals or not column or not sql:
            raise InvalidInput(f"{value!r} says no new value", fix="write --set COLUMN=SQL")
        new[column] = sql
    app.answer(app.client.change_rows(name, ChangeRows(where=where, set=new, by=_who(message))), _show_wrote)


def _show_wrote(done: Wrote) -> None:
    counts = [(done.added, "added"), (done.updated, "updated"), (done.deleted, "deleted")]
    told = ", ".join(f"{show.counted(count, 'row')} {word}" for count, word in counts if count)
    if done.again:
        told = "nothing was written: there was nothing to change"
    columns = f"; columns changed: {', '.join(done.columns)}" if done.columns else ""
    show.say(f"{done.name} is at version {done.version}{': ' if told else ''}{told}{columns}")
    show.following(f"treadle data table history {done.name}", f"treadle data add {done.name}")


@table.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@json_option
@pass_app
def history(app: App, name: str, limit: int) -> None:
    """List what made each version, newest first."""
    app.answer(app.client.table_history(name, limit), _show_history)


def _show_history(found: list[TableEvent]) -> None:
    rows = [
        (
            one.version,
            one.at,
            one.operation,
            one.actor,
            one.run,
            _counted(one.metrics),
            ", ".join(one.pinned),
            one.message,
        )
        for one in found
    ]
    headings = [">version", "!made", "!what", "by", "run", "rows", "is", "why"]
    show.table(headings, rows, empty="no version yet")


def _counted(metrics: dict[str, int]) -> str:
    return ", ".join(f"{metrics[key]:,} {word}" for key, word in _COUNTED.items() if metrics.get(key))


@table.command("schema")
@click.argument("name")
@click.option("--at", metavar="VERSION", default="", help="A Delta version or a moment.")
@json_option
@pass_app
def schema(app: App, name: str, at: str) -> None:
    """Show a table's columns, constraints and size."""
    app.answer(app.client.table(name, at), _show_schema)


def _show_schema(state: TableState) -> None:
    files = show.counted(state.files, "file")
    show.say(
        f"{state.name}, version {state.version}: {show.counted(state.rows, 'row')} in {files}, "
        f"{format_bytes(state.bytes)}"
    )
    rows = [
        (
            one.name,
            one.type,
            "" if one.nullable else "never null",
            "yes" if one.name in state.partitions else "",
        )
        for one in state.columns
    ]
    show.table(["!column", "type", "missing", "partition"], rows, empty="no columns")
    for constraint in state.constraints:
        show.say(f"constraint {constraint.name}: {constraint.check}")
    show.say(f"new schemas: {state.evolve}")
    if state.features:
        show.say(f"features: {', '.join(state.features)}")


@table.command("restore", short_help="Make an earlier version the table's state again")
@click.argument("name")
@click.argument("version")
@click.option("-m", "--message", metavar="TEXT", default="", help="Why.")
@json_option
@pass_app
def restore(app: App, name: str, version: str, message: str) -> None:
    """Make an earlier version the table's state again, as a new version."""
    from treadle.data import RestoreTable

    done = app.client.restore_table(name, RestoreTable(to=version, by=_who(message)))
    app.answer(done, _show_wrote)


@table.command("diff")
@click.argument("name")
@click.argument("before")
@click.argument("after", default="")
@click.option("--key", metavar="COLUMN", multiple=True, help="What names a row; else the dataset's key.")
@json_option
@pass_app
def diff(app: App, name: str, before: str, after: str, key: tuple[str, ...]) -> None:
    """Tell how two versions differ; AFTER is the latest when left out."""
    app.answer(app.client.table_diff(name, before, after, key), _show_diff)


def _show_diff(found: TableDiff) -> None:
    how = f"matched by {', '.join(found.key)}" if found.key else "compared whole"
    show.say(
        f"{found.name}, version {found.before} to {found.after}: "
        f"{found.rows[0]:,} to {found.rows[1]:,} rows; "
        f"{found.added:,} added, {found.removed:,} removed, {found.changed:,} changed ({how})"
    )
    rows = [
        (
            one.name,
            one.before if one.before == one.after else f"{one.before or '-'} to {one.after or '-'}",
            f"{one.changed:,}",
            _pair(one.nulls),
            _pair(one.least),
            _pair(one.greatest),
        )
        for one in found.columns
    ]
    if rows:
        show.table(["!column", "type", ">changed", "missing", "least", "greatest"], rows, empty="")
    for example in found.examples:
        row = ", ".join(f"{name}={value}" for name, value in example.row.items())
        show.say(f"  {example.kind}: {row}")
    if found.note:
        show.say(found.note, "dim")
    show.say(f"{show.counted(found.read, 'file')} read, {found.shared:,} in both", "dim")


def _pair(pair: tuple[object, object]) -> str:
    before, after = ("?" if value is None else str(value) for value in pair)
    return before if before == after else f"{before} to {after}"


@table.group("constraints", cls=Group, default="ls", short_help="What every row fulfils: ls, add, drop")
def constraints() -> None:
    """Conditions that every row fulfils; a write that violates one is refused whole."""


@constraints.command("ls")
@click.argument("name")
@json_option
@pass_app
def list_constraints(app: App, name: str) -> None:
    """List a table's constraints."""
    app.answer(app.client.table(name).constraints, lambda found: _show_constraints(name, found))


@constraints.command("add")
@click.argument("name")
@click.argument("constraint")
@click.argument("check", metavar="SQL")
@json_option
@pass_app
def add_constraint(app: App, name: str, constraint: str, check: str) -> None:
    """Add a condition that every row fulfils."""
    from treadle.data import NewConstraint

    state = app.client.add_constraint(name, NewConstraint(name=constraint, check=check))
    app.answer(state, lambda found: _show_constraints(name, found.constraints))


@constraints.command("drop")
@click.argument("name")
@click.argument("constraint")
@json_option
@pass_app
def drop_constraint(app: App, name: str, constraint: str) -> None:
    """Remove a condition."""
    state = app.client.drop_constraint(name, constraint)
    app.answer(state, lambda found: _show_constraints(name, found.constraints))


def _show_constraints(name: str, found: Any) -> None:
    show.table(["!constraint", "check"], [(one.name, one.check) for one in found], empty="no constraints")
    if not found:
        show.following(f"treadle data table constraints add {name} CONSTRAINT SQL")


@table.command("vacuum", short_help="Remove files that no kept version needs")
@click.argument("name")
@click.option(
    "--older-than", metavar="AGE", default="7d", show_default=True, help="Dropped so long ago; 0 for all."
)
@click.option("--apply", is_flag=True, help="Remove them; otherwise they are only listed.")
@json_option
@pass_app
def vacuum(app: App, name: str, older_than: str, apply: bool) -> None:
    """Remove files that no kept version needs; what a dataset version needs stays."""
    from treadle.data import VacuumTable

    done = app.client.vacuum_table(name, VacuumTable(older_than=older_than, apply=apply))
    app.answer(done, lambda found: _show_vacuumed(name, older_than, found))


def _show_vacuumed(name: str, older_than: str, done: Vacuumed) -> None:
    size = f" ({format_bytes(done.bytes)})" if done.bytes else ""
    verb = "removed" if done.applied else "would be removed"
    show.say(f"{name}: {show.counted(len(done.files), 'file')} {verb}{size}")
    for file in done.files[:_SHOWN]:
        show.say(f"  {file}")
    if len(done.files) > _SHOWN:
        show.say(f"  and {len(done.files) - _SHOWN:,} more", "dim")
    if done.kept_for:
        some = ", ".join(done.kept_for[:_NAMED_ALL])
        more = f" and {len(done.kept_for) - _NAMED_ALL} more" if len(done.kept_for) > _NAMED_ALL else ""
        show.say(f"kept for {some}{more}", "dim")
    if done.files and not done.applied:
        show.following(f"treadle data table vacuum {name} --older-than {older_than} --apply")
