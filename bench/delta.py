"""Tables beside plain deltalake: what Treadle's checks, audit and retries cost."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from bench import measure
from bench.tables import progress, show, times

_STEPS = (
    "write", "100 appends", "delete 1 %", "merge 10,000 rows", "diff of two versions", "history of 101",
    "version for training",
)  # fmt: skip
_SOURCE = """
import sys
import duckdb
rows = int(sys.argv[1])
columns = ("i AS id, 'n' || i % 1000 AS name, (i * 7919 % 1000003) / 7.0 AS price, i % 97 AS shop, "
           "TIMESTAMPTZ '2026-01-01' + INTERVAL (i) SECOND AS at")
parts = [(f"more{n}", 2 * rows + n * 1000, 2 * rows + n * 1000 + 1000) for n in range(int(sys.argv[2]))]
for name, low, high in (("base", 0, rows), ("new", rows - 5000, rows + 5000), *parts):
    duckdb.sql(f"SELECT {columns} FROM range({low}, {high}) t(i)").write_parquet(f"{name}.parquet")
"""
_COMMON = """
import json, resource, sys, time
rows, appends = int(sys.argv[1]), int(sys.argv[2])
took = {}
def step(name, do):
    wall, cpu = time.monotonic(), time.process_time()
    found = do()
    took[name] = [time.monotonic() - wall, time.process_time() - cpu]
    return found
"""
_TREADLE = (
    _COMMON
    + """
from pathlib import Path
from treadle.data import ChangeRows, Datasets, MergeRows, Rows, Tables, Who, WriteRows
from treadle.kernel.workspace import Workspace

Path("treadle.toml").write_text('[project]\\nname="b"\\n[data.t]\\npath="t"\\nformat="delta"\\nkey="id"\\n')
workspace = Workspace.open(Path.cwd())
tables, who = Tables(workspace), Who(actor="bench")
step("write", lambda: tables.create("t", WriteRows(rows=Rows(path="base.parquet"), by=who)))
more = [WriteRows(rows=Rows(path=f"more{n}.parquet"), by=who) for n in range(appends)]
step("100 appends", lambda: [tables.append("t", one) for one in more])
history = step("history of 101", lambda: tables.history("t", 1000))
assert len(history) == appends + 1
step("delete 1 %", lambda: tables.change("t", ChangeRows(where="id % 100 = 0", by=who)))
before = tables.state("t").version
step("merge 10,000 rows", lambda: tables.merge("t", MergeRows(rows=Rows(path="new.parquet"), by=who)))
step("diff of two versions", lambda: tables.diff("t", str(before)))
step("version for training", lambda: Datasets(workspace).snapshot("t", "bench"))
print(json.dumps({"took": took, "rows": tables.state("t").rows,
                  "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
)
_PLAIN = (
    _COMMON
    + """
import pyarrow.parquet as pq
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

step("write", lambda: write_deltalake("t", pq.read_table("base.parquet")))
step("100 appends", lambda: [write_deltalake("t", pq.read_table(f"more{n}.parquet"), mode="append")
                             for n in range(appends)])
assert len(step("history of 101", lambda: DeltaTable("t").history())) == appends + 1
step("delete 1 %", lambda: DeltaTable("t").delete("id % 100 = 0"))
before = DeltaTable("t").version()
step("merge 10,000 rows", lambda: DeltaTable("t")
     .merge(pq.read_table("new.parquet"), "t.id = s.id", source_alias="s", target_alias="t")
     .when_matched_update_all().when_not_matched_insert_all().execute())

def diff():
    old, new = DeltaTable("t", before).to_pyarrow_table(), DeltaTable("t").to_pyarrow_table()
    columns = [name for name in new.column_names if name != "id"]
    joined = old.join(new, "id", join_type="full outer", right_suffix="_new")
    return joined.num_rows, columns
step("diff of two versions", diff)
print(json.dumps({"took": took, "rows": DeltaTable("t").count(),
                  "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
)


def run(quick: bool) -> None:
    """Prints what each step takes with Treadle and with plain deltalake on the same rows."""
    rows, appends = (200_000, 10) if quick else (5_000_000, 100)
    found = {}
    for name, script in (("Treadle", _TREADLE), ("plain deltalake", _PLAIN)):
        with tempfile.TemporaryDirectory() as folder:
            progress(f"{name}: {rows:,} rows")
            paths = os.pathsep.join(sys.path)
            python = [sys.executable, "-c"]
            measure.run([*python, _SOURCE, str(rows), str(appends)], Path(folder))
            cost = measure.run(
                [*python, script, str(rows), str(appends)], Path(folder), {"PYTHONPATH": paths}
            )
            found[name] = json.loads(cost.out.strip().splitlines()[-1])
    ours, plain = found["Treadle"], found["plain deltalake"]
    table = []
    for step in _STEPS:
        a, b = ours["took"][step], plain["took"].get(step)
        ratio = times(a[1], b[1]) if b else None
        table.append([step, a[0], b and b[0], a[1], b and b[1], ratio])
    table.append(["peak memory, MB", ours["peak"], plain["peak"], None, None, None])
    show(
        f"Delta table of {rows:,} rows, {appends} appends of 1,000",
        ["step", "Treadle s", "plain s", "Treadle CPU s", "plain CPU s", "CPU ratio"],
        table,
        f"The plain diff joins both versions whole with pyarrow, and counts nothing. "
        f"Rows at the end: {ours['rows']:,} and {plain['rows']:,}.",
    )
