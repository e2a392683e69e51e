"""Writers in processes of their own: at once, killed, and in a bucket."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest
from deltalake import DeltaTable

from killing import sweep
from servers import S3, s3, s3_server  # noqa: F401 - fixtures
from treadle.data import Datasets, SliceSpec
from treadle.data.tables.types import (
    ChangeRows,
    MergeRows,
    NewConstraint,
    RestoreTable,
    VacuumTable,
    WriteRows,
)
from treadle.kernel.errors import AlreadyExists, CorruptData

BASE = "SELECT i AS id, 'n' || i % 7 AS name, i * 0.5::DOUBLE AS price FROM range({}, {}) t(i)"

WRITER = """
import sys
from pathlib import Path
from treadle.data.tables.service import Tables
from treadle.data.tables.types import ChangeRows, MergeRows, Rows, VacuumTable, WriteRows
from treadle.kernel.workspace import Workspace

tables = Tables(Workspace.open(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
for step in sys.argv[2:]:
    what, _, path = step.partition("=")
    if what == "append":
        tables.append("sales", WriteRows(rows=Rows(path=path), batch=step))
    elif what == "merge":
        tables.merge("sales", MergeRows(rows=Rows(path=path)))
    elif what == "vacuum":
        tables.vacuum("sales", VacuumTable(older_than="0", apply=True))
    print(step, flush=True)
"""


def start(project: Path, *steps: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(project), *steps],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def go(*writers: subprocess.Popen[str]) -> None:
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()


def test_two_writers_at_once_lose_nothing(sales, save, project):
    """Appends pass each other; merges that touch the same files are done again."""
    steps = [[], []]
    for number in range(6):
        low = 1000 + number * 10
        steps[number % 2].append(f"append={save(BASE.format(low, low + 10), f'a{number}').path}")
        merged = f"SELECT i AS id, 'w{number % 2}' AS name, 1.0::DOUBLE AS price"
        merged += f" FROM range({number * 5}, {number * 5 + 5}) t(i)"
        steps[number % 2].append(f"merge={save(merged, f'm{number}').path}")
    writers = [start(project, *some) for some in steps]
    go(*writers)
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    state = sales.state("sales")
    assert (state.rows, state.version) == (160, 12)
    found = pl.from_arrow(DeltaTable(str(project / "lake" / "sales")).to_pyarrow_table())
    assert found["id"].n_unique() == 160
    expected = {i: f"w{i // 5 % 2}" for i in range(30)}
    assert dict(found.filter(pl.col("id") < 30).select("id", "name").iter_rows()) == expected


def test_a_killed_writer_leaves_all_or_nothing(tmp_path):
    """The same steps again afterwards bring the table to where it would have been."""
    assert sweep("table_actions", "write", tmp_path, every=5) >= 2


@pytest.mark.soak
def test_a_writer_that_is_killed_anywhere_leaves_all_or_nothing(tmp_path):
    assert sweep("table_actions", "write", tmp_path) >= 10


@pytest.fixture
def in_bucket(s3: S3, tables, workspace):  # noqa: F811
    """The table lies in a bucket."""
    place = msgspec.structs.replace(
        workspace.config.data["sales"], path=f"s3://{s3.bucket}/lake/sales", options=s3.options
    )
    workspace.config.data["sales"] = place
    return tables


def test_a_table_in_a_bucket(in_bucket, save, workspace, s3):  # noqa: F811
    tables = in_bucket
    assert (
        tables.create("sales", WriteRows(rows=save(BASE.format(0, 100)), partition_by=("name",))).added == 100
    )
    with pytest.raises(AlreadyExists):
        tables.create("sales", WriteRows(rows=save(BASE.format(0, 100))))
    datasets = Datasets(workspace)
    pinned = datasets.snapshot("sales", "anna")
    tables.add_constraint("sales", NewConstraint(name="dear", check="price >= 0"))
    tables.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    tables.merge("sales", MergeRows(rows=save("SELECT 5 AS id, 'n5' AS name, 9.0::DOUBLE AS price")))
    tables.change("sales", ChangeRows(where="id = 6"))
    assert tables.state("sales").rows == 109
    found = tables.diff("sales", "0")
    assert (found.added, found.removed, found.changed) == (10, 1, 1)
    assert found.shared == 5
    done = tables.vacuum("sales", VacuumTable(older_than="0", apply=True))
    assert done.kept_for == (pinned.ref,)
    got, path = datasets.slice(SliceSpec(dataset="sales", version=pinned.digest), "train")
    assert (got.rows, pl.read_parquet(path).height) == (100, 100)
    assert (
        DeltaTable(f"s3://{s3.bucket}/lake/sales", 0, storage_options=s3.options).scan().read_all().num_rows
        == 100
    )
    tables.restore("sales", RestoreTable(to="0"))
    assert tables.state("sales").rows == 100


def test_a_file_missing_in_a_bucket_is_told(in_bucket, save, workspace, s3):  # noqa: F811
    import obstore

    from servers import _store

    in_bucket.create("sales", WriteRows(rows=save(BASE.format(0, 10))))
    version = Datasets(workspace).snapshot("sales", "anna")
    obstore.delete(_store(s3, s3.bucket), f"lake/sales/{version.files[0].path}")
    with pytest.raises(CorruptData, match="a file of version 0 is missing"):
        Datasets(workspace).paths(version)
