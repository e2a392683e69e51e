from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from treadle.experiment import Experiments, JournalBatch, LogArtifact, LogMetrics, LogParams, LogTags, NewRun
from treadle.experiment.folder import encode_line
from treadle.experiment.types import Finish, Record, Run
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace


@pytest.fixture
def runs(workspace: Workspace) -> Experiments:
    return Experiments(workspace)


@pytest.fixture
def new(clock: ManualClock):
    def make(run_id: str, **given) -> NewRun:
        return NewRun(**{"id": run_id, "name": "a", "started_at": clock.now()} | given)

    return make


def folder(path: Path, new: NewRun, records: list[Record]) -> Path:
    (path / "files").mkdir(parents=True)
    (path / "run.json").write_bytes(msgspec.json.encode(new))
    (path / "journal.jsonl").write_bytes(b"".join(map(encode_line, records)))
    return path


def test_starting_one_run_twice_is_starting_it_once(runs, new):
    first = runs.create(new("run_1", params={"depth": 3}, tags={"host": "a"}, seed=7, cycle="c_1"))
    runs.apply("run_1", JournalBatch(0, [LogMetrics(1.0, {"auc": 0.5})]))
    again = runs.create(new("run_1", params={"depth": 4}))
    assert again.params == {"depth": 3}
    assert again.applied == 1
    assert msgspec.structs.replace(again, metrics={}, applied=0) == first


def test_a_batch_sent_twice_or_overlapping_counts_once(runs, new):
    runs.create(new("run_1"))
    records = [LogMetrics(float(n), {"loss": 1.0 / (n + 1)}) for n in range(10)]
    runs.apply("run_1", JournalBatch(0, records[:6]))
    runs.apply("run_1", JournalBatch(0, records[:6]))
    run = runs.apply("run_1", JournalBatch(3, records[3:]))
    assert run.applied == 10
    assert run.metrics == {"loss": 0.1}
    assert runs.get("run_1") == run
    assert [(p.step, p.value) for p in runs.history("run_1", "loss")] == [
        (n, 1.0 / (n + 1)) for n in range(10)
    ]


def test_records_beyond_a_gap_are_refused(runs, new):
    runs.create(new("run_1"))
    with pytest.raises(Conflict, match="only 0 records are kept"):
        runs.apply("run_1", JournalBatch(1, [LogMetrics(1.0, {"a": 1.0})]))


def test_a_refused_batch_leaves_nothing_behind(runs, new):
    before = runs.create(new("run_1", params={"depth": 3}))
    records = [LogMetrics(1.0, {"a": 1.0}), LogTags({"t": "v"}), LogParams({"depth": 4, "x": 1})]
    with pytest.raises(Conflict, match=r"'depth' is 3 and can't become 4"):
        runs.apply("run_1", JournalBatch(0, records))
    assert runs.get("run_1") == before
    with pytest.raises(NotFound):
        runs.history("run_1", "a")


def test_an_artifact_needs_its_bytes_first(runs, new, workspace):
    runs.create(new("run_1"))
    for digest in ("", "../../x", digest_bytes(b"never put")):
        with pytest.raises(InvalidInput, match="not in the blob store"):
            runs.apply("run_1", JournalBatch(0, [LogArtifact("a.txt", 1, digest)]))
    digest = workspace.blobs.put(b"b")
    runs.apply("run_1", JournalBatch(0, [LogArtifact("b/b.txt", 1, digest), LogArtifact("a.txt", 1, digest)]))
    assert [(a.path, a.digest) for a in runs.artifacts("run_1")] == [("a.txt", digest), ("b/b.txt", digest)]


def test_nan_and_infinities_survive_the_database(runs, new):
    runs.create(new("run_1"))
    values = {"nan": math.nan, "up": math.inf, "down": -math.inf}
    run = runs.apply("run_1", JournalBatch(0, [LogMetrics(1.0, values, step=-3)]))
    assert math.isnan(run.metrics["nan"])
    assert (run.metrics["up"], run.metrics["down"]) == (math.inf, -math.inf)
    wire = msgspec.json.decode(msgspec.json.encode(runs.get("run_1")), type=Run)
    assert math.isnan(wire.metrics["nan"])
    point = runs.history("run_1", "nan")[0]
    assert point.step == -3
    assert math.isnan(point.value)


def test_a_curve_comes_by_step_then_as_it_was_logged(runs, new):
    runs.create(new("run_1"))
    logged = [(5, 0.5), (1, 0.1), (5, 0.6), (3, 0.3), (1, 0.2)]
    records = [LogMetrics(float(n), {"a": value}, step=step) for n, (step, value) in enumerate(logged)]
    run = runs.apply("run_1", JournalBatch(0, records))
    points = runs.history("run_1", "a")
    assert [(p.step, p.value) for p in points] == [(1, 0.1), (1, 0.2), (3, 0.3), (5, 0.5), (5, 0.6)]
    assert [p.at.timestamp() for p in points] == [1.0, 4.0, 3.0, 0.0, 2.0]
    assert run.metrics["a"] == 0.2


def test_the_end_of_a_run(runs, new, clock):
    runs.create(new("run_1"))
    ended = clock.now() + timedelta(seconds=90.5)
    run = runs.apply("run_1", JournalBatch(0, [Finish(ended.timestamp(), "failed", "boom \0 there")]))
    assert (run.status, run.ended_at, run.message) == ("failed", ended, "boom  there")


def test_a_run_whose_script_is_gone_is_ended_once(runs, new, clock):
    runs.create(new("run_1"))
    run = runs.end("run_1", clock.now(), "killed")
    assert (run.status, run.message, run.ended_at, run.applied) == ("failed", "killed", clock.now(), 0)
    assert runs.end("run_1", clock.now(), "again") == run


def test_a_run_is_found_by_the_beginning_of_its_id(runs, new):
    runs.create(new("run_abc1"))
    runs.create(new("run_abd2"))
    assert runs.get("run_abc").id == "run_abc1"
    assert runs.get("run_abc1").id == "run_abc1"
    with pytest.raises(InvalidInput, match="several runs begin with 'run_ab'"):
        runs.get("run_ab")
    with pytest.raises(NotFound, match="did you mean 'run_abd2'"):
        runs.get("run_abd3")
    for nothing in ("", "%", "run%"):
        with pytest.raises(NotFound):
            runs.get(nothing)
    with pytest.raises(NotFound):
        runs.apply("run_abc", JournalBatch(0, []))


def test_an_id_that_begins_another_is_itself(runs, new):
    runs.create(new("run_1"))
    runs.create(new("run_12"))
    assert runs.get("run_1").id == "run_1"


def test_runs_are_listed_sorted_and_filtered(runs, new, clock):
    aucs = {"a": 0.7, "b": 0.9, "c": None, "d": math.nan, "e": 0.8, "f": -math.inf}
    for n, (name, auc) in enumerate(aucs.items()):
        started = clock.now() + timedelta(minutes=n)
        cycle = "c_1" if name in "ab" else None
        runs.create(new(name, started_at=started, experiment="x" if name in "bc" else "default", cycle=cycle))
        if auc is not None:
            runs.apply(name, JournalBatch(0, [LogMetrics(1.0, {"val.auc": auc, "z": 1.0})]))

    def ids(**given) -> str:
        return "".join(run.id for run in runs.list(**given))

    assert ids() == "fedcba"
    assert ids(sort="started_at") == "abcdef"
    assert ids(sort="-metrics.val.auc") == "beafdc"
    assert ids(sort="metrics.val.auc") == "faebdc"
    assert ids(experiment="x") == "cb"
    assert ids(cycle="c_1", sort="-metrics.val.auc") == "ba"
    assert ids(limit=2) == "fe"
    assert ids(cycle="c_2") == ""
    assert ids(experiment="nothing") == ""
    assert ids(where="metrics.`val.auc` > 0.7", sort="metrics.val.auc") == "eb"
    assert ids(where="metrics.z = 1 AND run_id != 'f'", cycle="c_1") == "ba"
    assert ids(where="metrics.z = 1", experiment="x") == "b"
    with pytest.raises(InvalidInput, match="OR isn't offered"):
        runs.list(where="metrics.z = 1 OR metrics.z = 2")
    assert {r.id: r.metrics.get("z") for r in runs.list()}["c"] is None
    with pytest.raises(InvalidInput, match="can't be sorted by 'colour'"):
        runs.list(sort="colour")
    with pytest.raises(NotFound, match=r"did you mean 'val\.auc'"):
        runs.list(sort="metrics.val_auc")
    with pytest.raises(InvalidInput, match="limit"):
        runs.list(limit=0)


def test_an_unknown_metric_says_what_is_known(runs, new):
    runs.create(new("run_1"))
    runs.apply("run_1", JournalBatch(0, [LogMetrics(1.0, {"loss": 1.0})]))
    with pytest.raises(NotFound, match="did you mean 'loss'"):
        runs.history("run_1", "los")


def test_ingest_takes_in_run_journal_and_files(runs, new, workspace, tmp_path):
    job = folder(
        tmp_path / "job",
        new("run_1", source="job", recipe="r", replica=0, seed=5),
        [LogMetrics(1.0, {"auc": 0.7}), LogArtifact("model/m.onnx", 0), Finish(2.0, "finished")],
    )
    (job / "files" / "model").mkdir()
    (job / "files" / "model" / "m.onnx").write_bytes(b"onnx!")
    with (job / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"type":"metrics","at":1.0,"val')
    run = runs.ingest(job)
    assert (run.status, run.metrics, run.applied, run.seed) == ("finished", {"auc": 0.7}, 3, 5)
    artifact = runs.artifacts("run_1")[0]
    assert (artifact.digest, artifact.size) == (digest_bytes(b"onnx!"), 5)
    assert workspace.blobs.get(artifact.digest) == b"onnx!"
    assert runs.ingest(job) == runs.get("run_1") == run


def test_ingest_goes_on_where_it_stopped(runs, new, tmp_path):
    job = folder(tmp_path / "job", new("run_1"), [LogMetrics(1.0, {"a": 1.0})])
    assert runs.ingest(job).applied == 1
    with (job / "journal.jsonl").open("ab") as journal:
        journal.write(encode_line(LogMetrics(2.0, {"a": 2.0})))
    assert runs.ingest(job).applied == 2
    assert [p.step for p in runs.history("run_1", "a")] == [0, 1]


def test_ingest_again_after_others_added_metrics_to_an_ended_run(runs, new, tmp_path):
    job = folder(tmp_path / "job", new("run_1"), [LogMetrics(1.0, {"a": 1.0}), Finish(2.0, "finished")])
    runs.ingest(job)
    run = runs.apply("run_1", JournalBatch(2, [LogMetrics(3.0, {"holdout": 0.7})]))
    assert runs.ingest(job) == run
    job = folder(tmp_path / "other", new("run_2"), [LogMetrics(1.0, {"a": 1.0})])
    runs.ingest(job)
    (job / "journal.jsonl").write_bytes(b"")
    with pytest.raises(CorruptData, match="has 0 records, but 1"):
        runs.ingest(job)


@pytest.mark.parametrize("path", ["link", "dir/key", "../secret/key", "gone", "dir"])
def test_ingest_refuses_files_from_elsewhere_and_keeps_nothing(runs, new, tmp_path, path):
    job = folder(tmp_path / "job", new("run_1"), [LogMetrics(1.0, {"a": 1.0}), LogArtifact(path, 1)])
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("k")
    (job / "files" / "link").symlink_to(tmp_path / "secret" / "key")
    (job / "files" / "dir").symlink_to(tmp_path / "secret")
    with pytest.raises((InvalidInput, NotFound)):
        runs.ingest(job)
    assert runs.get("run_1").applied == 0
    assert runs.artifacts("run_1") == []


def test_ingest_refuses_a_late_conflict_whole(runs, new, tmp_path, monkeypatch):
    monkeypatch.setattr("treadle.experiment.service._BATCH", 2)
    records: list[Record] = [LogMetrics(1.0, {"a": 1.0})] * 5
    job = folder(tmp_path / "job", new("run_1", params={"p": 1}), [*records, LogParams({"p": 2})])
    with pytest.raises(Conflict):
        runs.ingest(job)
    assert runs.get("run_1").applied == 0
    job = folder(tmp_path / "other", new("run_2"), records)
    assert runs.ingest(job).applied == 5


def test_ingest_of_what_is_no_run(runs, tmp_path, new):
    with pytest.raises(NotFound):
        runs.ingest(tmp_path)
    job = folder(tmp_path / "job", new("run_1"), [])
    (job / "journal.jsonl").write_bytes(b"garbage\n")
    with pytest.raises(CorruptData, match=r"journal\.jsonl:1"):
        runs.ingest(job)


def test_many_at_once_count_each_record_once(runs, new, tmp_path):
    records: list[Record] = [LogMetrics(float(n), {"a": float(n)}) for n in range(200)]
    job = folder(tmp_path / "job", new("run_1"), records)
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for start in range(0, 200, 20):
                if first:
                    runs.ingest(job)
                else:
                    runs.create(new("run_1"))
                    runs.apply("run_1", JournalBatch(0, records[: start + 20]))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n % 2,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [p.value for p in runs.history("run_1", "a")] == [float(n) for n in range(200)]


WRITER = """
import os, sys, time
from pathlib import Path
from treadle.experiment.folder import encode_line
from treadle.experiment.types import LogMetrics
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
n = 0
while True:
    os.write(fd, encode_line(LogMetrics(time.time(), {"n": float(n)}, step=n)))
    os.write(1, b"%d\\n" % n)
    n += 1
    time.sleep(0.0002)  # slower than it is read: whoever reads must not fall behind for ever
"""


def test_ingest_beside_a_live_writer_and_after_its_kill(runs, new, tmp_path):
    job = folder(tmp_path / "job", new("run_1"), [])
    out = tmp_path / "acknowledged"
    with out.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(job / "journal.jsonl")], stdout=file)
    try:
        deadline = time.monotonic() + 30
        while runs.ingest(job).applied < 500:
            assert process.poll() is None
            assert time.monotonic() < deadline
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    acknowledged = out.read_bytes().count(b"\n")
    run = runs.ingest(job)
    assert run.applied >= acknowledged
    assert [p.value for p in runs.history("run_1", "n")] == [float(n) for n in range(run.applied)]


def test_a_thousand_metrics_are_quick(runs, new):
    runs.create(new("run_1"))
    best = math.inf
    for n in range(5):
        batch = JournalBatch(n, [LogMetrics(1.0, {f"m{i}": i / 7 for i in range(1000)})])
        start = time.perf_counter()
        runs.apply("run_1", batch)
        best = min(best, time.perf_counter() - start)
    assert best < 0.15
