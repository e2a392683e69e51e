"""Data as pandas before version 3 writes it: times with a zone, in nanoseconds."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from projects import START, rows
from retrain.test_replay import serving
from retrain.wheel import make, opened, turn
from treadle.monitor import Monitors
from treadle.retrain import Loop, Replays, Worker

DAY = timedelta(days=1)


def in_nanoseconds(table: pa.Table, zone: str) -> pa.Table:
    kind = pa.timestamp("ns", zone)
    return table.cast(
        pa.schema([field.with_type(kind) if "_at" in f"_{field.name}" else field for field in table.schema])
    )


@pytest.mark.parametrize("zone", ["America/New_York", pytest.param("UTC", marks=pytest.mark.soak)])
def test_the_wheel_turns_and_a_replay_hands_in_labels(tmp_path: Path, zone: str) -> None:
    """Windows, clusters by day, requests, labels and monitors: all that reads times."""
    root = make(tmp_path / "past", in_nanoseconds(rows(120, 60), zone), metric='"roc_auc"\ncluster = "at"')
    with opened(root) as workspace:
        worker = Worker(workspace, "a test")
        replays = Replays(workspace, Loop(workspace, worker))
        began = START + 50 * DAY
        replays.start(began)
        assert turn(workspace).state == "promoted"
        with serving(workspace):
            step = replays.step(began + 7 * DAY)
        worker.close()
        assert (step.failed, step.rows) == (0, 7 * 60)
        assert step.rows - 30 < step.labels < step.rows
        kinds = {window.kind for window in Monitors(workspace).windows("toy")}
        assert {"input", "prediction", "performance", "estimated"} <= kinds
