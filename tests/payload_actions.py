"""Another server's requests and responses, logged while the process is killed."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import conftest
from treadle.kernel.clock import ManualClock
from treadle.kernel.workspace import Workspace
from treadle.monitor import InferenceEvent, Payloads, PredictionLog

START = datetime(2026, 1, 1, tzinfo=UTC)
_MANY = 3


def prepare(root: Path) -> None:
    """A project with a version in production since the day before."""
    root.mkdir()
    (root / "treadle.toml").write_text(conftest.PROJECT)
    spec = importlib.util.spec_from_file_location(
        "monitor_world", Path(__file__).parent / "monitor" / "conftest.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opened = Workspace.open(root, ManualClock(START - timedelta(days=1)))
    world = module.World(opened)
    world.profile = lambda **_: b"none"  # nobody looks at it
    world.register()
    opened.close()


def _event(number: int, side: Any) -> InferenceEvent:
    hour = {"name": "hour", "shape": [1], "datatype": "FP64", "data": [6.0]}
    carrier = {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]}
    output = {"name": "output-0", "shape": [1], "datatype": "FP64", "data": [0.25]}
    told = {"inputs": [hour, carrier]} if side == "request" else {"outputs": [output]}
    return InferenceEvent(id=f"p{number}", side=side, body=json.dumps(told).encode(), at=START)


def log(root: Path) -> None:
    """Sends what wasn't taken yet, and looks; notes what was taken, as the senders would know it."""
    opened = Workspace.open(root, ManualClock(START))
    payloads = Payloads(opened)
    for number in range(_MANY):
        for side in ("request", "response"):
            note = root / f"{number}-{side}"
            if not note.exists():
                payloads.take("toy", _event(number, side))
                note.touch()
        if number % 2:
            payloads.settle()
    payloads.settle()
    opened.close()


def check_log(root: Path) -> None:
    """After a look by the next process, every pair of which both sides were taken is there, once."""
    opened = Workspace.open(root, ManualClock(START))
    Payloads(opened).settle()
    wanted = {
        f"p{number}"
        for number in range(_MANY)
        if all((root / f"{number}-{side}").exists() for side in ("request", "response"))
    }
    found = logged(opened)
    assert len(found) == len(set(found)), "a prediction was logged twice"
    assert wanted <= set(found), "a prediction was lost"
    assert len(found) <= len(wanted) + 1, "only the last may be there without its sender's knowing"
    opened.close()


def done_log(root: Path) -> None:
    """All are there, and none twice."""
    opened = Workspace.open(root, ManualClock(START))
    assert sorted(logged(opened)) == [f"p{number}" for number in range(_MANY)]
    opened.close()


def logged(opened: Workspace) -> list[str]:
    """The predictions as they lie, however often one is there."""
    source = PredictionLog(opened)._table("predictions", "toy").read(START.date(), START.date())
    if source is None:
        return []
    return [row[0] for row in opened.engine.rows("SELECT prediction_id FROM rows_", (), {"rows_": source})]
