"""A project whose training script writes its run's journal by hand, in any way that a test needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from treadle.data.types import DataInput, SliceSpec
from treadle.kernel.workspace import Workspace
from treadle.train import Trainer, Training

MINI = """
import json, os, pathlib, time

folder = pathlib.Path(os.environ["TREADLE_JOB"])
context = json.loads((folder / "job.json").read_text())


def write(**record):
    with (folder / "journal.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\\n")


def log(step, **values):
    write(type="metrics", at=time.time(), values=values, step=step)


def model(content=b"onnx"):
    path = folder / "files" / "model" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    write(type="artifact", path="model/model.onnx", size=len(content))


def finish():
    write(type="finish", at=time.time(), status="finished")


def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.01)
"""

GOOD = """
import mini
for step in range(3):
    mini.log(step, loss=1 / (1 + step), seed=mini.context["run"]["seed"])
mini.model()
mini.finish()
"""


@pytest.fixture
def script(project: Path) -> Callable[[str], None]:
    """Writes the project's training script; a good one is there from the start."""

    def write(text: str) -> None:
        (project / "train.py").write_text(text)

    (project / "mini.py").write_text(MINI)
    write(GOOD)
    return write


@pytest.fixture
def rows(project: Path) -> DataInput:
    """Rows to train on; the scripts of these tests don't look at them."""
    path = project / "data" / "rows.parquet"
    path.parent.mkdir()
    path.write_bytes(b"rows")
    return DataInput(
        role="train", spec=SliceSpec(dataset="rows", version="d" * 64), number=1, digest="e" * 64, rows=9
    )


@pytest.fixture
def trainer(workspace: Workspace, script: Any, rows: DataInput) -> Trainer:
    return Trainer(workspace)


@pytest.fixture
def train(trainer: Trainer, rows: DataInput, project: Path) -> Callable[..., Training]:
    """Trains with the script as it is."""

    def call(run: str = "run_1", replica: int = 0, **options: Any) -> Training:
        recipe = options.pop("recipe", None) or trainer.recipe(rows)
        return trainer.train(recipe, project / "data" / "rows.parquet", replica, run, **options)

    return call


def _left(tmp_path: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = (*process.cmdline(), process.environ().get("TREADLE_JOB", ""))
            if process.status() != psutil.STATUS_ZOMBIE and any(str(tmp_path) in word for word in words):
                found.append(process)
    return found


@pytest.fixture(autouse=True)
def _nothing_is_left_running(tmp_path: Path) -> Iterator[None]:
    """A supervisor that has told how its job ended may still be on its way out."""
    yield
    end = time.monotonic() + 5
    while (left := _left(tmp_path)) and time.monotonic() < end:
        time.sleep(0.02)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    assert not left
