"""Checks of ten million rows, beside a hand-written Polars pass, Pandera and Great Expectations."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, reason, show, times


def run(quick: bool) -> None:
    """Prints the table."""
    rows, rounds = (200_000, 1) if quick else (10_000_000, 3)
    pandera, gx = peers.peer("pandera"), peers.peer("gx")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = [peers.PLATFORM, peers.SCRIPTS / "checks.py", "make", folder / "rows.parquet", str(rows)]
        measure.run(make, folder)

        def case(peer: peers.Peer, how: str, file: str = "rows.parquet"):
            def once() -> measure.Cost:
                if peer.python is None:
                    raise measure.Failed(peer.problem)
                return measure.run([peer.python, peers.SCRIPTS / "checks.py", how, folder / file], folder)

            return once

        ours = peers.Peer(peers.PLATFORM)
        progress(f"checks: {rows:,} rows, load {measure.load_average()}")
        found = measure.interleaved(
            {
                "hand-written Polars pass": case(ours, "by_hand"),
                "Treadle, Polars": case(ours, "polars"),
                "Treadle, DuckDB": case(ours, "duckdb"),
                "Pandera on Polars": case(pandera, "pandera"),
            },
            rounds,
            warm=0,
        )
        found |= measure.interleaved({"Great Expectations on pandas": case(gx, "gx")}, 1, warm=0)
        if not quick:
            more = folder / "more.parquet"
            measure.run([peers.PLATFORM, peers.SCRIPTS / "checks.py", "make", more, str(10 * rows)], folder)
            large = {
                f"{10 * rows:,} rows: Treadle, {how}": case(ours, how.lower(), "more.parquet")
                for how in ("Polars", "DuckDB")
            }
            found |= measure.interleaved(large, 1, warm=0)
    best = found["hand-written Polars pass"]
    table: list[list[object]] = []
    for title, costs in found.items():
        if isinstance(costs, str):
            table.append([title, reason(costs), *[None] * 3])
            continue
        wall, cpu, peak = (measure.median(costs, key) for key in ("wall", "cpu", "peak"))
        ratio = None if isinstance(best, str) else times(cpu, measure.median(best, "cpu"))
        table.append([title, cpu, ratio, wall, peak])
    told = {costs[0].out.strip().splitlines()[-1] for costs in found.values() if not isinstance(costs, str)}
    notes = (
        f"{rows:,} rows of 20 columns, 53 checks, the whole process; medians of {rounds}, Great Expectations "
        f"and the larger data once. What they found: {'; '.join(sorted(told))}."
    )
    show("Checks of data", ["by", "CPU-s", "ratio", "wall, s", "peak MB"], table, notes)
