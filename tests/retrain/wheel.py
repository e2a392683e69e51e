"""Projects whose wheel turns in a second, and processes that turn it and die."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from projects import START, TRAIN, fill, rows
from treadle.kernel.clock import Clock
from treadle.kernel.workspace import Workspace, replays
from treadle.retrain import Cycle, Cycles, NewCycle, Trigger
from treadle.retrain.stages import perform

PROJECT = """
[project]
name = "toy"

[data.rows]
path = "data/rows.parquet"
time = "at"
key = "id"
label = "late"
label_time = "known_at"

[train]
command = "python train.py"
data = "rows"
features = ["hour", "carrier"]
window = "30d"
holdout = "14d"
replicas = 2
timeout = "60s"
grace = "2s"
params = { depth = 3 }

[checks.data]
min_rows = 100
max_null = { hour = 0.1 }

[checks.performance]
metric = "roc_auc"
bound = 0.6

[checks.groups]
margin = 0.05
min_rows = 50

[serve]
port = 0

[monitor]
every = "7d"
performance_window = "14d"
min_rows = 100

[retrain]
on = ["performance"]
cooldown = "14d"
"""

# Writes down that it was begun, and waits for as long as somebody holds it back.
SCRIPT = (
    """
import os, pathlib, time
folder = pathlib.Path(os.environ["TREADLE_JOB"])
root = folder.parents[2]
with (root / "trained.txt").open("a") as file:
    file.write(folder.name + "\\n")
while (root / "hold").exists():
    time.sleep(0.01)
"""
    + TRAIN
)

BY_HAND = Trigger(kind="manual", actor="ada", reason="to see")
FIRST, SECOND = datetime(2026, 1, 20, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def turned(first: int, last: int, days: int = 120, per_day: int = 120) -> pa.Table:
    """Rows whose pattern is reversed from one day to another, and as before again afterwards."""
    usual, reversed_ = rows(days, per_day), rows(days, per_day, turn=0)
    day = pc.floor(pc.divide(pc.cast(pc.subtract(usual["at"], pa.scalar(START)), "int64"), 86_400e6))
    within = pc.and_(pc.greater_equal(day, first), pc.less(day, last))
    late = pc.if_else(within, reversed_["late"], usual["late"])
    return usual.set_column(usual.schema.get_field_index("late"), "late", late)


def make(folder: Path, table: pa.Table | None = None, metadata: str | None = None, **changes: str) -> Path:
    """A project; ``changes`` replace lines of its ``treadle.toml`` by their key."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = PROJECT.splitlines()
    for key, value in changes.items():
        at = [i for i, line in enumerate(lines) if line.split(" = ")[0] == key]
        assert len(at) == 1, key
        lines[at[0]] = f"{key} = {value}"
    if metadata is not None:
        lines += ["[store]", f'metadata = "{metadata}"']
    (folder / "treadle.toml").write_text("\n".join(lines) + "\n")
    fill(folder, table if table is not None else rows(120, 60))
    (folder / "train.py").write_text(SCRIPT)
    return folder


def set_time(workspace: Workspace, at: datetime) -> None:
    """Has every process see the same time in this workspace."""
    with workspace.database.write() as connection:
        connection.execute(replays.delete())
        connection.execute(replays.insert().values(id=1, since=at, at=at))


def turn(workspace: Workspace, **asked: Any) -> Cycle:
    """A whole cycle in this process, stage after stage."""
    cycle = Cycles(workspace).create(NewCycle(trigger=BY_HAND, **asked))
    for stage in cycle.stages:
        if not perform(workspace, cycle.id, stage.name):
            break
    return Cycles(workspace).get(cycle.id)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Waits until something has come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def opened(root: Path, clock: Clock | None = None) -> Iterator[Workspace]:
    workspace = Workspace.open(root, clock=clock)
    try:
        yield workspace
    finally:
        workspace.close()


class Kill(NamedTuple):
    """Where a process dies: before or after the n-th call of a function."""

    when: str
    name: str
    number: int = 1

    @property
    def label(self) -> str:
        return f"{self.when}-{self.name.removeprefix('treadle.')}-{self.number}"


class Drivers:
    """Starts processes that drive workspaces, one at a time; see ``driver.py``."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("driver.py"))]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(
        self, root: Path, *arguments: str, kill: Kill | None = None, do: str = "run"
    ) -> tuple[int, Callable[[], int]]:
        """Starts one; returns its number, and what waits for its end and returns how it ended."""
        assert self._server.stdin
        assert self._server.stdout
        request = {
            "root": str(root),
            "do": do,
            "arguments": arguments,
            "kills": [kill] if kill else [],
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        stdout = self._server.stdout
        return int(stdout.readline()), lambda: int(stdout.readline())

    def __call__(self, root: Path, *arguments: str, kill: Kill | None = None, do: str = "run") -> int:
        """Runs one to its end; returns its exit code, or minus the signal."""
        return self.start(root, *arguments, kill=kill, do=do)[1]()

    def close(self) -> None:
        self._server.communicate()
