"""What is done to a table while it is killed, and what must be true whenever that happens."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from treadle.data import Datasets, MergeRows, Rows, Tables, VacuumTable, WriteRows
from treadle.kernel.workspace import Workspace

FIRST, BIG, ALL = 100, 4_100, 5_000
"""How many rows the table has at first, after rows were added, and after others were merged."""


def prepare(root: Path) -> None:
    """A project with a table of which a dataset version was made, and rows to add and to merge."""
    (root / "in").mkdir(parents=True)
    (root / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[data.sales]\npath = "lake/sales"\nformat = "delta"\nkey = "id"\n'
    )
    for name, low, high in (("first", 0, FIRST), ("big", 1000, 5000), ("wide", 50, 2000)):
        sql = f"SELECT i AS id, '{name}' AS name, 2.0::DOUBLE AS price FROM range({low}, {high}) t(i)"
        duckdb.sql(sql).write_parquet(str(root / "in" / f"{name}.parquet"))
    workspace = Workspace.open(root)
    Tables(workspace).create("sales", WriteRows(rows=Rows(path="in/first.parquet")))
    Datasets(workspace).snapshot("sales", "anna")
    workspace.close()


def write(root: Path) -> None:
    """Adds, merges and vacuums; whenever files of the table change is a step."""
    workspace = Workspace.open(root)
    threading.Thread(target=_watch, args=(root / "lake" / "sales",), daemon=True).start()
    tables = Tables(workspace)
    tables.append("sales", WriteRows(rows=Rows(path="in/big.parquet"), batch="big"))
    tables.merge("sales", MergeRows(rows=Rows(path="in/wide.parquet")))
    tables.vacuum("sales", VacuumTable(older_than="0", apply=True))


def _watch(folder: Path) -> None:
    """Audits what delta-rs does, which the interpreter isn't told of."""
    before = _listing(folder)
    while True:
        time.sleep(0)
        now = _listing(folder)
        if now != before:
            before = now
            sys.audit("os.link", "", "", 0, 0)


def _listing(folder: Path) -> dict[str, int]:
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                found[f"{where}/{name}"] = os.stat(f"{where}/{name}").st_size  # noqa: PTH116 - quick
            except FileNotFoundError:
                continue
    return found


def check_write(root: Path) -> None:
    """Each step was done or not; versions of the table and of the dataset are whole."""
    workspace = Workspace.open(root)
    rows = Tables(workspace).state("sales").rows
    path = str(root / "lake" / "sales")
    assert rows == DeltaTable(path).scan().read_all().num_rows
    assert rows in {FIRST, BIG, ALL}
    assert DeltaTable(path, version=0).scan().read_all().num_rows == FIRST
    datasets = Datasets(workspace)
    assert all(file.exists() for file in datasets.paths(datasets.get("sales@v1")))


def done_write(root: Path) -> None:
    """It is where it would have been."""
    check_write(root)
    workspace = Workspace.open(root)
    assert Tables(workspace).state("sales").rows == Datasets(workspace).snapshot("sales", "anna").rows == ALL
