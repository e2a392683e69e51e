"""The commands of tables, on a small project, through the real application."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_parts import Call

from treadle.data import TableDiff, TableEvent, TableState, Vacuumed
from treadle.data.types import DatasetVersion

TOML = """
[project]
name = "shop"

[data.sales]
path = "lake/sales"
format = "delta"
key = "id"
"""


@pytest.fixture
def shop(here: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a table of three rows."""
    monkeypatch.setenv("TREADLE_ACTOR", "ada")
    (here / "treadle.toml").write_text(TOML)
    (here / "may.csv").write_text("id,amount\n1,10\n2,20\n3,30\n")
    (here / "june.csv").write_text("id,amount\n3,33\n4,40\n")
    made = call("data", "table", "create", "sales", "--from", "may.csv", "-m", "May")
    assert made.code == 0, made.err
    assert made.out.splitlines() == [
        "sales is at version 0: 3 rows added",
        "next: treadle data table history sales",
        "      treadle data add sales",
    ]
    return here


def test_a_table_is_written_compared_and_brought_back(shop: Path, call: Call) -> None:
    assert "3 rows" in call("data", "add", "sales").out
    merged = call("data", "table", "merge", "sales", "--from", "june.csv")
    assert "sales is at version 1: 1 row added, 1 row updated" in merged.out
    assert (
        "2 rows added"
        in call(
            "data", "table", "append", "sales", "--query", "SELECT i AS id, 7 AS amount FROM range(5, 7) t(i)"
        ).out
    )
    assert "1 row deleted" in call("data", "table", "delete", "sales", "--where", "id = 1").out
    updated = call("data", "table", "update", "sales", "--set", "amount=amount + 1", "--where", "id = 2")
    assert "1 row updated" in updated.out
    assert (
        "says no new value" in call("data", "table", "update", "sales", "--set", "a", "--where", "true").err
    )

    assert "there is no 'july.csv'" in call("data", "table", "append", "sales", "--from", "july.csv").err

    told = call("data", "table", "diff", "sales", "0")
    assert "version 0 to 4: 3 to 5 rows; 3 added, 1 removed, 2 changed (matched by id)" in told.out
    found = call("data", "table", "diff", "sales", "0", "1", "--key", "id", "--json").json(TableDiff)
    assert (found.added, found.changed) == (1, 1)

    events = call("data", "table", "history", "sales", "--json").json(list[TableEvent])
    assert [event.operation for event in events] == ["UPDATE", "DELETE", "WRITE", "MERGE", "WRITE"]
    assert (events[-1].actor, events[-1].message, events[-1].pinned) == ("ada", "May", ("sales@v1",))
    assert "MERGE" in call("data", "table", "history", "sales", "--limit", "4").out

    dry = call("data", "table", "vacuum", "sales", "--older-than", "0")
    assert "would be removed" in dry.out
    assert "next: treadle data table vacuum sales --older-than 0 --apply" in dry.out
    done = call("data", "table", "vacuum", "sales", "--older-than", "0", "--apply", "--json").json(Vacuumed)
    assert done.kept_for == ("sales@v1",)
    assert "version 7" in call("data", "table", "restore", "sales", "0").out
    assert call("data", "table", "schema", "sales", "--json").json(TableState).rows == 3
    again = call("data", "add", "sales", "--json").json(DatasetVersion)
    assert (again.ref, again.rows) == ("sales@v1", 3)
    early = call("data", "add", "sales@delta:0", "--json").json(DatasetVersion)
    assert early.digest == again.digest


def test_constraints(shop: Path, call: Call) -> None:
    assert "no constraints" in call("data", "table", "constraints", "ls", "sales").out
    assert "amount > 0" in call("data", "table", "constraints", "add", "sales", "some", "amount > 0").out
    (shop / "bad.csv").write_text("id,amount\n9,-1\n")
    refused = call("data", "table", "append", "sales", "--from", "bad.csv")
    assert refused.code == 2
    assert "1 row violates the constraint 'some' (amount > 0), such as id=9, amount=-1" in refused.err
    told = call("data", "table", "schema", "sales", "--at", "0").out
    assert "sales, version 0: 3 rows in 1 file" in told
    assert "constraint some: amount > 0" in call("data", "table", "schema", "sales").out
    assert "some" not in call("data", "table", "constraints", "drop", "sales", "some").out.splitlines()[0]
