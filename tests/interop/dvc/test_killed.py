"""Killed anywhere, or out of space: what is there is whole, and running again completes it."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dvc_repositories import dvc
from treadle.client import Client
from treadle.interop.dvc import DvcImporter, Repository, export_dvc
from treadle.interop.dvc.exporting import DvcExport
from treadle.kernel.errors import StorageFull

SCRIPT = """
import os, signal, sys
from pathlib import Path
from treadle.client import Client
from treadle.interop.dvc import DvcImporter, Repository, export_dvc
left = int(sys.argv[1])
def progress(_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
with Client.in_process(Path(sys.argv[3])) as client:
    if sys.argv[2] == "take":
        DvcImporter(Repository(Path(sys.argv[4])), client, progress).run(history=True)
    else:
        export_dvc(client, "data-train", Path(sys.argv[4]), progress=progress)
"""


def killed_at(step: int, what: str, home: Path, where: Path) -> bool:
    """Does something in a process of its own that is killed at its n-th step; whether it came so far."""
    command = [sys.executable, "-c", SCRIPT, str(step), what, str(home), str(where)]
    return subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_an_import_that_is_killed_goes_on(repo: Path, home: Path) -> None:
    kills = sum(killed_at(step, "take", home, repo) for step in (1, 3, 4))
    assert kills >= 2
    with Client.in_process(home) as client:
        report = DvcImporter(Repository(repo), client).run(history=True)
        assert not report.troubles
        assert {one.dataset: one.added + one.before for one in report.outputs} == {
            "copied": 1, "data-train": 2, "tool": 1,
        }  # fmt: skip
        assert len(client.data_log("data-train")) == 2
        for name in ("copied", "data-train@v1", "data-train@v2", "tool"):
            assert [b"".join(pieces) for _, pieces in client.data_archive(name)]


def test_an_export_that_is_killed_goes_on(repo: Path, home: Path, tmp_path: Path) -> None:
    with Client.in_process(home) as client:
        DvcImporter(Repository(repo), client).run(only=["data/train"])
    out = tmp_path / "out"

    for step in (1, 3):
        assert killed_at(step, "give", home, out)
        assert not (out / "data" / "train.dvc").exists()
    with Client.in_process(home) as client:
        made: DvcExport = export_dvc(client, "data-train", out)
    assert made.written == 1  # the list of files; the files are there
    dvc(out, "checkout", "-q")
    assert "up to date" in dvc(out, "status")


def test_a_full_disk_leaves_the_pointer_as_it_was(
    repo: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    DvcImporter(Repository(repo), client).run(history=True, only=["data/train"])
    shutil.rmtree(repo / ".dvc" / "cache")
    before = (repo / "data" / "train.dvc").read_bytes()

    def full(self: Path, mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "chmod", full)
    with pytest.raises(StorageFull):
        export_dvc(client, "data-train@v1", repo)
    monkeypatch.undo()
    assert (repo / "data" / "train.dvc").read_bytes() == before
    assert export_dvc(client, "data-train@v1", repo).files == 3
