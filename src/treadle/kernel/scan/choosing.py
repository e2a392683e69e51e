"""Which engine scans which rows."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from treadle.kernel.engine import Engine
from treadle.kernel.errors import InvalidInput, MissingExtra
from treadle.kernel.scan.port import ScanEngine, Source, files

ENGINES = ("auto", "duckdb", "polars", "spark")
"""What can be chosen by name; Ibis is chosen by giving a table of it."""


def engine_for(table: Source, embedded: Engine, name: str = "auto") -> ScanEngine:
    """The engine that scans a table.

    By itself: Spark and Ibis for their frames and tables; Polars for its frames and, where it is installed,
    for Parquet files, which it scans in less time; DuckDB for all else: CSV, frames of pandas and PyArrow.

    Args:
        table: The rows.
        embedded: Runs DuckDB's queries.
        name: One of :data:`ENGINES`.

    Raises:
        InvalidInput: If there is no engine of that name, or it can't read such rows.
        MissingExtra: If it isn't installed.
    """
    if name not in ENGINES:
        raise InvalidInput(f"there is no engine {name!r}", fix=f"use one of {', '.join(ENGINES)}")
    library = type(table).__module__.partition(".")[0]
    if library == "ibis":
        from treadle.kernel.scan.ibis_scan import IbisScan

        return IbisScan()
    if library == "pyspark" or name == "spark":
        return _spark(table, library)
    parquet = _is_parquet(table)
    if name == "polars" and not find_spec("polars"):
        raise MissingExtra("Polars isn't installed", fix="pip install 'treadle[polars]'")
    if name == "polars" and not (parquet or library == "polars"):
        raise InvalidInput("Polars scans Parquet files and its own frames", fix='leave the engine at "auto"')
    if library == "polars" or (parquet and name != "duckdb" and find_spec("polars")):
        from treadle.kernel.scan.polars_scan import PolarsScan

        return PolarsScan()
    from treadle.kernel.scan.duckdb_scan import DuckDBScan

    return DuckDBScan(embedded)


def _spark(table: Source, library: str) -> ScanEngine:
    """Spark, for its frames and for files."""
    if not find_spec("pyspark"):
        raise MissingExtra("Spark isn't installed", fix="pip install 'treadle[spark]'")
    if library != "pyspark" and files(table) is None:
        raise InvalidInput("Spark scans files and its own frames", fix='leave the engine at "auto"')
    from treadle.kernel.scan.spark_scan import SparkScan

    return SparkScan()


def _is_parquet(table: Any) -> bool:
    paths = files(table)
    return bool(paths) and all(path.suffix.lower() == ".parquet" for path in paths or ())
