import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datafiles import names, read, write
from servers import fill
from treadle.kernel.engine import DuckDBEngine, quote, text
from treadle.kernel.errors import CorruptData, StorageFull


@pytest.fixture
def engine(tmp_path):
    return DuckDBEngine(tmp_path / "spill")


@pytest.mark.parametrize("name", ["plain", 'a"b', "select", "a b", "x; DROP TABLE t", "é", "it's"])
def test_any_name_can_be_quoted(engine, name):
    assert engine.columns(f"SELECT 1 AS {quote(name)}").keys() == {name}
    assert engine.rows(f"SELECT {text(name)}") == [(name,)]


def test_tables_are_files_or_columns(engine, tmp_path):
    one = write(tmp_path / "it's one.parquet", "SELECT 1 AS a, 'x' AS b")
    two = write(tmp_path / "two.parquet", "SELECT 'y' AS b, 2.5 AS a")
    assert engine.rows("SELECT a FROM t", tables={"t": one}) == [(1,)]
    assert engine.rows("SELECT sum(a), max(b) FROM t WHERE a > ?", [0.5], {"t": [one, two]}) == [(3.5, "y")]
    assert engine.rows("SELECT sum(x) FROM t", tables={"t": {"x": np.arange(4)}}) == [(6,)]


def test_folders_named_like_partitions_add_no_column(engine, tmp_path):
    path = write(tmp_path / "year=2013" / "a.parquet", "SELECT 1 AS a")
    assert engine.columns("SELECT * FROM t", tables={"t": path}).keys() == {"a"}


def test_columns_with_missing_values_are_masked(engine):
    found = engine.columns("SELECT * FROM (VALUES (1, 'x'), (NULL, 'y')) v(a, b)")
    assert np.ma.is_masked(found["a"])
    assert found["a"].filled(-1).tolist() == [1, -1]
    assert found["b"].tolist() == ["x", "y"]


def test_naive_times_are_utc_whatever_the_machine_thinks(engine, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert engine.rows("SELECT epoch_us(TIMESTAMP '1970-01-02'::TIMESTAMPTZ)") == [(86_400_000_000,)]


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_nanoseconds_of_files_are_microseconds(engine, tmp_path, zone):
    """Every function takes them then; DuckDB 2.0 has none for nanoseconds with a zone."""
    kind = pa.timestamp("ns", zone)
    path = tmp_path / "a.parquet"
    times = pa.array([1_700_000_000_123_456_000, None], pa.int64()).cast(kind)
    pq.write_table(pa.table({'the "time"': times, "x": [1, 2]}), path)
    sql = 'SELECT epoch_us("the ""time"""), epoch("the ""time"""), x FROM t'
    expected = [(1_700_000_000_123_456, 1_700_000_000.123456, 1), (None, None, 2)]
    assert engine.rows(sql, tables={"t": path}) == expected
    engine.write_parquet(tmp_path / "b.parquet", "SELECT * FROM t", tables={"t": path})
    assert engine.rows(sql, tables={"t": tmp_path / "b.parquet"}) == expected
    assert pq.read_schema(tmp_path / "b.parquet").field(0).type.unit == "us"
    assert list(engine.columns("SELECT * FROM t", tables={"t": path})) == ['the "time"', "x"]


def test_writing_parquet(engine, tmp_path):
    path = tmp_path / "deep" / "it's.parquet"
    assert engine.write_parquet(path, "SELECT i FROM range(?) r(i) ORDER BY i DESC", [10]) == 10
    assert read(path) == [(i,) for i in range(9, -1, -1)]
    assert names(path.parent) == ["it's.parquet"]


def test_a_failed_query_leaves_the_old_file(engine, tmp_path):
    path = tmp_path / "out.parquet"
    engine.write_parquet(path, "SELECT 1 AS a")
    with pytest.raises(CorruptData, match="error in the middle"):
        engine.write_parquet(
            path, "SELECT CASE WHEN i = 90000 THEN error('error in the middle') END FROM range(100000) r(i)"
        )
    assert read(path) == [(1,)]
    assert names(tmp_path) == ["out.parquet"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"rubbish" * 99,
        lambda data: data[:100] + data[-3000:],
        lambda data: data[:-200] + bytes(100) + data[-100:],
    ],
    ids=["truncated", "empty", "garbage", "gap", "footer"],
)
def test_a_broken_file(engine, tmp_path, damage):
    path = write(tmp_path / "a.parquet", "SELECT i, 'x' || i AS s FROM range(50000) r(i)")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptData):
        engine.rows("SELECT max(s), sum(i) FROM t", tables={"t": path})
    with pytest.raises(CorruptData):
        engine.write_parquet(tmp_path / "out.parquet", "SELECT * FROM t", tables={"t": path})
    assert not (tmp_path / "out.parquet").exists()


def test_a_missing_file(engine, tmp_path):
    with pytest.raises(CorruptData, match="No files found"):
        engine.rows("SELECT 1 FROM t", tables={"t": tmp_path / "none.parquet"})


@pytest.mark.parametrize("sql", ["SELECT nope FROM range(3)", "SELEC 1", "SELECT * FROM nope"])
def test_a_wrong_query_is_the_programmers_fault(engine, sql):
    with pytest.raises(duckdb.ProgrammingError):
        engine.rows(sql)


def test_a_full_disk(engine, full_disk):
    path = full_disk / "out.parquet"
    engine.write_parquet(path, "SELECT 1 AS a")
    fill(full_disk, leave=100_000)
    with pytest.raises(StorageFull):
        engine.write_parquet(path, "SELECT random() AS a FROM range(1000000)")
    assert read(path) == [(1,)]
    assert names(full_disk) == ["filler", "out.parquet"]


def test_more_than_the_memory_spills(tmp_path):
    engine = DuckDBEngine(tmp_path / "spill", memory="60MB")
    path = tmp_path / "out.parquet"
    assert (
        engine.write_parquet(path, "SELECT i, hash(i) AS h FROM range(3000000) r(i) ORDER BY h") == 3_000_000
    )
    left = [path for path in (tmp_path / "spill").glob("*") if not path.name.endswith("_owner")]
    assert not left  # the database that is kept owns the folder
