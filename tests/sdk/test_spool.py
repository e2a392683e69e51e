from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

import treadle
from treadle.experiment import LogArtifact, LogMetrics, LogParams, NewRun, encode_line
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, Unavailable
from treadle.sdk import sync
from treadle.sdk.journal import Journal
from treadle.sdk.spool import RUNS

LOGGER = """
import os, sys, treadle
run = treadle.start_run(params={"depth": 5})
print(run.id, flush=True)
n = 0
while True:
    run.log(n=n, step=n)
    os.write(1, b"%d\\n" % n)
    n += 1
"""


def spooled(root: Path, run_id: str, clock: ManualClock, records, **given) -> Path:
    folder = root / RUNS / run_id
    folder.mkdir(parents=True)
    new = NewRun(**{"id": run_id, "name": "a", "started_at": clock.now()} | given)
    (folder / "run.json").write_bytes(msgspec.json.encode(new))
    (folder / "journal.jsonl").write_bytes(b"".join(map(encode_line, records)))
    return folder


def kill_while_logging(out: Path, **env: str) -> list[str]:
    with out.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", LOGGER], stdout=file, env={**os.environ, **env})
    try:
        deadline = time.monotonic() + 30
        while out.read_bytes().count(b"\n") < 300:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return out.read_text().split("\n")[:-1]


def test_a_killed_script_loses_nothing_that_log_returned_for(client, inside, tmp_path):
    run_id, *acknowledged = kill_while_logging(tmp_path / "out")
    with (inside / RUNS / run_id / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"type":"metr')  # what a kill within the write would leave
    assert sync(client, inside) == [run_id]
    run = client.experiments.get(run_id)
    assert run.status == "failed"
    points = client.experiments.history(run_id, "n")
    assert re.fullmatch(rf"killed: {len(points):,} records kept, last at \d\d:\d\d:\d\d UTC", run.message)
    assert f"{points[-1].at:%H:%M:%S}" in run.message
    assert run.provenance.packages > 10, "what gathers it outlives the script"
    assert run.params == {"depth": 5}
    assert len(points) >= len(acknowledged) >= 299
    assert [p.value for p in points] == [float(n) for n in range(len(points))]


def test_a_killed_job_loses_nothing_either(client, inside, tmp_path, clock):
    job = tmp_path / "job"
    job.mkdir()
    new = NewRun(id="run_job", name="a", started_at=clock.now(), source="job", params={"depth": 3})
    context = {"run": new, "data": {}, "features": [], "label": "late", "task": "binary"}
    (job / "job.json").write_bytes(msgspec.json.encode(context))
    run_id, *acknowledged = kill_while_logging(tmp_path / "out", TREADLE_JOB=str(job))
    assert run_id == "run_job"
    run = client.experiments.ingest(job)
    assert (run.status, run.params) == ("running", {"depth": 3})
    assert len(client.experiments.history(run_id, "n")) >= len(acknowledged)


def test_sync_twice_is_sync_once(client, inside, clock):
    folder = spooled(inside, "run_1", clock, [LogMetrics(1.0, {"a": 1.0}), LogArtifact("x/a.txt", 0)])
    (folder / "files" / "x").mkdir(parents=True)
    (folder / "files" / "x" / "a.txt").write_text("hello")
    assert sync(client, inside) == ["run_1"]
    run, calls = client.experiments.get("run_1"), client.calls
    assert sync(client, inside) == []
    assert client.calls == calls
    (folder / "synced").unlink()
    assert sync(client, inside) == ["run_1"]
    assert client.experiments.get("run_1") == run
    assert [(a.path, a.size) for a in client.experiments.artifacts("run_1")] == [("x/a.txt", 5)]
    assert len(client.experiments.history("run_1", "a")) == 1


def test_a_sync_that_breaks_off_goes_on_where_it_stopped(client, inside, clock, monkeypatch):
    monkeypatch.setattr("treadle.sdk.spool._BATCH", 10)
    spooled(inside, "run_1", clock, [LogMetrics(float(n), {"a": float(n)}) for n in range(50)])
    append = client.append_journal

    def breaking(run_id, batch):
        run = append(run_id, batch)
        if batch.first == 20:
            raise Unavailable("the answer broke off")
        return run

    monkeypatch.setattr(client, "append_journal", breaking)
    with pytest.raises(Unavailable):
        sync(client, inside)
    assert client.experiments.get("run_1").applied == 30
    assert sync(client, inside) == ["run_1"]
    assert [p.value for p in client.experiments.history("run_1", "a")] == [float(n) for n in range(50)]


def test_a_live_run_is_sent_as_far_as_it_goes_and_not_ended(client, inside, clock):
    folder = spooled(inside, "run_1", clock, [LogMetrics(1.0, {"a": 1.0})])
    journal = Journal(folder / "journal.jsonl")
    assert sync(client, inside) == []
    assert client.experiments.get("run_1").status == "running"
    assert client.experiments.get("run_1").applied == 1
    journal.append(LogMetrics(2.0, {"a": 2.0}))
    assert sync(client, inside) == []
    assert client.experiments.get("run_1").applied == 2
    journal.close()
    assert sync(client, inside) == ["run_1"]
    assert client.experiments.get("run_1").status == "failed"


def test_a_refused_run_does_not_hold_up_the_others(client, inside, clock):
    spooled(inside, "run_1", clock, [LogParams({"p": 2})], params={"p": 1})
    spooled(inside, "run_2", clock, [LogMetrics(1.0, {"a": 1.0})])
    (inside / RUNS / "run_3").mkdir()
    with pytest.raises(Conflict, match=r"1 refused, 1 sent; parameter 'p' is 1 and can't become 2"):
        sync(client, inside)
    assert client.experiments.get("run_2").status == "failed"
    assert client.experiments.get("run_1").applied == 0


def test_nothing_to_sync(client, inside):
    assert sync(client, inside) == []
    assert treadle.sync is sync


SYNCER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import LocalClient
from treadle.kernel import database
from treadle.kernel.workspace import Workspace
from treadle.sdk import sync
database._migrate = lambda db, root: None
root = Path(sys.argv[2])
workspace = Workspace.open(root)
client = LocalClient(workspace)
print("ready", flush=True)
sys.stdin.readline()
print(len(sync(client, root)), flush=True)
workspace.close()
"""


def test_two_processes_that_sync_the_same_runs_at_once(client, inside, clock, monkeypatch):
    for run in range(10):
        records = [LogMetrics(float(n), {"a": float(n)}) for n in range(700)]
        spooled(inside, f"run_{run}", clock, [*records, LogArtifact("f.txt", 0)])
        (inside / RUNS / f"run_{run}" / "files").mkdir()
        (inside / RUNS / f"run_{run}" / "files" / "f.txt").write_text(f"file {run}")
    command = [sys.executable, "-c", SYNCER, str(Path(__file__).parent), str(inside)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    outcomes = []
    for process in both:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err.decode()
        outcomes.append(int(out))
    assert sum(outcomes) >= 10
    for run in range(10):
        points = client.experiments.history(f"run_{run}", "a")
        assert [p.value for p in points] == [float(n) for n in range(700)]
        kept = client.experiments.get(f"run_{run}")
        assert (kept.status, kept.applied) == ("failed", 702)
        assert len(client.experiments.artifacts(f"run_{run}")) == 1
