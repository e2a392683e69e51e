"""Where a run comes from is kept without a line of user code, also of a script that was killed at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import treadle
from treadle.experiment import JournalReader, LogProvenance
from treadle.kernel.errors import NotFound
from treadle.sdk import gather, sync
from treadle.sdk.origin import default_name, in_notebook, notebook, told_at_once, trigger
from treadle.sdk.spool import RUNS


def run_git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(inside: Path) -> Path:
    """The project, committed, with a change that isn't."""
    run_git(inside, "init", "-q", "-b", "trunk")
    run_git(inside, "add", "treadle.toml")
    run_git(inside, "commit", "-q", "-m", "first")
    run_git(inside, "remote", "add", "origin", "https://me:hunter2@example.com/team/toy.git")
    (inside / "helper.py").write_text("value = 1\n")
    return inside


SCRIPT = """
import sys, treadle
run = treadle.start_run({given})
run.log(loss=1.0)
print(run.id, flush=True)
{then}
"""


def script(root: Path, given: str = "", then: str = "run.finish()", *more: str, **env: str) -> str:
    (root / "train.py").write_text(SCRIPT.format(given=given, then=then))
    done = subprocess.run(
        [sys.executable, "train.py", *more], cwd=root, env={**os.environ, **env}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_run_tells_where_it_comes_from(client, workspace, repository):
    parent = treadle.start_run()
    given = f"parent={parent.id!r}"
    run_id = script(
        repository, given, "run.finish()", "--api-key", "hunter2", TREADLE_URL="http://127.0.0.1:9"
    )
    parent.finish()
    assert sync(client, repository) == [run_id]
    run = client.experiments.get(run_id)
    told = run.provenance
    assert told.command == (sys.executable, "train.py", "--api-key", "***")
    assert (told.branch, told.dirty, told.folder) == ("trunk", False, "")
    assert told.commit == run.tags["commit"] == run_git(repository, "rev-parse", "HEAD")
    assert told.repository == "https://example.com/team/toy.git"
    assert told.host == run.tags["host"] == socket.gethostname()
    assert told.python.startswith("CPython 3.")
    assert told.hardware.cores >= 1
    assert told.parent == parent.id
    assert run.user
    assert told.problems == ()
    files = {a.path: workspace.blobs.get(a.digest) for a in client.experiments.artifacts(run_id)}
    assert b"+value = 1" in files[told.patch]
    assert b"msgspec==" in files[told.lock]
    assert told.packages == files[told.lock].count(b"\n")
    assert not [path for path, data in files.items() if b"hunter2" in data]
    assert client.experiments.list(limit=1)[0].provenance is None, "lists don't carry it"
    same = [a.digest for run in client.experiments.list() for a in client.experiments.artifacts(run.id)]
    assert len(set(same)) < len(same), "the same lock is kept once"


def test_a_script_that_is_killed_at_once_has_it_too(client, repository):
    (repository / "train.py").write_text(SCRIPT.format(given="", then="sys.stdin.read()"))
    process = subprocess.Popen(
        [sys.executable, "train.py"], cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert sync(client, repository) == [run_id]
    run = client.experiments.get(run_id)
    assert run.message.startswith("killed: 1 record kept, last at ")
    assert (run.provenance.branch, run.provenance.patch) == ("trunk", gather.PATCH)
    assert run.provenance.packages > 5
    assert run.tags["commit"] == run.provenance.commit


def test_a_git_that_hangs_holds_up_nothing(client, repository, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\nexec sleep 600\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("treadle.sdk.sender.GATHER_PATIENCE", 0.2)
    before = time.monotonic()
    run = treadle.start_run()
    assert time.monotonic() - before < 2
    run.log(a=1.0)
    before = time.monotonic()
    run.finish()
    assert time.monotonic() - before < 3
    assert client.experiments.get(run.id).status == "finished"
    assert not (repository / RUNS / run.id / "synced").exists(), "the rest is still to be sent"
    (folder / "git").unlink()
    for process in gather._left:
        process.kill()
        process.wait()
    assert sync(client, repository) == [run.id]


def test_what_goes_wrong_is_a_reason(client, repository, monkeypatch):
    monkeypatch.setattr(gather.packages, "lock", lambda: 1 / 0)
    journal = gather.Journal(repository / "run" / "writers" / "origin.jsonl")
    order = gather.Order(
        folder=str(repository / "run"), cwd=str(repository), code=True, journal=journal.descriptor
    )
    gather.gather(order)
    records = JournalReader(repository / "run" / "writers" / "origin.jsonl").read()
    told = [record.provenance for record in records if isinstance(record, LogProvenance)]
    assert [one.problems for one in told] == [(), ("environment: ZeroDivisionError: division by zero",), ()]
    assert told[0].commit
    assert told[2].hardware is not None


def test_a_program_that_is_not_python_gathers_in_a_thread(client, repository, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with treadle.start_run() as run:
        run.log(a=1.0)
    assert client.experiments.get(run.id).provenance.branch == "trunk"


def test_tags_that_the_script_gave_itself_stay(client, repository):
    with treadle.start_run(tags={"commit": "mine"}) as run:
        pass
    kept = client.experiments.get(run.id)
    assert (kept.tags["commit"], kept.tags["dirty"]) == ("mine", "false")
    assert kept.provenance.commit != "mine"


def test_nothing_outside_a_repository(client, inside):
    with treadle.start_run() as run:
        pass
    told = client.experiments.get(run.id).provenance
    assert (told.commit, told.patch, told.folder, told.problems) == (None, None, str(inside), ())


def test_a_notebook_has_a_name_and_no_command(monkeypatch):
    kernel = SimpleNamespace(IPKernelApp=SimpleNamespace(initialized=lambda: True))
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", kernel)
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/explore.ipynb")
    assert (notebook(), default_name(), told_at_once(None).command) == ("explore.ipynb", "explore", ())
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert default_name() == "notebook"


def test_whoever_only_imports_a_kernels_code_is_no_notebook():
    pytest.importorskip("ipykernel.kernelapp")
    assert not in_notebook()


def test_a_batch_system_s_job_is_the_trigger():
    assert trigger({"SLURM_JOB_ID": "4711"}) == "Slurm job 4711"
    assert trigger({}) is None


def test_no_environment_variable_is_recorded(client, inside, monkeypatch):
    monkeypatch.setenv("MY_PRIVATE_THING", "hunter2hunter2")
    with treadle.start_run() as run:
        pass
    for path in (inside / RUNS / run.id).rglob("*"):
        assert path.is_dir() or b"hunter2hunter2" not in path.read_bytes()
    with pytest.raises(NotFound):
        client.experiments.get("run_none")
