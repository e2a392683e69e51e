import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from treadle.data import Branches, Checkout, DataPaths, Datasets, SliceSpec, WorkingTree
from treadle.data.tables.types import ChangeRows, RestoreTable, VacuumTable, WriteRows
from treadle.kernel.errors import InvalidInput

BASE = "SELECT i AS id, 'n' || i % 7 AS name, i * 0.5::DOUBLE AS price FROM range({}, {}) t(i)"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "delta"


def rows(workspace, ref):
    datasets = Datasets(workspace)
    version = datasets.get(ref)
    got, path = datasets.slice(SliceSpec(dataset=version.dataset, version=version.digest), "train")
    assert got.rows == version.rows
    return pl.read_parquet(path)


def test_a_dataset_version_is_a_version_of_the_table(sales, save, workspace):
    datasets = Datasets(workspace)
    first = datasets.snapshot("sales", "anna")
    assert (first.ref, first.rows, first.columns[0].type) == ("sales@v1", 100, "BIGINT")
    assert datasets.snapshot("sales", "anna") == first
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    second = datasets.snapshot("sales", "anna")
    assert (second.ref, second.rows) == ("sales@v2", 110)
    assert second.digest != first.digest
    assert rows(workspace, "sales@v1").height == 100
    assert rows(workspace, "sales").height == 110


def test_time_travel_makes_a_version_and_stays_in_order(sales, save, workspace):
    datasets = Datasets(workspace)
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    latest = datasets.snapshot("sales", "anna")
    old = datasets.get("sales@delta:0")
    assert (old.number, old.rows, datasets.get("sales@delta:0")) == (2, 100, old)
    assert datasets.get("sales") == datasets.get("sales@latest") == latest
    now = datetime.now(UTC).isoformat()
    assert datasets.get(f"sales@{now}") == latest


def test_time_travel_is_a_reference_like_any_other(sales, save, workspace):
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    Datasets(workspace).snapshot("sales", "anna")
    branches = Branches(workspace)
    old = branches.resolve("sales@delta:0")
    assert (old.rows, branches.resolve("sales@delta:0")) == (100, old)
    assert branches.create_ref("sales", "tag", "first", "delta:0", "anna").number == old.number
    assert branches.compare("sales@delta:0", "sales", rows=True).table.added == 10
    with pytest.raises(InvalidInput, match="names no dataset version"):
        branches.resolve("flights@delta:0")


def test_files_are_those_of_the_table(sales, save, workspace):
    """They lie where the table has them, and in no tree."""
    first = Datasets(workspace).snapshot("sales", "anna")
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    second = Datasets(workspace).snapshot("sales", "anna")
    branches = Branches(workspace)
    grown, shrunk = branches.compare(first.ref, second.ref), branches.compare(second.ref, first.ref)
    assert [first.file_count, second.file_count] == [1, 2]
    assert (grown.added, grown.modified, grown.deleted) == (1, 0, 0)
    assert (shrunk.added, shrunk.modified, shrunk.deleted) == (0, 0, 1)
    assert [one.path for one in grown.paths] == sorted(
        {f.path for f in second.files} - {f.path for f in first.files}
    )
    assert grown.bytes == grown.paths[0].after > 0
    assert not branches.compare(first.ref, first.ref).paths
    for refused in (
        lambda: DataPaths(workspace, branches).page("sales@v1", ""),
        lambda: WorkingTree(workspace).checkout(Checkout(ref="sales@v1", to="here")),
    ):
        with pytest.raises(InvalidInput, match="sales@v1 is a version of a table") as caught:
            refused()
        assert caught.value.fix == 'read it as one: treadle.data("sales@v1")'


def test_a_commit_without_rows_is_no_new_version(sales, workspace):
    datasets = Datasets(workspace)
    sales.change("sales", ChangeRows(where="id < 5"))
    before = datasets.snapshot("sales", "anna")
    sales.vacuum("sales", VacuumTable(older_than="0", apply=True))
    assert sales.state("sales").version > 1
    assert datasets.snapshot("sales", "anna") == before


def test_a_restored_table_is_the_latest(sales, workspace):
    datasets = Datasets(workspace)
    first = datasets.snapshot("sales", "anna")
    sales.change("sales", ChangeRows(where="id < 5"))
    datasets.snapshot("sales", "anna")
    sales.restore("sales", RestoreTable(to="0"))
    third = datasets.snapshot("sales", "anna")
    assert (third.number, third.digest) == (3, first.digest)
    assert datasets.get("sales") == third


def test_partitions_and_evolved_columns_are_read_whole(tables, save, workspace):
    kind = "CASE WHEN i % 3 = 0 THEN 'a b/é%' WHEN i % 3 = 1 THEN 'c' END"
    table = f"SELECT i AS id, {kind} AS p FROM range(9) t(i)"
    tables.create("sales", WriteRows(rows=save(table), partition_by=("p",)))
    workspace.config.data["sales"] = msgspec.structs.replace(workspace.config.data["sales"], evolve="add")
    tables.append("sales", WriteRows(rows=save("SELECT 10::BIGINT AS id, 'c' AS p, 1.5::DOUBLE AS w")))
    Datasets(workspace).snapshot("sales", "anna")
    found = rows(workspace, "sales")
    assert found.columns == ["id", "p", "w"]
    assert found.filter(pl.col("id") == 3)["p"].to_list() == ["a b/é%"]
    assert (found["p"].null_count(), found["w"].null_count(), found.height) == (3, 9, 10)
    differing = tables.diff("sales", "0")
    assert (differing.added, differing.removed, differing.changed, differing.shared) == (1, 0, 0, 3)
    tables.change("sales", ChangeRows(where="id = 3"))
    assert tables.diff("sales", "1").removed == 1


@pytest.mark.parametrize(("name", "count"), [("table-with-dv-small", 8), ("table_with_column_mapping", 5)])
def test_tables_that_spark_wrote_are_read(tables, workspace, project, name, count):
    """Deletion vectors, mapped column names."""
    shutil.copytree(FIXTURES / name, project / "lake" / "sales")
    workspace.config.data["sales"] = msgspec.structs.replace(workspace.config.data["sales"], key=None)
    version = Datasets(workspace).snapshot("sales", "anna")
    assert version.rows == count
    found = rows(workspace, "sales")
    assert found.height == count
    assert found.columns == [column.name for column in tables.state("sales").columns]
    if count == 8:
        assert sorted(found["value"]) == list(range(1, 9))
        differing = tables.diff("sales", "0")
        assert (differing.added, differing.removed) == (0, 2)
        assert Datasets(workspace).snapshot("sales@delta:0", "anna").digest != version.digest
    else:
        tables.change("sales", ChangeRows(where="true", set={"Super Name": "'x'"}))
        Datasets(workspace).snapshot("sales", "anna")
        assert rows(workspace, "sales")["Super Name"].to_list() == ["x"] * 5


def test_a_table_without_rows_or_with_a_missing_column_is_no_version(sales, workspace):
    config = workspace.config.data["sales"]
    workspace.config.data["sales"] = msgspec.structs.replace(config, label="late")
    with pytest.raises(InvalidInput, match="no column 'late'"):
        Datasets(workspace).snapshot("sales", "anna")
    workspace.config.data["sales"] = config
    sales.change("sales", ChangeRows(where="true"))
    with pytest.raises(InvalidInput, match="no rows"):
        Datasets(workspace).snapshot("sales", "anna")


def test_what_delta_rs_cant_read_is_refused(sales, project):
    log = project / "lake" / "sales" / "_delta_log" / "00000000000000000001.json"
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["fromTheFuture"],
        "writerFeatures": ["fromTheFuture"],
    }
    log.write_text(json.dumps({"protocol": protocol}) + "\n")
    with pytest.raises(InvalidInput, match="fromTheFuture"):
        sales.state("sales")
