"""The window of a day: what it costs with more rows, columns, segments and models."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, show

M = 1_000_000
CASES = [
    (10 * M, 10, 10, 1, 1),
    (10 * M, 50, 10, 1, 1),
    (2 * M, 200, 10, 1, 1),
    *((M, 50, segments, 1, 1) for segments in (0, 1, 10, 100)),
    *((100_000, 10, 10, models, 1) for models in (1, 10, 100)),
    *((rows, 10, 10, 1, days) for rows in (100_000, M) for days in (1, 28)),
]
"""Predictions a day and model, columns, segments, models, days that performance looks back over."""


def run(quick: bool) -> None:
    """Prints the table."""
    rows: list[list[object]] = []
    for rows_, columns, segments, models, days in CASES:
        many = rows_ // 1000 if quick else rows_
        case = [str(many), str(columns), str(segments), str(models), str(days)]
        progress(f"window: {' '.join(case)}, load {measure.load_average()}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "project"
            folder.mkdir()
            measure.run([peers.PLATFORM, peers.SCRIPTS / "window.py", "make", folder, *case], Path(name))
            cost = measure.run(
                [peers.PLATFORM, peers.SCRIPTS / "window.py", "look", folder, case[-1]], Path(name)
            )
            found = json.loads(cost.out.strip().splitlines()[-1])
            shutil.rmtree(folder)
        size = f"{many:,} x {columns}"
        rows.append(
            [size, segments, models, days, found["cpu"], found["cpu"] / models, found["wall"], found["peak"]]
        )
    show(
        "A day's window",
        [
            "predictions x columns",
            "segments",
            "models",
            "days",
            "CPU-s",
            "CPU-s a model",
            "wall, s",
            "peak MB",
        ],
        rows,
        "A fifth of the columns are texts; a classifier with labels for all of the day; one segmented input.",
    )
