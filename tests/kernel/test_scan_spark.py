"""Spark keeps the contract of scans, on a session of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.register_assert_rewrite("scan_contract")

from scan_contract import FileScanContract  # noqa: E402

# Spark warns of what it does itself, and keeps sockets open until its process ends.
pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    found = pytest.importorskip("pyspark.sql", reason="Spark isn't installed: pip install pyspark")
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = found.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    # A zone far from UTC: what days and moments are must not depend on it.
    made = builder.config("spark.sql.session.timeZone", "Asia/Tokyo").getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    yield made
    assert made.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    made.stop()


class TestSpark(FileScanContract):
    TYPES: ClassVar = {"big": ("integer", "decimal(20, 0)")}
    PRECISION = "us"

    @pytest.fixture
    def engine(self, session: Any) -> Any:
        from treadle.kernel.scan.spark_scan import SparkScan

        return SparkScan(session)


def test_spark_that_can_not_be_started(tmp_path: Path) -> None:
    """In a process of its own, which finds no Java."""
    pytest.importorskip("pyspark.sql", reason="Spark isn't installed: pip install pyspark")
    program = (
        "from treadle.kernel.scan.spark_scan import SparkScan\n"
        "try: SparkScan().columns('a.parquet')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    home = {key: value for key, value in os.environ.items() if key != "JAVA_HOME"}
    made = subprocess.run(
        [sys.executable, "-c", program],
        env=home | {"PATH": _without_java(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.stdout.startswith("Unavailable Spark can't be started"), made.stderr
    assert "install Java" in made.stdout


def _without_java(folder: Path) -> str:
    """A search path with what Spark's scripts need, but for Java."""
    for name in ("bash", "dirname", "env", "python3", "ps", "rm", "cat", "sh"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return str(folder)
