"""Load tests that are followed and stopped: promptly, with nothing left behind, and never as evidence."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_parts import register, wait_for, write_model

from treadle.deploy import LoadTestJob, LoadTestJobs, LoadTests, NewLoadTest
from treadle.kernel.errors import Busy, InvalidInput, NotFound, from_body
from treadle.kernel.events import timeline
from treadle.kernel.lock import holder
from treadle.kernel.workspace import Workspace

LONG = NewLoadTest(version=1, rate=200.0, seconds=60.0, arrivals="constant")


@pytest.fixture
def toy(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A registered version with an objective; temporary files go where they are seen."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = project / "treadle.toml"
    file.write_text(file.read_text() + "[serve.objective]\navailability = 50\nrate = 100\n")
    with contextlib.closing(Workspace.open(project)) as workspace:
        register(workspace, write_model(tmp_path / "m1"), "run_1")
        yield workspace


def processes(folder: Path) -> list[str]:
    """What runs of load tests below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if "treadle.deploy.loadtest." in line and str(folder) in line:
                found.append(line)
    return found


def nothing_is_left(workspace: Workspace, folder: Path) -> bool:
    state = workspace.state
    left = [*folder.glob("treadle-load-*"), *state.glob("loadtest")]
    return not processes(folder) and not left and holder(state / "loadtest.lock") is None


def sending(jobs: LoadTestJobs, job: LoadTestJob) -> LoadTestJob:
    """The job once answers have come."""
    wait_for(lambda: jobs.get(job.id).progress.answered > 100, timeout=60)
    return jobs.get(job.id)


def test_a_load_test_says_how_far_it_is_and_ends_when_it_is_stopped(toy: Workspace, tmp_path: Path) -> None:
    jobs = LoadTestJobs(toy)
    job = jobs.start("toy", LONG, "eve")
    assert (job.state, job.progress.step) == ("running", "starting")
    now = sending(jobs, job).progress
    assert (now.step, now.due, now.failed) == ("sending", 200 * 62, 0)
    assert now.answered <= now.sent < now.due
    assert now.p99_ms is not None
    assert 0 < (now.left or 0) < 62
    assert len(processes(tmp_path)) == 2
    with pytest.raises(Busy, match="a load test of toy/1"):
        LoadTests(toy).run("toy", LONG, "ben")

    began = time.monotonic()
    ended = jobs.cancel(job.id, "eve")
    assert time.monotonic() - began < 10  # of 60 seconds and more
    assert nothing_is_left(toy, tmp_path)
    assert (ended.state, ended.error) == ("cancelled", None)
    found = ended.result
    assert found is not None
    assert (found.cancelled, found.verdicts, found.p99_ms) == ("eve stopped it", (), None)
    assert 100 < found.requests < 200 * 62
    # It is kept, and is no evidence.
    assert LoadTests(toy).list("toy") == [found]
    assert found.outcome == "inconclusive"
    event = timeline(toy.database, "model:toy")[-1]
    assert (event.kind, event.facts["outcome"]) == ("load_tested", "cancelled")
    assert "nothing was judged: eve stopped it" in event.message
    assert jobs.cancel(job.id, "ben").result == found  # stopping it again changes nothing
    with pytest.raises(NotFound, match="there is no load test 'loadtest_x'"):
        jobs.get("loadtest_x")


def test_one_that_nobody_waits_for_and_one_at_the_servers_end_are_stopped(
    toy: Workspace, tmp_path: Path
) -> None:
    jobs = LoadTestJobs(toy, patience=1)
    left = jobs.start("toy", LONG, "eve")
    wait_for(lambda: LoadTests(toy).list("toy"), timeout=60)
    assert LoadTests(toy).list("toy")[0].cancelled == "nobody has waited for it for 1 seconds"
    wait_for(lambda: jobs.get(left.id).state == "cancelled")

    patient = LoadTestJobs(toy)
    sending(patient, patient.start("toy", LONG, "eve"))
    patient.close()
    assert nothing_is_left(toy, tmp_path)
    assert LoadTests(toy).list("toy")[0].cancelled == "the server was shutting down"
    with pytest.raises(Busy, match="the server is shutting down"):
        patient.start("toy", LONG, "eve")


def test_what_can_not_be_tested_is_told_by_the_job(toy: Workspace) -> None:
    jobs = LoadTestJobs(toy)
    wrong = NewLoadTest(version=1, rate=5.0, seconds=1.0, rows=({"nothing": 1},))
    job = jobs.start("toy", wrong, "eve")
    assert job.asked.rows == ()
    wait_for(lambda: jobs.get(job.id).state == "failed")
    error = jobs.get(job.id).error
    assert error is not None
    assert isinstance(from_body(error), InvalidInput)
    assert LoadTests(toy).list("toy") == []


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.soak)])
def test_nothing_outlives_the_command_line(toy: Workspace, tmp_path: Path, how: signal.Signals) -> None:
    start = "import sys; sys.argv[0] = 'treadle'; from treadle.cli.main import main; main()"
    asked = ["deploy", "loadtest", "toy", "--version", "1", "--for", "60s"]
    command = [sys.executable, "-c", start, *asked]
    process = subprocess.Popen(
        command,
        cwd=toy.root,
        env={**os.environ, "TREADLE_ACTOR": "eve"},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    wait_for(lambda: len(processes(tmp_path)) == 2, timeout=60)
    os.killpg(process.pid, how)  # as a terminal does at Ctrl-C: the whole group
    _, said = process.communicate(timeout=60)
    wait_for(lambda: not processes(tmp_path))
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "nothing was judged, and nothing of it runs any more" in said
        assert [one.cancelled for one in LoadTests(toy).list("toy")] == ["eve stopped it"]
        assert nothing_is_left(toy, tmp_path)
