"""Makes the rows that gate and drift are measured on. Usage: ``make_rows.py gate|drift FOLDER ROWS``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def gate(folder: Path, rows: int) -> None:
    """A label, two models' probabilities that agree mostly, and ten groups of unequal size."""
    rng = np.random.default_rng(1)
    skill = rng.normal(size=rows)
    label = rng.random(rows) < 1 / (1 + np.exp(-skill))
    production = 1 / (1 + np.exp(-(skill + rng.normal(0, 0.7, rows))))
    candidate = 1 / (1 + np.exp(-(0.7 * skill + 0.3 * np.log(production / (1 - production)))))
    weights = np.arange(1, 11) / 55
    np.savez(
        folder / "gate.npz",
        label=label.astype(np.int8),
        candidate=candidate,
        production=production,
        group=rng.choice([f"g{i:02d}" for i in range(10)], rows, p=weights),
    )


def drift(folder: Path, rows: int) -> None:
    """Two files of 50 columns, 40 of numbers and 10 of categories; every tenth column has moved."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(2)
    for name, moved in (("reference", 0.0), ("current", 0.5)):
        columns = {}
        for i in range(40):
            columns[f"n{i:02d}"] = rng.normal(moved if i % 10 == 0 else 0, 1, rows) + i
        for i in range(10):
            shares = np.arange(1, 9) + (moved * 8 if i == 0 else 0) * (np.arange(8) < 2)
            columns[f"c{i:02d}"] = rng.choice([f"v{k}" for k in range(8)], rows, p=shares / shares.sum())
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


globals()[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
