"""What the tests of retraining may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain.wheel import SECOND, Drivers, make
from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
from treadle.kernel.clock import ManualClock
from treadle.kernel.workspace import Workspace


@pytest.fixture(scope="session")
def drivers() -> Iterator[Drivers]:
    """Starts processes that drive workspaces."""
    started = Drivers()
    yield started
    started.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SECOND)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A project whose wheel turns in a second."""
    return make(tmp_path / "toy")


@pytest.fixture
def workspace(toy: Path, clock: ManualClock) -> Iterator[Workspace]:
    """Its workspace, on 1 March 2026."""
    opened = Workspace.open(toy, clock=clock)
    yield opened
    opened.close()
