"""What the log doesn't keep: inputs that are hashed or left out, and days that are over."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import StorageError
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, PredictionLog

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def opened(project: Path, monitor: str) -> Workspace:
    config = project / "treadle.toml"
    config.write_text(config.read_text() + monitor)
    return Workspace.open(project, clock=ManualClock(START - timedelta(days=1)))


@pytest.fixture
def hashed(project: Path, world: Any) -> Iterator[Any]:
    """A world whose log has the carrier hashed and nothing of the hour."""
    keep = '\n[monitor.columns.carrier]\nkeep = "hash"\n[monitor.columns.hour]\nkeep = "nothing"\n'
    workspace = opened(project, keep)
    made = type(world)(workspace)
    made.register()
    yield made
    workspace.close()


def kept(world: Any) -> dict[str, Any]:
    found = PredictionLog(world.workspace).scan(
        "toy", "SELECT * FROM log ORDER BY prediction_id", since=START, until=START + 9 * WEEK
    )
    return {name: np.ma.asarray(column).tolist() for name, column in found.items()}


def test_a_hashed_text_is_told_from_others_and_itself_in_no_column(hashed: Any) -> None:
    log = PredictionLog(hashed.workspace)
    predictions, _ = hashed.traffic(0, 300)
    carriers = [*predictions.inputs["carrier"][:-2], "Very Secret Air", None]
    log.append(
        "toy", msgspec.structs.replace(predictions, inputs={**predictions.inputs, "carrier": carriers})
    )
    found = kept(hashed)
    assert set(found["input_hour"]) == {None}
    codes = dict(zip(found["prediction_id"], found["input_carrier"], strict=True))
    pairs = {(carrier, codes[key]) for key, carrier in zip(predictions.ids, carriers, strict=True)}
    assert len(pairs) == len({carrier for carrier, _ in pairs}) == len({code for _, code in pairs}) == 6
    assert (None, None) in pairs
    assert all(len(code) == 32 for _, code in pairs if code)
    assert "Very Secret Air" not in {value for column in found.values() for value in column}
    key = hashed.workspace.root / ".treadle" / "log.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = PredictionLog(hashed.workspace).concealment
    assert again.hash("Very Secret Air") in {code for _, code in pairs}


def test_a_hashed_input_is_watched_and_one_that_is_left_out_is_not(hashed: Any) -> None:
    log = PredictionLog(hashed.workspace)
    for week, share in enumerate((0.0, 0.4)):
        predictions, _ = hashed.traffic(7 * week, 200, days=7)
        carriers = ["WN" if i < share * 1400 else c for i, c in enumerate(predictions.inputs["carrier"])]
        inputs = {**predictions.inputs, "carrier": carriers}
        log.append("toy", msgspec.structs.replace(predictions, inputs=inputs))
    found = [r for r in Monitors(hashed.workspace).evaluate("toy", START + 2 * WEEK) if r.kind == "input"]
    assert [(r.subject, r.state) for r in found] == [("carrier", "ok"), ("carrier", "alert")]
    assert log.concealment.hash("WN") in found[1].sentence
    assert "WN" not in found[1].sentence.replace(log.concealment.hash("WN"), "")


def test_a_damaged_key_is_told(hashed: Any) -> None:
    (hashed.workspace.root / ".treadle" / "log.key").write_bytes(b"short")
    predictions, _ = hashed.traffic(0, 5)
    with pytest.raises(StorageError, match="the key of the log's hashes is damaged"):
        PredictionLog(hashed.workspace).append("toy", predictions)


def test_days_that_are_over_are_deleted_and_the_timeline_says_so(project: Path, world: Any) -> None:
    workspace = opened(project, '\n[monitor]\nkeep_log = "42d"\n')
    here = type(world)(workspace)
    here.register()
    log, monitors = PredictionLog(workspace), Monitors(workspace)
    for week in range(8):
        predictions, labels = here.traffic(7 * week, 50, days=7)
        log.append("toy", predictions)
        log.append_labels("toy", labels)
    seen = monitors.evaluate("toy", START + 6 * WEEK)
    assert log.first_day("toy") == START.date()
    monitors.evaluate("toy", START + 8 * WEEK)
    monitors.evaluate("toy", START + 8 * WEEK)
    assert log.first_day("toy") == date(2026, 1, 15)
    assert log.count("toy") == 6 * 350
    told = [event for event in timeline(workspace.database, "model:toy") if event.kind == "log_expired"]
    assert [(event.facts["first"], event.facts["last"]) for event in told] == [
        ("2026-01-01", "2026-01-14")
    ] * 2
    assert {event.message.split()[1] for event in told} == {"predictions", "labels"}
    assert {event.facts["rows"] for event in told if " predictions " in event.message} == {"700"}
    assert monitors.windows("toy")[: len(seen)] == sorted(
        seen, key=lambda r: (r.until, r.kind, r.subject, r.segment, r.statistic)
    )
    workspace.close()
