"""What every test may ask for: a project folder and an open workspace, on each metadata store."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from treadle.kernel.clock import ManualClock
from treadle.kernel.ids import SequentialIds
from treadle.kernel.workspace import Workspace

settings.register_profile("busy", settings(), deadline=None)  # others may run beside it
settings.load_profile("busy")

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
window = "60d"
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
margin = 0.02

[checks.groups]
by = ["carrier"]
margin = 0.02
min_rows = 50
"""


def pytest_configure() -> None:
    """Lets Ctrl-C interrupt also where whoever started the tests in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Doesn't look for garbage among the tests while they are collected, nor while they run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # else libraries that watch their objects' end say at exit that some have leaked


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a ``treadle.toml``."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "treadle.toml").write_text(PROJECT)
    return folder


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon of 1 March 2026."""
    return ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture
def workspace(project: Path, clock: ManualClock) -> Iterator[Workspace]:
    """The project's workspace, open on SQLite and a folder."""
    opened = Workspace.open(project, clock=clock, ids=SequentialIds())
    yield opened
    opened.close()
