"""What people read and write data with: pandas, Polars, DuckDB, PyArrow, found by fsspec itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import treadle

URL = "treadle://flights@main/day=1/part.parquet"


@pytest.fixture
def frame(fs: Any) -> pd.DataFrame:
    """A frame, kept as Parquet and as CSV."""
    made = pd.DataFrame({"a": range(1000), "b": [f"x{i % 7}" for i in range(1000)]})
    made.to_parquet(URL)
    made.to_csv("treadle://flights@main/all.csv", index=False)
    return made


def test_pandas(fs: Any, frame: pd.DataFrame) -> None:
    assert pd.read_parquet(URL).equals(frame)
    assert pd.read_parquet("treadle://flights@v1/", columns=["a"])["a"].sum() == 499_500
    assert len(pd.read_csv("treadle://flights@v2/all.csv")) == 1000
    frame.head(10).to_json("treadle://flights@main/few.json")
    assert len(pd.read_json("treadle://flights@v3/few.json")) == 10


def test_polars(fs: Any, frame: pd.DataFrame) -> None:
    with fsspec.open(URL) as file:
        assert pl.read_parquet(file).shape == (1000, 2)
    with fsspec.open("treadle://flights@main/all.csv") as file:
        assert pl.read_csv(file)["a"].sum() == 499_500
    lazy = pl.scan_pyarrow_dataset(ds.dataset("flights@main/day=1", filesystem=fs))
    assert lazy.filter(pl.col("a") < 10).collect().height == 10
    with fs.open("flights@main/polars.parquet", "wb") as file:
        pl.DataFrame({"n": [1, 2]}).write_parquet(file)
    assert pq.read_table("flights@main/polars.parquet", filesystem=fs)["n"].to_pylist() == [1, 2]


def test_duckdb(fs: Any, frame: pd.DataFrame) -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        count = "SELECT count(*), sum(a) FROM"
        assert connection.execute(
            f"{count} read_parquet('treadle://flights@main/*/*.parquet')"
        ).fetchall() == [(1000, 499_500)]
        assert connection.execute(f"{count} read_csv('treadle://flights@v2/all.csv')").fetchall() == [
            (1000, 499_500)
        ]
        connection.execute("COPY (SELECT 7 AS n) TO 'treadle://flights@main/duck.parquet' (FORMAT parquet)")
    assert pd.read_parquet("treadle://flights@v3/duck.parquet")["n"].tolist() == [7]


def test_pyarrow_writes_a_dataset_as_one_version(fs: Any) -> None:
    table = pa.table({"day": [1, 1, 2, 3], "n": [1, 2, 3, 4]})
    with fs.transaction:
        ds.write_dataset(
            table,
            "rows@main",
            filesystem=fs,
            format="parquet",
            partitioning=["day"],
            partitioning_flavor="hive",
        )
    assert fs.version("rows@main").number == 1
    assert len(fs.find("rows@v1")) == 3
    read = ds.dataset("rows@v1", filesystem=fs, partitioning="hive").to_table(filter=ds.field("day") > 1)
    assert sorted(read["n"].to_pylist()) == [3, 4]


def test_parquet_is_read_by_row_group(afar: Any) -> None:
    """Only the footer and the row groups that are asked for come over the wire."""
    rng = np.random.default_rng(0)
    schema = pa.schema([("x", pa.float64())])
    with (
        afar.open("flights/big.parquet", "wb") as file,
        pq.ParquetWriter(file, schema, compression="none") as writer,
    ):
        for _ in range(16):
            writer.write_table(pa.table({"x": rng.random(250_000)}))
    size = afar.info("flights/big.parquet")["size"]
    assert size > 16 * 2_000_000
    with pq.ParquetFile(afar.open("flights/big.parquet")) as file:
        assert file.metadata.num_row_groups == 16
        opened = afar.counted.bytes
        assert opened <= 1 << 20  # the block, or two, in which the footer lies
        assert file.read_row_group(7).num_rows == 250_000
        assert 2_000_000 < afar.counted.bytes - opened < 3_300_000
        told = afar.counted.bytes
        file.read_row_group(7)
        assert afar.counted.bytes == told


def test_fsspec_finds_it_by_itself(here: Path, tmp_path: Path) -> None:
    """As an installed package tells of it: nobody imports Treadle."""
    pyproject = Path(treadle.__file__).parents[2] / "pyproject.toml"
    [(name, target)] = tomllib.loads(pyproject.read_text())["project"]["entry-points"]["fsspec.specs"].items()
    info = tmp_path / "site" / "found-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: found\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[fsspec.specs]\n{name} = {target}\n")
    script = (
        "import pandas as pd, sys; pd.DataFrame({'n': [1]}).to_csv('treadle://one/a.csv', index=False);"
        "print(pd.read_csv('treadle://one@v1/a.csv').n.tolist())"
    )
    path = os.pathsep.join([str(tmp_path / "site"), str(Path(treadle.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[1]\n", done.stderr
