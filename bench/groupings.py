"""Groupings and joins of many values: time and memory of each engine, at two sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import measure, peers
from bench.scripts import groupings
from bench.tables import progress, reason, show


def run(quick: bool) -> None:
    """Prints the table."""
    table: list[list[object]] = []
    for rows in (200_000,) if quick else (10_000_000, 100_000_000):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            script = peers.SCRIPTS / "groupings.py"
            measure.run([peers.PLATFORM, script, "make", folder, str(rows)], folder)
            for case in groupings.CASES:
                progress(f"groupings: {case} of {rows:,} rows, load {measure.load_average()}")
                told: list[object] = [case, f"{rows:,}"]
                for engine in ("polars", "duckdb"):
                    try:
                        cost = measure.run([peers.PLATFORM, script, case, engine, folder], folder)
                        told += [cost.cpu, cost.peak]
                    except measure.Failed as failed:
                        told += [reason(str(failed)), None]
                table.append(told)
    show(
        "Groupings and joins",
        ["what", "rows", "Polars CPU-s", "peak MB", "DuckDB CPU-s", "peak MB"],
        table,
        "A key proven; every value of a number there twice; the ten most frequent of texts that are all "
        "different; held-out rows found among the others by a number and by a text. The whole process, once.",
    )
