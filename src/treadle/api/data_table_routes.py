"""The routes of tables: written, read back, compared, restored, cleaned up."""

from __future__ import annotations

from treadle.api.route import Call, Query, RouteSpec
from treadle.data import (
    ChangeRows,
    MergeRows,
    NewConstraint,
    RestoreTable,
    TableDiff,
    TableEvent,
    TableState,
    Vacuumed,
    VacuumTable,
    Who,
    WriteRows,
    Wrote,
)


def _table_state(call: Call) -> TableState:
    """A table's schema, size and constraints, at a version or a moment."""
    return call.rooms.tables.state(call.path["name"], call.query.get("at", ""))


def _create_table(call: Call) -> Wrote:
    """Makes a table of rows."""
    return call.rooms.tables.create(call.path["name"], call.body)


def _append_rows(call: Call) -> Wrote:
    """Appends rows: all of them or none."""
    return call.rooms.tables.append(call.path["name"], call.body)


def _merge_rows(call: Call) -> Wrote:
    """Replaces the rows that have the same key as new ones, and adds the others."""
    return call.rooms.tables.merge(call.path["name"], call.body)


def _change_rows(call: Call) -> Wrote:
    """Deletes the rows that fulfil a condition, or gives them new values."""
    return call.rooms.tables.change(call.path["name"], call.body)


def _table_history(call: Call) -> list[TableEvent]:
    """What made each version of a table, the newest first."""
    return call.rooms.tables.history(call.path["name"], call.whole("limit", 100))


def _restore_table(call: Call) -> Wrote:
    """Makes an earlier version the table's state again."""
    return call.rooms.tables.restore(call.path["name"], call.body)


def _table_diff(call: Call) -> TableDiff:
    """How two versions of a table differ."""
    key = tuple(call.query.getlist("key"))
    return call.rooms.tables.diff(call.path["name"], call.need("before"), call.query.get("after", ""), key)


def _add_constraint(call: Call) -> TableState:
    """Adds a condition that every row of a table fulfils."""
    return call.rooms.tables.add_constraint(call.path["name"], call.body)


def _drop_constraint(call: Call) -> TableState:
    """Removes a condition of a table."""
    by = Who(actor=call.query.get("actor", ""))
    return call.rooms.tables.drop_constraint(call.path["name"], call.path["constraint"], by)


def _vacuum(call: Call) -> Vacuumed:
    """Removes files that no kept version needs, or tells which."""
    return call.rooms.tables.vacuum(call.path["name"], call.body)


_TABLE = "/v1/data/tables/{name}"

DATA_TABLE_ROUTES = (
    RouteSpec("GET", _TABLE, _table_state, TableState, query=(Query("at"),)),
    RouteSpec("POST", _TABLE, _create_table, Wrote, WriteRows),
    RouteSpec("POST", f"{_TABLE}/rows", _append_rows, Wrote, WriteRows),
    RouteSpec("POST", f"{_TABLE}/merges", _merge_rows, Wrote, MergeRows),
    RouteSpec("POST", f"{_TABLE}/changes", _change_rows, Wrote, ChangeRows),
    RouteSpec(
        "GET", f"{_TABLE}/history", _table_history, list[TableEvent], query=(Query("limit", kind="integer"),)
    ),
    RouteSpec("POST", f"{_TABLE}/restores", _restore_table, Wrote, RestoreTable),
    RouteSpec(
        "GET",
        f"{_TABLE}/diff",
        _table_diff,
        TableDiff,
        query=(Query("before", required=True), Query("after"), Query("key", many=True)),
    ),
    RouteSpec("POST", f"{_TABLE}/constraints", _add_constraint, TableState, NewConstraint),
    RouteSpec(
        "DELETE",
        f"{_TABLE}/constraints/{{constraint}}",
        _drop_constraint,
        TableState,
        query=(Query("actor"),),
    ),
    RouteSpec("POST", f"{_TABLE}/vacuums", _vacuum, Vacuumed, VacuumTable),
)
