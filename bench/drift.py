"""Drift: a window of a million rows and 50 columns against a reference of the same size."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, reason, show, times


def run(quick: bool) -> None:
    """Prints the table."""
    count, rounds = (20_000, 1) if quick else (1_000_000, 3)
    tools = {
        "Treadle": (peers.Peer(peers.PLATFORM), "treadle"),
        "NannyML, Jensen-Shannon": (peers.peer("nannyml"), "nannyml"),
        "Evidently, PSI": (peers.peer("evidently"), "evidently"),
    }
    found: dict[str, list[measure.Cost] | str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure.run([peers.PLATFORM, peers.SCRIPTS / "make_rows.py", "drift", folder, str(count)], folder)
        for title, (peer, script) in tools.items():
            progress(f"drift: {title}, load {measure.load_average()}")
            slow = script != "treadle"
            found |= measure.interleaved({title: _case(peer, script, folder)}, 1 if slow else rounds, warm=0)
    ours = found["Treadle"]
    rows: list[list[object]] = []
    for title, costs in found.items():
        if isinstance(costs, str):
            rows.append([title, reason(costs), *[None] * 4])
            continue
        wall, cpu, peak = (measure.median(costs, key) for key in ("wall", "cpu", "peak"))
        ratio = None if isinstance(ours, str) else times(cpu, measure.median(ours, "cpu"))
        drifted = ", ".join(json.loads(costs[0].out.strip().splitlines()[-1]))
        rows.append([title, cpu, ratio, wall, peak, drifted or "none"])
    notes = (
        f"{count:,} + {count:,} rows in Parquet, 40 columns of numbers and 10 of categories, five of them "
        f"moved; the whole process, imports and reading included. Treadle: median of {rounds}; others once."
    )
    show("Drift", ["tool", "CPU-s", "ratio", "wall, s", "peak MB", "found drifted"], rows, notes)


def _case(peer: peers.Peer, script: str, folder: Path):
    def once() -> measure.Cost:
        if peer.python is None:
            raise measure.Failed(peer.problem)
        return measure.run([peer.python, peers.SCRIPTS / "drift.py", script, folder], folder)

    return once
