"""Ray and Spark: workers in processes of their own read versions by path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import treadle

# Both warn of what they do themselves.
pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def rows(afar: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A dataset of eight Parquet files with a version; workers import Treadle from where this is."""
    paths = [str(Path(treadle.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    with afar.transaction:
        for part in range(8):
            frame = pd.DataFrame({"part": part, "n": range(1000)})
            frame.to_parquet(f"treadle://rows@main/part={part}.parquet", filesystem=afar)
    assert afar.version("rows@main").count == 8
    return afar


@pytest.fixture
def ray() -> Iterator[Any]:
    """Ray on this machine."""
    found = pytest.importorskip("ray", reason="Ray isn't installed: pip install 'ray[data]'")
    pytest.importorskip("ray.data", reason="Ray Data isn't installed: pip install 'ray[data]'")
    found.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield found
    found.shutdown()


def test_ray_reads_and_writes_versions(rows: Any, ray: Any) -> None:
    data = ray.data.read_parquet("rows@v1", filesystem=rows)
    assert (data.count(), data.sum("n")) == (8000, 8 * 499_500)
    with rows.transaction:
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow"):
            name = f"copy@main/{batch['part'][0].as_py()}-{batch.num_rows}.arrow"
            with rows.open(name, "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
                writer.write_table(batch)
    assert ds.dataset("copy@v1", filesystem=rows, format="arrow").count_rows() == 8000


@pytest.fixture
def spark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Spark on this machine."""
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    found = pytest.importorskip("pyspark.sql", reason="Spark isn't installed: pip install pyspark")
    made = found.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    yield made
    made.stop()


def test_spark_reads_versions(rows: Any, spark: Any) -> None:
    """Its workers are Python's: they read by fsspec, each its files."""

    def read(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            for path in batch["path"]:
                with rows.open(path) as file:
                    yield pd.read_parquet(file)

    paths = spark.createDataFrame([(path,) for path in rows.glob("rows@v1/*.parquet")], "path string")
    frame = paths.repartition(4).mapInPandas(read, "part long, n long")
    assert (frame.count(), frame.agg({"n": "sum"}).first()[0]) == (8000, 8 * 499_500)
