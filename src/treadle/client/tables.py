"""What the client asks of tables."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from treadle.client.calls import Calls
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


class TableCalls(Calls):
    """Calls of the routes below ``/v1/data/tables``."""

    def table(self, name: str, at: str = "") -> TableState:
        """A table's schema, size and constraints, at a version or a moment."""
        found: TableState = self._ask(TableState, "GET", _at(name), **({"at": at} if at else {}))
        return found

    def create_table(self, name: str, asked: WriteRows) -> Wrote:
        """Makes a table of rows."""
        return self._write(name, "", asked)

    def append_rows(self, name: str, asked: WriteRows) -> Wrote:
        """Appends rows: all of them or none."""
        return self._write(name, "/rows", asked)

    def merge_rows(self, name: str, asked: MergeRows) -> Wrote:
        """Replaces the rows that have the same key as new ones, and adds the others."""
        return self._write(name, "/merges", asked)

    def change_rows(self, name: str, asked: ChangeRows) -> Wrote:
        """Deletes the rows that fulfil a condition, or gives them new values."""
        return self._write(name, "/changes", asked)

    def restore_table(self, name: str, asked: RestoreTable) -> Wrote:
        """Makes an earlier version the table's state again."""
        return self._write(name, "/restores", asked)

    def table_history(self, name: str, limit: int = 100) -> list[TableEvent]:
        """What made each version of a table, the newest first."""
        found: list[TableEvent] = self._ask(list[TableEvent], "GET", f"{_at(name)}/history", limit=limit)
        return found

    def table_diff(self, name: str, before: str, after: str = "", key: Sequence[str] = ()) -> TableDiff:
        """How two versions of a table differ; the latest when no second one is named."""
        asked = {"after": after} if after else {}
        found: TableDiff = self._ask(
            TableDiff, "GET", f"{_at(name)}/diff", before=before, key=list(key), **asked
        )
        return found

    def add_constraint(self, name: str, asked: NewConstraint) -> TableState:
        """Adds a condition that every row of a table fulfils."""
        asked = msgspec.structs.replace(asked, by=_signed(asked.by))
        found: TableState = self._ask(TableState, "POST", f"{_at(name)}/constraints", asked)
        return found

    def drop_constraint(self, name: str, constraint: str) -> TableState:
        """Removes a condition of a table."""
        path = f"{_at(name)}/constraints/{quote(constraint, safe='')}"
        found: TableState = self._ask(TableState, "DELETE", path, actor=_signed(Who()).actor)
        return found

    def vacuum_table(self, name: str, asked: VacuumTable) -> Vacuumed:
        """Removes files that no kept version needs, or tells which."""
        asked = msgspec.structs.replace(asked, by=_signed(asked.by))
        found: Vacuumed = self._ask(Vacuumed, "POST", f"{_at(name)}/vacuums", asked)
        return found

    def _write(self, name: str, what: str, asked: WriteRows | MergeRows | ChangeRows | RestoreTable) -> Wrote:
        asked = msgspec.structs.replace(asked, by=_signed(asked.by))
        found: Wrote = self._ask(Wrote, "POST", f"{_at(name)}{what}", asked)
        return found


def _at(name: str) -> str:
    return f"/v1/data/tables/{quote(name, safe='')}"


def _signed(by: Who) -> Who:
    """Who writes, and in which run, as the process knows."""
    import os

    from treadle.client.client import actor

    run = by.run or os.environ.get("TREADLE_RUN", "")
    return msgspec.structs.replace(by, actor=by.actor or actor(), run=run)
