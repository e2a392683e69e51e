import json

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from treadle.data import Datasets
from treadle.data.tables.types import (
    ChangeRows,
    MergeRows,
    NewConstraint,
    RestoreTable,
    Rows,
    VacuumTable,
    Who,
    WriteRows,
)
from treadle.kernel.errors import AlreadyExists, CorruptData, InvalidInput, NotFound

BASE = "SELECT i AS id, 'n' || i % 7 AS name, i * 0.5::DOUBLE AS price FROM range({}, {}) t(i)"
ANNA = Who(actor="anna", run="run_1", message="first")


def read(project, at=None):
    table = DeltaTable(str(project / "lake" / "sales"), version=at)
    return sorted(map(tuple, pl.from_arrow(table.to_pyarrow_table()).rows()))


def test_a_table_is_made_of_a_file_once(sales, save, project):
    state = sales.state("sales")
    assert (state.version, state.rows, state.files) == (0, 100, 1)
    assert [(c.name, c.type) for c in state.columns] == [
        ("id", "long"), ("name", "string"), ("price", "double"),
    ]  # fmt: skip
    assert read(project) == sorted(duckdb.sql(BASE.format(0, 100)).fetchall())
    with pytest.raises(AlreadyExists, match="there is a table"):
        sales.create("sales", WriteRows(rows=save(BASE.format(0, 1))))


def test_a_table_is_made_of_csv_or_a_query(tables, project, workspace):
    (project / "in.csv").write_text("id,when\n1,2026-01-01\n2,2026-01-02\n")
    tables.create("sales", WriteRows(rows=Rows(path="in.csv"), partition_by=("when",)))
    assert tables.state("sales").partitions == ("when",)
    Datasets(workspace).snapshot("sales", "anna")
    tables.append("sales", WriteRows(rows=Rows(sql='SELECT id + 10 AS id, "when" FROM sales')))
    assert [row[0] for row in read(project)] == [1, 2, 11, 12]


def test_a_query_reads_nothing_but_datasets(sales, project):
    (project / "secret.csv").write_text("a\n1\n")
    for sql in (f"SELECT * FROM read_csv('{project}/secret.csv')", "SET enable_external_access = true"):
        with pytest.raises(InvalidInput):
            sales.append("sales", WriteRows(rows=Rows(sql=sql)))
    with pytest.raises(InvalidInput, match="outside"):
        sales.append("sales", WriteRows(rows=Rows(path="../x.parquet")))
    assert sales.state("sales").version == 0


def test_history_says_who_what_and_how_much(sales, save, workspace):
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110)), by=Who(actor="ben")))
    pinned = Datasets(workspace).snapshot("sales", "anna")
    newest, first = sales.history("sales")
    assert (newest.version, newest.operation, newest.actor, newest.metrics["num_added_rows"]) == (
        1, "WRITE", "ben", 10,
    )  # fmt: skip
    assert (first.actor, first.run, first.message) == ("anna", "run_1", "first")
    assert (newest.pinned, first.pinned) == ((pinned.ref,), ())


def test_a_batch_is_appended_once(sales, save):
    rows = save(BASE.format(100, 110))
    assert sales.append("sales", WriteRows(rows=rows, batch="b1")).added == 10
    assert sales.append("sales", WriteRows(rows=rows, batch="b1")).again
    assert sales.state("sales").rows == 110


def test_delete_update_and_merge(sales, save, project):
    assert sales.change("sales", ChangeRows(where="id >= 90", by=ANNA)).deleted == 10
    assert sales.change("sales", ChangeRows(where="id < 5", set={"price": "price + 1000"})).updated == 5
    done = sales.merge(
        "sales",
        MergeRows(rows=save("SELECT i AS id, 'z' AS name, 1.0::DOUBLE AS price FROM range(85, 95) t(i)")),
    )
    assert (done.added, done.updated) == (5, 5)
    expected = {i: (i, f"n{i % 7}", i * 0.5 + (1000 if i < 5 else 0)) for i in range(90)}
    expected |= {i: (i, "z", 1.0) for i in range(85, 95)}
    assert read(project) == sorted(expected.values())
    assert sales.change("sales", ChangeRows(where="id = 12345")).again


@pytest.mark.parametrize(
    ("sql", "match"),
    [
        (
            "SELECT 1::BIGINT AS id, 'a' AS name, 1.0::DOUBLE AS price FROM range(2)",
            "1 keys stand in several",
        ),
        ("SELECT NULL::BIGINT AS id, 'a' AS name, 1.0::DOUBLE AS price", "have no id"),
        ("SELECT 'x' AS name, 1.0::DOUBLE AS price", "no key column 'id'"),
    ],
)
def test_a_merge_needs_a_key_that_names_each_row_once(sales, save, sql, match):
    with pytest.raises(InvalidInput, match=match):
        sales.merge("sales", MergeRows(rows=save(sql)))
    assert sales.state("sales").version == 0


def test_restore_brings_a_version_back(sales, project):
    sales.change("sales", ChangeRows(where="id >= 50"))
    before = read(project, 0)
    assert sales.restore("sales", RestoreTable(to="0", by=ANNA)).version == 2
    assert read(project) == before
    assert sales.history("sales")[0].actor == "anna"
    with pytest.raises(NotFound, match="no version 9"):
        sales.restore("sales", RestoreTable(to="9"))


def test_constraints_name_rows_that_violate_them(sales, save):
    with pytest.raises(InvalidInput, match=r"80 rows violate the constraint 'cheap' \(price < 10\)"):
        sales.add_constraint("sales", NewConstraint(name="cheap", check="price < 10"))
    sales.add_constraint("sales", NewConstraint(name="dear", check="price >= 0", by=ANNA))
    bad = "SELECT i AS id, 'q' AS name, (i - 502)::DOUBLE AS price FROM range(500, 510) t(i)"
    match = r"2 rows violate the constraint 'dear' \(price >= 0\), such as id=500, name='q', price=-2.0"
    for write in (
        lambda: sales.append("sales", WriteRows(rows=save(bad))),
        lambda: sales.merge("sales", MergeRows(rows=save(bad))),
    ):
        with pytest.raises(InvalidInput, match=match):
            write()
    with pytest.raises(InvalidInput, match="3 rows violate the constraint 'dear'"):
        sales.change("sales", ChangeRows(where="id < 3", set={"price": "-1.0"}))
    assert (sales.state("sales").rows, sales.state("sales").version) == (100, 1)
    assert [c.name for c in sales.state("sales").constraints] == ["dear"]
    assert sales.drop_constraint("sales", "dear", ANNA).constraints == ()
    with pytest.raises(NotFound, match="no constraint 'dear'"):
        sales.drop_constraint("sales", "dear", ANNA)


def test_a_condition_that_cant_be_read_is_refused(sales):
    for where in ("nope = 1", "id = = 1", " "):
        with pytest.raises(InvalidInput):
            sales.change("sales", ChangeRows(where=where))
    with pytest.raises(InvalidInput):
        sales.add_constraint("sales", NewConstraint(name="x", check="nope > 1"))
    assert sales.state("sales").version == 0


MORE = "SELECT 200::BIGINT AS id, 'a' AS name, 1.0::DOUBLE AS price, true AS vip"


def evolving(workspace, evolve):
    import msgspec

    sales = msgspec.structs.replace(workspace.config.data["sales"], evolve=evolve)
    workspace.config.data["sales"] = sales


def test_new_columns_need_the_policy(sales, save, workspace):
    with pytest.raises(InvalidInput, match="'vip' is in the new rows and not in the table") as refused:
        sales.append("sales", WriteRows(rows=save(MORE)))
    assert 'evolve = "add"' in str(refused.value)
    with pytest.raises(InvalidInput, match="'price' is in the table and not"):
        sales.append("sales", WriteRows(rows=save("SELECT 1::BIGINT AS id, 'a' AS name")))
    evolving(workspace, "add")
    assert sales.append("sales", WriteRows(rows=save(MORE))).columns == ("vip",)
    sales.append("sales", WriteRows(rows=save("SELECT 201::BIGINT AS id, 'a' AS name")))
    done = sales.merge("sales", MergeRows(rows=save("SELECT 0::BIGINT AS id, 5 AS extra")))
    assert (done.updated, done.columns) == (1, ("extra",))
    assert [c.name for c in sales.state("sales").columns] == ["id", "name", "price", "vip", "extra"]
    assert sales.state("sales").rows == 102


def test_wider_types_need_the_policy(tables, save, workspace, project):
    tables.create(
        "sales",
        WriteRows(
            rows=save("SELECT i::INTEGER AS id, (i % 2)::VARCHAR AS p FROM range(10) t(i)"),
            partition_by=("p",),
        ),
    )
    tables.add_constraint("sales", NewConstraint(name="positive", check="id >= 0"))
    wide = save("SELECT 1099511627776::BIGINT AS id, '1' AS p")
    with pytest.raises(
        InvalidInput, match="'id' is integer in the table and long in the new rows"
    ) as refused:
        tables.append("sales", WriteRows(rows=wide))
    assert 'evolve = "widen"' in str(refused.value)
    evolving(workspace, "widen")
    done = tables.append("sales", WriteRows(rows=wide, by=ANNA))
    assert (done.added, done.columns) == (1, ("id",))
    state = tables.state("sales")
    assert (state.rows, state.columns[0].type, state.partitions) == (11, "long", ("p",))
    assert [c.name for c in state.constraints] == ["positive"]
    assert max(read(project))[0] == 1 << 40
    with pytest.raises(InvalidInput, match="'p' is string in the table and long"):
        tables.append("sales", WriteRows(rows=save("SELECT 1::BIGINT AS id, 2::BIGINT AS p")))
    tables.append("sales", WriteRows(rows=save("SELECT 7::SMALLINT AS id, '0' AS p")))  # fits


def test_versions_are_found_by_number_and_moment(sales, save):
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    newest, first = sales.history("sales")
    assert sales.state("sales", "0").rows == 100
    assert sales.state("sales", first.at.isoformat()).version in (0, 1)  # both may be of one millisecond
    assert sales.state("sales", newest.at.isoformat()).version == 1
    with pytest.raises(NotFound, match="no version yet"):
        sales.state("sales", "2020-01-01T00:00:00Z")
    for bad in ("yesterday", "2026-01-01T00:00:00"):
        with pytest.raises(InvalidInput):
            sales.state("sales", bad)


def test_vacuum_keeps_what_a_dataset_version_needs(sales, save, workspace, project):
    pinned = Datasets(workspace).snapshot("sales", "anna")
    sales.change("sales", ChangeRows(where="id < 50"))
    sales.change("sales", ChangeRows(where="id < 60"))
    before = read(project, 0)
    told = sales.vacuum("sales", VacuumTable(older_than="0"))
    assert (len(told.files), told.applied, told.kept_for) == (1, False, (pinned.ref,))
    assert (project / "lake" / "sales" / told.files[0]).stat().st_size == told.bytes
    assert sales.vacuum("sales", VacuumTable(older_than="7d", apply=True)).files == ()
    done = sales.vacuum("sales", VacuumTable(older_than="0", apply=True, by=ANNA))
    assert done.files == told.files
    assert not (project / "lake" / "sales" / told.files[0]).exists()
    assert read(project, 0) == before
    assert sales.state("sales").rows == 40
    with pytest.raises(CorruptData, match="a file of version 1 is missing"):
        Datasets(workspace).snapshot("sales@delta:1", "anna")


def test_diff_reads_only_what_differs(sales, save):
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    sales.append("sales", WriteRows(rows=save(BASE.format(110, 120))))
    sales.merge(
        "sales",
        MergeRows(
            rows=save("SELECT i AS id, 'z' AS name, i * 0.5::DOUBLE AS price FROM range(105, 125) t(i)")
        ),
    )
    sales.change("sales", ChangeRows(where="id = 101"))
    found = sales.diff("sales", "2", "")
    assert (found.added, found.removed, found.changed, found.key) == (5, 1, 15, ("id",))
    assert (found.rows, found.shared) == ((120, 124), 1)
    assert [(c.name, c.changed) for c in found.columns] == [("id", 0), ("name", 15), ("price", 0)]
    assert [e.row for e in found.examples if e.kind == "removed"] == [{"id": "101"}]
    assert [e.row["id"] for e in found.examples if e.kind == "changed"] == ["105", "106", "107", "108", "109"]
    same = sales.diff("sales", "3", "3")
    assert (same.read, same.added, same.removed, same.changed) == (0, 0, 0, 0)


def test_diff_without_a_usable_key_compares_rows(sales, save):
    sales.append(
        "sales",
        WriteRows(rows=save("SELECT 500::BIGINT AS id, 'a' AS name, 1.0::DOUBLE AS price FROM range(2)")),
    )
    found = sales.diff("sales", "0")
    assert (found.added, found.key) == (2, ())
    assert "doesn't name 2 rows once" in found.note
    with pytest.raises(InvalidInput, match="no column 'nam'"):
        sales.diff("sales", "0", key=("nam",))


def test_faults_are_told_with_path_and_version(sales, save, project, workspace):
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 110))))
    version = Datasets(workspace).snapshot("sales", "anna")
    lake = project / "lake" / "sales"
    gone = lake / version.files[0].path
    kept = gone.read_bytes()
    gone.unlink()
    with pytest.raises(CorruptData, match="version 1 is missing") as told:
        Datasets(workspace).paths(version)
    assert str(gone) in str(told.value)
    gone.write_bytes(kept[:-1])
    with pytest.raises(CorruptData, match="bytes instead of"):
        Datasets(workspace).paths(version)
    gone.write_bytes(kept)
    log = lake / "_delta_log" / "00000000000000000001.json"
    text = log.read_text()
    log.write_text(text[: len(text) // 2])
    with pytest.raises(CorruptData, match="log is broken"):
        sales.state("sales")
    log.unlink()
    assert sales.state("sales").version == 0


def test_what_isnt_a_table_is_told(tables, workspace):
    with pytest.raises(NotFound, match="there is no table"):
        tables.state("sales")
    with pytest.raises(InvalidInput, match="not a table"):
        tables.state("rows")
    with pytest.raises(NotFound, match="no dataset 'sale'"):
        tables.state("sale")


def test_another_engine_appends_meanwhile(sales, save, project):
    lake = str(project / "lake" / "sales")
    write_deltalake(lake, pl.DataFrame({"id": [900], "name": ["p"], "price": [1.5]}), mode="append")
    sales.append("sales", WriteRows(rows=save(BASE.format(100, 101))))
    assert sales.state("sales").rows == 102
    assert json.loads(
        (project / "lake/sales/_delta_log/00000000000000000002.json").read_text().splitlines()[0]
    )


def test_a_query_fits_a_file_to_the_table(sales, project):
    (project / "new.csv").write_text("id,name,price\n200,a,7\n")
    with pytest.raises(InvalidInput, match="'price' is double in the table and long"):
        sales.append("sales", WriteRows(rows=Rows(path="new.csv")))
    cast = "SELECT * REPLACE (price::DOUBLE AS price) FROM file"
    assert sales.append("sales", WriteRows(rows=Rows(path="new.csv", sql=cast))).added == 1
    with pytest.raises(InvalidInput, match="neither a path nor a query"):
        sales.append("sales", WriteRows(rows=Rows()))


def test_a_file_that_isnt_parquet_is_told(sales, project):
    (project / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CorruptData, match=r"broken\.parquet"):
        sales.append("sales", WriteRows(rows=Rows(path="broken.parquet")))
    with pytest.raises(NotFound, match=r"there is no 'nowhere\.parquet'"):
        sales.append("sales", WriteRows(rows=Rows(path="nowhere.parquet")))
    assert sales.state("sales").version == 0
