"""Spark keeps the contract of scans, on a session of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
