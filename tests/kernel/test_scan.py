"""The engines that are always here keep the contract of scans."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

pytest.register_assert_rewrite("scan_contract")

from scan_contract import FileScanContract  # noqa: E402
from treadle.kernel.engine import DuckDBEngine  # noqa: E402
from treadle.kernel.errors import CorruptData, InvalidInput, MissingExtra  # noqa: E402
from treadle.kernel.scan.asks import CountMissing, CountRows, FindExtent, FindRepeats, FindTop  # noqa: E402
from treadle.kernel.scan.choosing import engine_for  # noqa: E402
from treadle.kernel.scan.duckdb_scan import DuckDBScan  # noqa: E402
from treadle.kernel.scan.polars_scan import PolarsScan  # noqa: E402


class TestDuckDB(FileScanContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> DuckDBScan:
        return DuckDBScan(DuckDBEngine(tmp_path / "spill"))


class TestPolars(FileScanContract):
    @pytest.fixture
    def engine(self) -> PolarsScan:
        return PolarsScan()


class TestPolarsInParts(FileScanContract):
    """What is parted, hashes on disk and values in memory, comes to the same."""

    @pytest.fixture
    def engine(self, monkeypatch: pytest.MonkeyPatch) -> PolarsScan:
        monkeypatch.setattr("treadle.kernel.scan.polars_parts.PART", 300)
        monkeypatch.setattr("treadle.kernel.scan.polars_keys.IN_MEMORY", 300)
        monkeypatch.setattr("treadle.kernel.scan.polars_keys._FEW", 3)
        return PolarsScan()


CSV = "id,x,when,name,none\n" + "".join(
    f"{i},{i / 2 if i % 5 else ''},2026-01-{i % 28 + 1:02d},n{i % 3},\n" for i in range(100)
)


def test_csv_has_types_too(tmp_path: Path) -> None:
    engine, path = DuckDBScan(DuckDBEngine(tmp_path / "spill")), tmp_path / "a.csv"
    path.write_text(CSV)
    found = engine.columns(path)
    assert [found[name].kind for name in ("id", "x", "when", "name")] == ["integer", "number", "date", "text"]
    answers = engine.scan(
        [path, path], [CountRows(), CountMissing("x"), CountMissing("none"), FindTop("name", 5)]
    )
    assert answers[CountRows()].rows == answers[CountMissing("none")].nulls == 200
    assert answers[CountMissing("x")].nulls == 40
    assert answers[FindTop("name", 5)].counts == {"n0": 68, "n1": 66, "n2": 66}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,a\n1,2,3\n", "two columns are called 'a'"),
        ("", "empty"),
        ("a,b\n" + "1,2\n" * 50_000 + "x,3\n", 'Line: 50002.*Original Line: x,3.*column "a"'),
        ("a,b\n1,\udcff\n", "can't be read"),
    ],
    ids=["twice", "empty", "mixed", "bytes"],
)
def test_csv_that_can_not_be_read(tmp_path: Path, text: str, says: str) -> None:
    engine, path = DuckDBScan(DuckDBEngine(tmp_path / "spill")), tmp_path / "a.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CorruptData, match=says):
        engine.scan(path, [FindExtent("a")])


def test_csv_without_a_line_of_names_has_no_names_that_repeat(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,1\n2,1\n" * 50)
    assert list(DuckDBScan(DuckDBEngine(tmp_path / "spill")).columns(path)) == ["column0", "column1"]


def test_the_engine_is_chosen_by_the_rows(tmp_path: Path) -> None:
    embedded = DuckDBEngine(tmp_path)
    rows = pl.DataFrame({"a": [1]})
    chosen = [
        engine_for(table, embedded, name).name
        for table, name in [
            ("a.parquet", "auto"), (Path("a.parquet"), "duckdb"), (["a.csv"], "auto"), (rows, "auto"),
            (rows.lazy(), "auto"), (pa.table({"a": [1]}), "auto"), (rows.to_pandas(), "auto"),
            ("a.parquet", "polars"),
        ]
    ]  # fmt: skip
    assert chosen == ["polars", "duckdb", "duckdb", "polars", "polars", "duckdb", "duckdb", "polars"]
    for table in (rows, rows.lazy(), pa.table({"a": [1]}), rows.to_pandas()):
        assert engine_for(table, embedded).scan(table, [FindExtent("a")])[FindExtent("a")].high == 1
    with pytest.raises(InvalidInput, match="no engine 'pandas'"):
        engine_for(rows, embedded, "pandas")
    with pytest.raises(InvalidInput, match="Polars scans Parquet"):
        engine_for(Path("a.csv"), embedded, "polars")


def test_spark_is_chosen_by_name_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = DuckDBEngine(tmp_path)
    monkeypatch.setattr("treadle.kernel.scan.choosing.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="Spark isn't installed") as caught:
        engine_for("a.parquet", embedded, "spark")
    assert caught.value.fix == "pip install 'treadle[spark]'"
    monkeypatch.setattr("treadle.kernel.scan.choosing.find_spec", lambda _: True)
    with pytest.raises(InvalidInput, match="Spark scans files and its own frames"):
        engine_for(pl.DataFrame({"a": [1]}), embedded, "spark")


def test_polars_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.kernel.scan.choosing.find_spec", lambda _: None)
    assert engine_for("a.parquet", DuckDBEngine(tmp_path)).name == "duckdb"
    with pytest.raises(MissingExtra, match=r"treadle\[polars\]"):
        engine_for("a.parquet", DuckDBEngine(tmp_path), "polars")


def test_keys_of_many_rows_are_compared_part_by_part_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.kernel.scan.polars_keys.IN_MEMORY", 100)
    ask = FindRepeats(("a",))
    unique = PolarsScan().scan(pl.DataFrame({"a": range(5000)}), [ask])[ask]
    assert (unique.keys, unique.rows) == (0, 0)
    rows = pl.DataFrame({"a": [*range(5000), 7, 7, 4999]})
    found = PolarsScan().scan(rows, [ask])[ask]
    assert (found.keys, found.rows, found.example) == (2, 5, (7,))
