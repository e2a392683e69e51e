"""Metrics written in groups: durable when answered, each run for itself, in one thread's order."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from servers import fill
from treadle.experiment import Experiments, MetricWriter, NewRun, Tracking, curves
from treadle.experiment.types import Sample
from treadle.experiment.writes import Append
from treadle.kernel.errors import Conflict, NotFound, StorageError, StorageFull, Unavailable
from treadle.kernel.workspace import Workspace


def make_run(workspace: Workspace, name: str = "run_1") -> str:
    return (
        Experiments(workspace)
        .create(NewRun(id=name, name=name, started_at=datetime(2026, 1, 1, tzinfo=UTC)))
        .id
    )


@pytest.fixture
def writer(workspace):
    made = MetricWriter(workspace.database)
    yield made
    made.close()


def points(workspace: Workspace, run: str, name: str) -> list[float]:
    with workspace.database.read() as connection:
        return curves.read(connection, run, name).values.tolist()


def test_points_are_there_when_the_answer_is(workspace, writer):
    run = make_run(workspace)
    writer.append(Append(run, [Sample("loss", 0.5, 10, 0), Sample("auc", 0.7, 10, 0)])).result(10)
    writer.append(Append(run, [Sample("loss", 0.25, 20, 1)])).result(10)
    assert points(workspace, run, "loss") == [0.5, 0.25]
    assert Experiments(workspace).get(run).metrics == {"auc": 0.7, "loss": 0.25}


def test_the_latest_value_is_that_of_the_highest_step_whatever_comes_last(workspace, writer):
    run = make_run(workspace)
    for value, at, step in ((1.0, 5, 7), (2.0, 9, 3), (3.0, 4, 7), (4.0, 5, 7), (math.nan, 5, 7)):
        writer.append(Append(run, [Sample("m", value, at, step)])).result(10)
    assert Experiments(workspace).get(run).metrics == {"m": 4.0}
    writer.append(Append(run, [Sample("m", math.nan, 0, 8), Sample("m", 1.0, 0, 6)])).result(10)
    assert math.isnan(Experiments(workspace).get(run).metrics["m"])


def test_a_run_that_is_not_there_fails_alone(workspace, writer):
    run, gone = make_run(workspace), make_run(workspace, "run_2")
    Tracking(workspace, writer).delete_run(gone)
    asked = [writer.append(Append(name, [Sample("m", 1.0, 0, 0)])) for name in ("nobody", run, gone, run)]
    with pytest.raises(NotFound, match="id=nobody not found"):
        asked[0].result(10)
    with pytest.raises(Conflict, match="deleted"):
        asked[2].result(10)
    asked[1].result(10)
    asked[3].result(10)
    assert points(workspace, run, "m") == [1.0, 1.0]
    assert points(workspace, gone, "m") == []


def test_many_threads_lose_nothing(workspace, writer):
    ids = [make_run(workspace, f"run_{i}") for i in range(3)]

    def work(number: int) -> None:
        done = [writer.append(Append(ids[i % 3], [Sample("m", number * 1000 + i, i, i)])) for i in range(90)]
        for future in done:
            future.result(30)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [value for run in ids for value in points(workspace, run, "m")]
    assert sorted(found) == sorted(float(n * 1000 + i) for n in range(8) for i in range(90))


def test_many_appends_are_merged_and_read_the_same(workspace, writer):
    run = make_run(workspace)
    count = curves.LOOSE * 3 + 10
    for i in range(count):
        writer.append(Append(run, [Sample("a", float(i), i, i), Sample("b", -float(i), i, i)]))
    writer.close()
    assert points(workspace, run, "a") == [float(i) for i in range(count)]
    assert points(workspace, run, "b") == [-float(i) for i in range(count)]
    with workspace.database.read() as connection:
        query = sa.text("SELECT name, count(*), sum(points) FROM run_chunks GROUP BY name ORDER BY name")
        kept = {name: (rows, points) for name, rows, points in connection.execute(query)}
    loose, _ = kept.pop("", (0, 0))
    assert loose < curves.LOOSE
    assert kept.keys() == {"a", "b"}
    assert all(rows <= 3 and points >= count - loose for rows, points in kept.values())


def test_closing_writes_what_waits_and_takes_nothing_more(workspace, writer):
    run = make_run(workspace)
    done = [writer.append(Append(run, [Sample("m", float(i), i, i)])) for i in range(50)]
    writer.close()
    assert all(future.done() for future in done)
    assert len(points(workspace, run, "m")) == 50
    with pytest.raises(Unavailable):
        writer.append(Append(run, [Sample("m", 1.0, 0, 0)]))


def test_a_full_disk_refuses_and_keeps_what_was_answered(full_disk, tmp_path):
    (tmp_path / "treadle.toml").write_text(
        f'[project]\nname = "t"\n[store]\nmetadata = "sqlite:///{full_disk}/t.db"\n'
    )
    workspace = Workspace.open(tmp_path)
    writer = MetricWriter(workspace.database)
    run = make_run(workspace)
    writer.append(Append(run, [Sample("m", 1.0, 0, 0)])).result(10)
    filler = fill(full_disk)
    many = [Sample(f"m{i}", 1.0, step, step) for i in range(200) for step in range(300)]
    with pytest.raises(StorageFull):
        writer.append(Append(run, many)).result(30)
    filler.unlink()
    writer.append(Append(run, [Sample("after", 2.0, 0, 0)])).result(10)
    assert points(workspace, run, "m") == [1.0]
    assert points(workspace, run, "after") == [2.0]
    writer.close()
    workspace.close()


KILLED = """
import sys
from pathlib import Path
from treadle.experiment import MetricWriter
from treadle.experiment.types import Sample
from treadle.experiment.writes import Append
from treadle.kernel.workspace import Workspace

writer = MetricWriter(Workspace.open(Path(sys.argv[1])).database)
step = 0
while True:
    group = [writer.append(Append("run_1", [Sample("m", float(step + i), step, i) for i in range(100)]))]
    group[0].result()
    step += 100
    print(step, flush=True)
"""


def test_a_kill_loses_nothing_that_was_answered_and_keeps_no_half(workspace, project: Path):
    make_run(workspace)
    command = [sys.executable, "-c", KILLED, str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(20):
            answered = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    answered = int(rest[-1]) if rest and rest[-1].isdigit() else answered
    found = points(workspace, "run_1", "m")
    assert found == [float(i) for i in range(len(found))]
    assert len(found) >= answered
    assert len(found) % 100 == 0


# ── written at once, in the caller's thread ──────────────────────────────


def test_what_is_written_at_once_is_as_what_the_thread_writes(workspace, writer):
    run = make_run(workspace)
    outcomes = writer.write_now([Append(run, [Sample("m", 1.0, 0, 0)]), Append("nobody", [])])
    if workspace.database.engine.dialect.name == "postgresql":
        assert outcomes is None
        return
    assert outcomes is not None
    assert outcomes[0] is None
    assert isinstance(outcomes[1], NotFound)
    writer.append(Append(run, [Sample("m", 2.0, 1, 1)])).result(10)
    assert points(workspace, run, "m") == [1.0, 2.0]


def test_nobody_waits_for_another_process_in_the_caller_s_thread(workspace, writer):
    run = make_run(workspace)
    with workspace.database.write() as connection:
        make = connection.execute(sa.text("SELECT count(*) FROM runs"))
        assert make.scalar() == 1
        assert writer.write_now([Append(run, [Sample("m", 1.0, 0, 0)])]) is None
        waiting = writer.append(Append(run, [Sample("m", 2.0, 0, 0)]))
        assert not waiting.done()
    waiting.result(10)
    assert points(workspace, run, "m") == [2.0]


def test_what_is_written_at_once_is_merged_too(workspace, writer):
    run = make_run(workspace)
    for i in range(curves.LOOSE + 1):
        write = Append(run, [Sample("m", float(i), i, i)])
        if writer.write_now([write]) is None:
            writer.append(write).result(10)
    writer.close()
    assert points(workspace, run, "m") == [float(i) for i in range(curves.LOOSE + 1)]
    with workspace.database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM run_chunks")).scalar() in (1, 2)


def test_a_full_disk_is_left_to_the_thread_to_tell(full_disk, tmp_path):
    (tmp_path / "treadle.toml").write_text(
        f'[project]\nname = "t"\n[store]\nmetadata = "sqlite:///{full_disk}/t.db"\n'
    )
    workspace = Workspace.open(tmp_path)
    writer = MetricWriter(workspace.database)
    run = make_run(workspace)
    filler = fill(full_disk)
    many = Append(run, [Sample(f"m{i}", 1.0, step, step) for i in range(200) for step in range(300)])
    assert writer.write_now([many]) is None
    with pytest.raises(StorageFull):
        writer.append(many).result(30)
    filler.unlink()
    assert writer.write_now([Append(run, [Sample("after", 2.0, 0, 0)])]) == [None]
    assert points(workspace, run, "after") == [2.0]
    writer.close()
    workspace.close()


def test_who_keeps_the_database_locked_is_named_as_the_cause(workspace, writer, monkeypatch):
    run = make_run(workspace)
    monkeypatch.setattr("treadle.experiment.writer.LOCK_TIMEOUT", 0.1)
    with workspace.database.write() as connection:
        connection.execute(sa.text("UPDATE runs SET applied = applied"))
        with pytest.raises(StorageError, match="locked") as told:
            writer.append(Append(run, [Sample("m", 1.0, 0, 0)])).result(10)
    assert "another process keeps it locked" in str(told.value.fix)
    writer.append(Append(run, [Sample("m", 2.0, 0, 0)])).result(10)
    assert points(workspace, run, "m") == [2.0]
