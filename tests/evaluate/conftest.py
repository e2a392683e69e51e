"""Rows as the toy project has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
from treadle.kernel.workspace import Workspace

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the toy project's rows to Parquet, with columns replaced or (None) left out."""

    def _write(rows: int = 400, name: str = "rows", **columns: object) -> Path:
        rng = np.random.default_rng(1)
        start = datetime(2026, 1, 1, 5, tzinfo=UTC)
        table: dict[str, object] = {
            "id": [f"r{i}" for i in range(rows)],
            "at": pa.array([start + timedelta(hours=2 * i) for i in range(rows)], pa.timestamp("us", "UTC")),
            "hour": rng.integers(0, 24, rows),
            "carrier": rng.choice(["AA", "UA", "B6"], rows),
            "late": rng.random(rows) < 0.3,
            **columns,
        }
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({key: value for key, value in table.items() if value is not None}), path)
        return path

    return _write


@pytest.fixture
def configure(workspace: Workspace) -> Callable[..., Workspace]:
    """The workspace with keys of ``[checks]`` replaced: ``configure(data={...}, groups={...})``."""

    def _configure(**tables: dict[str, object]) -> Workspace:
        raw = msgspec.to_builtins(workspace.config)
        for table, keys in tables.items():
            raw["checks"][table].update(keys)
        workspace.config = msgspec.convert(raw, type(workspace.config))
        return workspace

    return _configure
