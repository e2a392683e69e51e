"""What was deleted goes for good, what is needed stays, and blobs go only when nothing needs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from servers import S3
from treadle.api.rooms import Rooms
from treadle.experiment.types import Sample
from treadle.govern import Collect, Collector
from treadle.kernel.database import schema
from treadle.kernel.errors import NotFound
from treadle.kernel.events import timeline
from treadle.registry import NewCatalogVersion

NOW = Collect(older_than=0.0)
DO = Collect(older_than=0.0, apply=True)


def opened(folder: Path, metadata: str = "", blobs: str = "") -> Rooms:
    folder.mkdir(exist_ok=True)
    store = f'\n[store]\nmetadata = "{metadata}"\n{blobs}' if metadata else ""
    (folder / "treadle.toml").write_text(f'[project]\nname = "toy"\n{store}')
    return Rooms(folder, "test", None)


@pytest.fixture
def rooms(tmp_path: Path, metadata_url: str) -> Iterator[Rooms]:
    found = opened(tmp_path / "project", metadata_url)
    yield found
    found.close()


def add_run(rooms: Rooms, experiment: str = "0", **files: bytes) -> str:
    """A run with a curve, a parameter and files."""
    run = rooms.tracking.create_run(experiment).result().run.id
    rooms.tracking.log_batch(
        run, [Sample("loss", 0.5, 1, step) for step in range(10)], {"lr": "1"}, {"t": "x"}
    )
    for path, data in files.items():
        put(rooms, run, path, data)
    return run


def put(rooms: Rooms, run: str, path: str, data: bytes) -> None:
    with rooms.files.upload() as upload:
        upload.write(data)
        rooms.files.put(rooms.files.of_run(run, path), upload)


def age(rooms: Rooms) -> None:
    """Every blob was put long ago."""
    for path in (rooms.workspace.root / ".treadle" / "blobs" / "b3").rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))


def stored(rooms: Rooms) -> int:
    return sum(1 for _ in rooms.workspace.blobs.stored())


def rows(rooms: Rooms) -> dict[str, int]:
    with rooms.workspace.database.read() as connection:
        tables = [
            t for name, t in schema.tables.items() if name.startswith(("run", "artifact", "logged", "exp"))
        ]
        count = sa.func.count()
        return {t.name: connection.execute(sa.select(count).select_from(t)).scalar_one() for t in tables}


def test_a_deleted_run_goes_with_all_that_it_had(rooms: Rooms) -> None:
    kept = add_run(rooms, a=b"shared", b=b"mine")
    before = rows(rooms)
    gone = add_run(rooms, c=b"shared", d=b"its own", e=b"its own too")
    rooms.tracking.delete_run(gone)
    age(rooms)

    plan = rooms.collector.collect(NOW)
    assert (plan.applied, plan.runs, plan.files, plan.blobs, plan.bytes) == (False, 1, 3, 2, 18)
    assert [(one.kind, one.id, one.kept) for one in plan.items] == [("run", gone, "")]
    assert (rows(rooms)["runs"], stored(rooms)) == (2, 4)

    done = rooms.collector.collect(DO)
    assert (done.applied, done.runs, done.rows, done.blobs, done.bytes) == (True, 1, plan.rows, 2, 18)
    assert rows(rooms) == before
    assert stored(rooms) == 2
    assert b"".join(rooms.files.read(rooms.files.find(rooms.files.of_run(kept, "a")))) == b"shared"
    with pytest.raises(NotFound):
        rooms.tracking.restore_run(gone)
    (event,) = timeline(rooms.workspace.database, "workspace")
    assert (event.kind, event.facts["runs"], event.facts["bytes"]) == ("collected", "1", "18")

    again = rooms.collector.collect(DO)
    assert (again.runs, again.blobs) == (0, 0)


def test_what_was_deleted_lately_has_its_grace(rooms: Rooms) -> None:
    run = add_run(rooms, a=b"a")
    rooms.tracking.delete_run(run)
    assert rooms.collector.collect(Collect(apply=True)).runs == 0
    rooms.tracking.restore_run(run)
    assert rooms.collector.collect(DO).runs == 0
    assert rooms.tracking.run(run).run.lifecycle == "active"


def test_an_experiment_goes_when_nothing_in_it_is_needed(rooms: Rooms) -> None:
    home = rooms.tracking.create_experiment("old").id
    run = add_run(rooms, home, a=b"model")
    add_run(rooms, home)
    model = rooms.logged_models.create(home, run=run)
    rooms.catalog.create_model("flights")
    rooms.catalog.create_version(NewCatalogVersion(model="flights", source=f"runs:/{run}/a", run=run))
    rooms.tracking.delete_experiment(home)
    age(rooms)

    first = rooms.collector.collect(DO)
    assert (first.experiments, first.runs, first.logged_models) == (0, 1, 1)
    reasons = {one.kind: one.kept for one in first.items if one.kept}
    assert reasons == {
        "run": "model version flights/1 needs it",
        "experiment": "1 of its runs and logged models are kept",
    }
    assert stored(rooms) == 1
    with pytest.raises(NotFound):
        rooms.logged_models.get(model.id, deleted=True)

    rooms.catalog.delete_model("flights")
    second = rooms.collector.collect(DO)
    assert (second.experiments, second.runs, second.blobs) == (1, 1, 1)
    assert rows(rooms)["experiments"] == 1


def test_only_what_was_named_goes(rooms: Rooms) -> None:
    one, two = add_run(rooms), add_run(rooms)
    for run in (one, two):
        rooms.tracking.delete_run(run)
    with pytest.raises(NotFound, match="no run that was deleted"):
        rooms.collector.collect(Collect(older_than=0.0, runs=("nobody",)))
    assert rooms.collector.collect(Collect(older_than=0.0, runs=(one,), apply=True)).runs == 1
    assert rooms.tracking.run(two).run.lifecycle == "deleted"


def test_a_blob_whose_row_is_not_written_yet_stays(rooms: Rooms) -> None:
    rooms.workspace.blobs.put(b"on its way")
    found = rooms.collector.collect(DO)
    assert (found.blobs, found.young, stored(rooms)) == (0, 1, 1)
    age(rooms)
    assert rooms.collector.collect(DO).blobs == 1


def test_in_a_bucket_too(tmp_path: Path, s3: S3) -> None:
    options = ", ".join(f'{name} = "{value}"' for name, value in s3.options.items())
    blobs = f'blobs = "s3://{s3.bucket}/gc"\noptions = {{ {options} }}\n'
    rooms = opened(tmp_path / "project", "sqlite:///.treadle/treadle.db", blobs)
    keepers = rooms.collector._keepers
    add_run(rooms, a=b"shared")
    gone = add_run(rooms, b=b"shared", c=b"its own")
    rooms.tracking.delete_run(gone)
    assert Collector(rooms.workspace, keepers, rooms.retention).collect(DO).young == 1
    past = Collector(rooms.workspace, keepers, rooms.retention, safety=timedelta(hours=-1)).collect(DO)
    assert (past.blobs, past.bytes, stored(rooms)) == (1, 7, 1)
    rooms.close()


def test_killed_anywhere_it_leaves_garbage_and_no_damage(tmp_path: Path) -> None:
    """Killed at one call after the other, each time with more to do, until it comes through."""
    rooms = opened(tmp_path / "project")
    kept = [add_run(rooms, a=b"shared", b=f"mine {n}".encode()) for n in range(5)]
    for n in range(120):
        rooms.tracking.delete_run(add_run(rooms, a=b"shared", c=f"its own {n}".encode()))
    age(rooms)
    rooms.close()
    script = """
import os, signal, sys
from pathlib import Path
from treadle.api.rooms import Rooms
from treadle.govern import Collect
left = int(sys.argv[2])
WATCHED = ("erase_runs", "_erase_beside", "remove", "write", "needed", "stored")
def trace(frame, event, _):
    global left
    if event == "call" and frame.f_code.co_name in WATCHED:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
rooms = Rooms(Path(sys.argv[1]), "test", None)
sys.setprofile(trace)
rooms.collector.collect(Collect(older_than=0.0, apply=True))
sys.setprofile(None)
rooms.close()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = 0
    for calls in (9, 14, 20, 26, 40, 80, 0):
        command = [sys.executable, "-c", script, str(tmp_path / "project"), str(calls)]
        done = subprocess.run(
            command, env=environment, check=False, timeout=120, capture_output=True, text=True
        )
        killed += done.returncode == -signal.SIGKILL
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        rooms = opened(tmp_path / "project")
        for n, run in enumerate(kept):
            for path, data in (("a", b"shared"), ("b", f"mine {n}".encode())):
                assert b"".join(rooms.files.read(rooms.files.find(rooms.files.of_run(run, path)))) == data
        for one in rooms.tracking.search_runs(["0"], view="deleted_only", limit=1000).runs:
            for file in rooms.files.list(rooms.files.of_run(one.run.id)):
                assert rooms.workspace.blobs.has(
                    rooms.files.find(rooms.files.of_run(one.run.id, file.path)).digest
                )
        rooms.close()
    assert killed >= 4
    rooms = opened(tmp_path / "project")
    assert (rows(rooms)["runs"], stored(rooms)) == (5, 6)
    rooms.close()


def test_space_in_the_database_can_be_given_back(tmp_path: Path) -> None:
    rooms = opened(tmp_path / "project")
    run = add_run(rooms)
    for start in range(0, 50_000, 1000):
        rooms.tracking.log_batch(run, [Sample("x", n * 0.1, n, n) for n in range(start, start + 1000)])
    rooms.tracking.delete_run(run)
    file = tmp_path / "project" / ".treadle" / "treadle.db"
    found = rooms.collector.collect(Collect(older_than=0.0, apply=True, compact=True))
    rooms.close()
    assert "rewritten" in found.note
    assert file.stat().st_size < 1_000_000


def test_leftovers_of_killed_processes_go(tmp_path: Path) -> None:
    rooms = opened(tmp_path / "project")
    state = rooms.workspace.state
    long_ago = (datetime.now(UTC) - timedelta(days=8)).timestamp()
    sent, unsent = state / "runs" / "sent", state / "runs" / "unsent"
    for folder in (sent, unsent, state / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    (sent / "synced").write_text("3")
    (unsent / "journal.jsonl").write_text("")
    (state / "tmp" / "left").write_text("half")
    (state / "tmp" / "now").write_text("half")
    for path in (sent / "synced", unsent / "journal.jsonl", state / "tmp" / "left"):
        os.utime(path, (long_ago, long_ago))
    assert rooms.collector.collect(NOW).debris == 2
    assert sent.exists()
    assert rooms.collector.collect(DO).debris == 2
    rooms.close()
    assert (sent.exists(), unsent.exists(), (state / "tmp" / "now").exists()) == (False, True, True)
