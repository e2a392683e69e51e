"""A client whose other end is the real service, and one whose other end is dead."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from treadle.client.client import TrainingRows
from treadle.data import DataInput, SliceSpec
from treadle.experiment import Experiments, JournalBatch, NewRun, Run
from treadle.kernel.errors import Unavailable
from treadle.kernel.workspace import Workspace


class LocalClient:
    """The part of the client that the SDK uses, straight into the services; can be unplugged."""

    def __init__(self, workspace: Workspace) -> None:
        self.experiments = Experiments(workspace)
        self._blobs = workspace.blobs
        self.plugged = True
        self.calls = 0
        self.closed = 0

    def _reach(self) -> None:
        self.calls += 1
        if not self.plugged:
            raise Unavailable("no answer: unplugged", where="here")

    def create_run(self, new: NewRun) -> Run:
        self._reach()
        return self.experiments.create(new)

    def append_journal(self, run_id: str, batch: JournalBatch) -> Run:
        self._reach()
        return self.experiments.apply(run_id, batch)

    def put_blob(self, path: Path) -> str:
        self._reach()
        return self._blobs.put_file(path)

    def training_rows(self, name: str, folder: Path | None = None) -> TrainingRows:
        self._reach()
        spec = SliceSpec(dataset=name, version="d" * 64)
        rows = DataInput(role="train", spec=spec, number=3, digest="e" * 64, rows=9)
        return TrainingRows((folder or Path()) / f"{name}.parquet", rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with the test standing in it, no server named and no job around."""
    monkeypatch.chdir(project)
    monkeypatch.delenv("TREADLE_URL", raising=False)
    monkeypatch.delenv("TREADLE_JOB", raising=False)
    monkeypatch.delenv("TREADLE_RUN", raising=False)
    monkeypatch.setattr("treadle.sdk.datasets._pending", {})
    return project


@pytest.fixture
def client(inside: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> LocalClient:
    """What the SDK's ``connect`` gives."""
    local = LocalClient(workspace)
    monkeypatch.setattr("treadle.client.connect", lambda url=None, root=None: local)
    return local
