"""The prediction log: whole or nothing, once, and joined with what was known when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from servers import S3, fill
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, StorageError, StorageFull
from treadle.kernel.workspace import Workspace
from treadle.monitor import LabelBatch, PredictionBatch, PredictionLog
from treadle.monitor import delta as delta_module
from treadle.monitor.batches import label_columns
from treadle.registry import Field, Signature

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def at(day: float) -> float:
    return (START + DAY * day).timestamp()


def some(
    batch: str = "b1", ids: list[str] | None = None, days: list[float] | None = None, **changes: Any
) -> PredictionBatch:
    ids = ids or ["a", "b", "c"]
    n = len(ids)
    made = PredictionBatch(
        batch=batch,
        ids=ids,
        at=[at(day) for day in days or [0.5] * n],
        version=[1] * n,
        revision=[1] * n,
        inputs={"hour": [float(i) for i in range(n)], "carrier": ["AA"] * n},
        outputs=[0.25] * n,
        latency_ms=[2.0] * n,
    )
    return msgspec.structs.replace(made, **changes)


def labels(ids: list[str], values: list[float], known: list[float], batch: str = "l1") -> LabelBatch:
    return LabelBatch(batch=batch, ids=ids, values=values, known_at=[at(day) for day in known])


@pytest.fixture
def log(world: Any) -> PredictionLog:
    world.register()
    return PredictionLog(world.workspace)


def scan(
    log: PredictionLog, since: float = 0, until: float = 100, known: float | None = None, columns: str = "*"
) -> list[tuple[Any, ...]]:
    found = log.scan(
        "toy",
        f"SELECT {columns} FROM log ORDER BY prediction_id",
        since=START + DAY * since,
        until=START + DAY * until,
        known_by=None if known is None else START + DAY * known,
    )
    return list(zip(*(np.ma.asarray(column).tolist() for column in found.values()), strict=True))


def table(log: PredictionLog, kind: str = "predictions") -> DeltaTable:
    return DeltaTable(str(log._ws.root / ".treadle" / "tables" / kind / "toy"))


def test_what_was_sent_is_read_back_and_deltalake_reads_it_too(log: PredictionLog) -> None:
    log.append("toy", some(days=[0.25, 0.5, 1.5]))
    columns = 'prediction_id, epoch("at"), version, revision, latency_ms, output, input_hour, input_carrier'
    assert scan(log, columns=columns) == [
        ("a", at(0.25), 1, 1, 2.0, 0.25, 0.0, "AA"),
        ("b", at(0.5), 1, 1, 2.0, 0.25, 1.0, "AA"),
        ("c", at(1.5), 1, 1, 2.0, 0.25, 2.0, "AA"),
    ]
    assert log.count("toy") == 3
    assert log.first_day("toy") == START.date()
    frame = table(log).to_pyarrow_table()
    assert frame.num_rows == 3
    assert str(frame.schema.field("at").type) == "timestamp[us, tz=UTC]"
    assert sorted(str(day) for day in set(frame["day"].to_pylist())) == ["2026-01-01", "2026-01-02"]


def test_nothing_logged_is_no_error(log: PredictionLog) -> None:
    assert (log.count("toy"), log.first_day("toy"), scan(log, known=50)) == (0, None, [])
    log.append("toy", some(ids=["a"]))
    assert scan(log, since=5, until=9) == []
    log.append("toy", msgspec.structs.replace(some(batch="empty"), ids=[], at=[], version=[], revision=[],
        inputs={}, outputs=[], latency_ms=[]))  # fmt: skip
    assert log.count("toy") == 1


def test_types_follow_the_signature_whatever_a_batch_holds(log: PredictionLog) -> None:
    nothing = {"hour": [None], "carrier": [None]}
    log.append("toy", some(ids=["a"], inputs=nothing))
    log.append("toy", some("b2", ids=["b"], inputs={"hour": [7], "carrier": ["UA"]}))
    log.append("toy", some("b3", ids=["c"], inputs={"hour": [float("nan")], "carrier": [""]}))
    log.append("toy", some("b4", ids=["d"], inputs={"hour": [True], "carrier": ["é\U0001f6eb"]}))
    assert scan(log, columns="input_hour, input_carrier") == [
        (None, None), (7.0, "UA"), (None, ""), (1.0, "é\U0001f6eb"),
    ]  # fmt: skip
    types = {f.name: f.type.type for f in table(log).schema().fields}
    assert (types["input_hour"], types["input_carrier"]) == ("double", "string")


def test_a_batch_is_kept_once(log: PredictionLog) -> None:
    for _ in range(3):
        log.append("toy", some())
        log.append_labels("toy", labels(["a"], [1], [1]))
    assert table(log).count() == 3
    assert table(log, "labels").count() == 1


def test_a_name_that_other_rows_had_is_refused(log: PredictionLog) -> None:
    """Passed over, they would be lost."""
    assert log.append("toy", some(), named=True)
    assert not log.append("toy", some(), named=True)
    with pytest.raises(Conflict, match="other rows were sent as batch 'b1' before"):
        log.append("toy", some(ids=["d", "e", "f"]), named=True)
    assert log.append_labels("toy", labels(["a"], [1], [1]), named=True)
    assert not log.append_labels("toy", labels(["a"], [1], [1]), named=True)
    with pytest.raises(Conflict, match="nothing was appended"):
        log.append_labels("toy", labels(["b"], [1], [1]), named=True)
    assert (log.count("toy"), table(log, "labels").count()) == (3, 1)
    assert not log.append("toy", some(ids=["d", "e", "f"])), "a name that says what it is"


def test_another_server_need_not_tell_what_it_does_not_know(log: PredictionLog) -> None:
    log.append("toy", some(revision=[], latency_ms=[]))
    assert set(scan(log, columns="revision, latency_ms")) == {(0, 0.0)}


def test_a_batch_of_nothing_is_none(log: PredictionLog) -> None:
    empty = some(version=[], revision=[], inputs={}, outputs=[], latency_ms=[], at=[])
    assert not log.append("toy", msgspec.structs.replace(empty, ids=[]))
    assert log.count("toy") == 0


def test_a_prediction_sent_again_is_seen_once_as_it_was_asked_for_last(log: PredictionLog) -> None:
    log.append("toy", some(ids=["a", "b"], days=[0.5, 0.5]))
    log.append("toy", some("b2", ids=["a"], days=[0.6], outputs=[0.9]))
    log.append("toy", some("b3", ids=["b"], days=[0.4], outputs=[0.1]))
    assert scan(log, columns="prediction_id, output") == [("a", 0.9), ("b", 0.25)]
    assert log.count("toy") == 2


BAD: list[tuple[dict[str, Any], str]] = [
    ({"outputs": [0.5, 0.5]}, "outputs: there are 3 ids and 2 of these"),
    ({"ids": ["a", "b", ""]}, "ids, row 2"),
    ({"batch": ""}, "batch"),
    ({"at": [0.0, 1.0, float("nan")]}, "at, row 2"),
    ({"at": [0.0, -1.0, 2.0]}, "at, row 1"),
    ({"at": [0.0, 1.0, 1e18]}, "at, row 2"),
    ({"at": [0.0, 1.0, at(0) * 1000]}, "at, row 2.*\n.*write seconds"),
    ({"at": [0.0, time.time() + 100_000, 2.0]}, "at, row 1: the value is more than a day in the future"),
    ({"outputs": [0.1, float("inf"), 0.2]}, "outputs, row 1"),
    ({"outputs": [0.1, 1.2, 0.2]}, "outputs, row 1: the value is no probability"),
    ({"outputs": [0.1, None, 0.2]}, "outputs"),
    ({"outputs": [0.1, "x", 0.2]}, "outputs"),
    ({"latency_ms": [0.1, -1.0, 0.2]}, "latency_ms, row 1"),
    ({"revision": [1, -1, 1]}, "revision, row 1"),
    ({"inputs": {"hour": [1.0, 2.0, 3.0]}}, "inputs.carrier: this input of the model is missing"),
    ({"inputs": {"hour": [1.0] * 3, "carrier": ["A"] * 3, "hours": []}}, "inputs.hours"),
    ({"inputs": {"hour": [1.0, 2.0], "carrier": ["A"] * 3}}, "inputs.hour"),
    ({"inputs": {"hour": [1.0, "late", 3], "carrier": ["A"] * 3}}, "inputs.hour, row 1: 'late' is no number"),
    ({"inputs": {"hour": [1.0] * 3, "carrier": ["A", 2, "A"]}}, "inputs.carrier, row 1: 2 is no text"),
    ({"inputs": {"hour": [1.0, 10**400, 3.0], "carrier": ["A"] * 3}}, "inputs.hour: a number is too large"),
    ({"inputs": {"hour": [1.0] * 3, "carrier": ["A", "\ud800", "A"]}}, "inputs.carrier"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_a_batch_that_has_one_bad_row_is_refused_whole(
    log: PredictionLog, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        log.append("toy", some(**changes))
    assert log.count("toy") == 0
    log.append("toy", some())
    assert log.count("toy") == 3


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (labels(["a", "b"], [1], [1]), "values"),
        (labels(["a"], [2], [1]), "values, row 0: the value is no label"),
        (labels(["a"], [float("nan")], [1]), "values, row 0"),
        (msgspec.structs.replace(labels(["a"], [1], [1]), known_at=[float("inf")]), "known_at, row 0"),
        (msgspec.structs.replace(labels(["a"], [1], [1]), known_at=[time.time() + 100_000]), "in the future"),
    ],
)
def test_bad_labels_are_refused_whole(log: PredictionLog, batch: LabelBatch, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        log.append_labels("toy", batch)
    with pytest.raises(TableNotFoundError):
        table(log, "labels")


def test_labels_of_a_task_that_is_not_served_are_refused() -> None:
    with pytest.raises(InvalidInput, match="labels of a multiclass task can't be kept"):
        label_columns(labels(["a"], [2], [1]), "multiclass", np.int64(0))


def test_an_unknown_model_or_version_is_refused(log: PredictionLog) -> None:
    with pytest.raises(NotFound, match="version 7"):
        log.append("toy", some(version=[1, 7, 1]))
    with pytest.raises(NotFound, match="did you mean 'toy'"):
        log.append("tay", some())
    with pytest.raises(NotFound, match="did you mean 'toy'"):
        log.append_labels("tay", labels(["a"], [1], [1]))
    with pytest.raises(InvalidInput):
        log.append("../toy", some())


def test_a_later_version_may_have_other_features_but_not_other_types(world: Any, log: PredictionLog) -> None:
    log.append("toy", some())
    more = Signature((Field("hour", "float"), Field("gate", "string")), "probability")
    world.register(run="run_2", signature=more)
    log.append("toy", some("b2", ids=["x"], version=[2], inputs={"hour": [1.0], "gate": ["B4"]}))
    assert scan(log, columns="prediction_id, input_carrier, input_gate")[-2:] == [
        ("c", "AA", None), ("x", None, "B4"),
    ]  # fmt: skip
    log.append("toy", some("b3", ids=["y"]))  # the old version still answers somewhere
    world.register(run="run_3", signature=Signature((Field("hour", "string"),), "probability"))
    with pytest.raises(Conflict, match="input_hour is double in the table and string in this batch"):
        log.append("toy", some("b4", ids=["z"], version=[3], inputs={"hour": ["noon"]}))
    assert log.count("toy") == 5
    both = some("b5", ids=["p", "q"], version=[1, 3], inputs={"hour": [1.0, 2.0], "carrier": ["A", "A"]})
    with pytest.raises(InvalidInput, match="disagree"):
        log.append("toy", both)


def test_labels_are_those_known_by_the_moment_and_the_latest_correction_wins(log: PredictionLog) -> None:
    log.append_labels("toy", labels(["b"], [1], [2], "before"))  # comes before its prediction
    log.append("toy", some())
    log.append_labels("toy", labels(["a", "zzz"], [0, 1], [3, 3], "l2"))
    log.append_labels("toy", labels(["b"], [0], [6], "correction"))
    log.append_labels("toy", labels(["b"], [1], [4], "out of order"))
    seen = {day: scan(log, known=day, columns="prediction_id, label") for day in (1, 2, 3, 5, 6, 50)}
    assert seen[1] == [("a", None), ("b", None), ("c", None)]
    assert seen[2] == [("a", None), ("b", 1.0), ("c", None)]
    assert seen[3] == [("a", 0.0), ("b", 1.0), ("c", None)]
    assert seen[5] == seen[3]
    assert seen[6] == [("a", 0.0), ("b", 0.0), ("c", None)]
    assert seen[50] == seen[6]
    assert scan(log, columns="prediction_id, label") == seen[1]


def test_of_corrections_at_one_moment_the_one_recorded_last_wins(log: PredictionLog) -> None:
    log.append("toy", some(ids=["a"]))
    for number, value in enumerate([1.0, 0.0, 1.0, 0.0]):
        log.append_labels("toy", labels(["a"], [value], [1], f"l{number}"))
    assert scan(log, known=2, columns="label") == [(0.0,)]


def test_only_the_days_concerned_are_read(log: PredictionLog) -> None:
    log.append("toy", some(ids=["a", "b", "c"], days=[0.5, 1.5, 2.5]))
    other = table(log).file_uris(file_pruning_predicate="day != '2026-01-02'")
    for path in other:
        Path(path).write_bytes(b"not parquet")
    assert scan(log, since=1, until=2, columns="prediction_id") == [("b",)]
    with pytest.raises(Exception, match="can't be read"):
        scan(log, since=0, until=2)


def test_the_window_is_half_open(log: PredictionLog) -> None:
    log.append("toy", some(ids=["a", "b", "c"], days=[1.0, 1.5, 2.0]))
    assert scan(log, since=1, until=2, columns="prediction_id") == [("a",), ("b",)]


def append_at_once(log: PredictionLog, workers: int, batches: int) -> None:
    errors: list[Exception] = []

    def send(worker: int) -> None:
        try:
            for i in range(batches):
                log.append("toy", some(f"{worker}.{i}", ids=[f"{worker}.{i}.{k}" for k in range(5)]))
                log.append("toy", some(f"shared.{i}", ids=[f"s.{i}"]))
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert log.count("toy") == workers * batches * 5 + batches


def test_threads_that_append_at_once_lose_nothing(log: PredictionLog) -> None:
    append_at_once(log, 4, 6)
    assert table(log).count() == 4 * 6 * 5 + 6


CHILD = """
import os, signal, sys
from pathlib import Path
import msgspec
from treadle.kernel import database
from treadle.kernel.workspace import Workspace
from treadle.monitor import PredictionBatch, PredictionLog
import deltalake
database._migrate = lambda db, root: None
workspace = Workspace.open(Path(sys.argv[1]))
batches = msgspec.json.decode(sys.stdin.buffer.read(), type=list[PredictionBatch])
write = deltalake.write_deltalake
def die(): os.kill(os.getpid(), signal.SIGKILL)
def write_and_die(*args, **kwargs):
    if sys.argv[2] == "before": die()
    write(*args, **kwargs)
    if sys.argv[2] == "after": die()
deltalake.write_deltalake = write_and_die
for batch in batches:
    PredictionLog(workspace).append("toy", batch)
print("done")
"""


def child(log: PredictionLog, die: str, batches: list[PredictionBatch]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(log._ws.root), die], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    process.stdin.write(msgspec.json.encode(batches))
    process.stdin.close()
    return process


@pytest.mark.parametrize(("die", "kept"), [("before", 0), ("after", 3)])
def test_a_process_killed_around_the_commit_appends_once(log: PredictionLog, die: str, kept: int) -> None:
    process = child(log, die, [some()])
    assert process.wait() == -signal.SIGKILL
    assert process.stdout
    assert process.stdout.read() == b""
    process.stdout.close()
    assert log.count("toy") == kept
    log.append("toy", some())
    assert table(log).count() == 3


def test_processes_that_append_at_once_lose_nothing(log: PredictionLog) -> None:
    sent = [
        [some(f"{w}.{i}", ids=[f"{w}.{i}"]) for i in range(10)] + [some("same", ids=["s"])] for w in range(3)
    ]
    processes = [child(log, "never", batches) for batches in sent]
    for process in processes:
        assert process.wait() == 0
        assert process.stdout
        process.stdout.close()
    assert table(log).count() == 31


def test_small_files_are_made_one_a_day_and_nothing_changes(
    log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_module, "COMPACT_EVERY", 8)
    for i in range(8):
        log.append("toy", some(f"b{i}", ids=[f"{i}.a", f"{i}.b"], days=[0.5, 1.5]))
    assert len(table(log).file_uris()) == 2
    assert log.count("toy") == 16
    log.append("toy", some("b3", ids=["3.a", "3.b"], days=[0.5, 1.5]))  # still known after compaction
    assert table(log).count() == 16


def test_a_compaction_that_fails_loses_no_prediction(
    log: PredictionLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delta_module, "COMPACT_EVERY", 1)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(DeltaTable, "vacuum", fail)
    log.append("toy", some())
    assert log.count("toy") == 3
    assert "could not be compacted" in caplog.text


@pytest.mark.parametrize("name", ["my project's ünïcode #1 + {x} (2)?*", "a [b]", "50%"])
def test_a_project_folder_with_odd_characters(tmp_path: Path, project: Path, world: Any, name: str) -> None:
    project.rename(tmp_path / name)
    workspace = Workspace.open(tmp_path / name, clock=ManualClock(START))
    type(world)(workspace).register()
    log = PredictionLog(workspace)
    if {"[", "%"} & set(name):
        with pytest.raises(StorageError, match="tables can't be kept under a path with"):
            log.append("toy", some())
    else:
        log.append("toy", some())
        log.append("toy", some("b2", ids=["d"]))
        assert scan(log, columns="prediction_id") == [("a",), ("b",), ("c",), ("d",)]
        assert log.count("toy") == 4
    workspace.close()


def test_a_full_disk_keeps_nothing_and_takes_the_batch_again_later(
    world: Any, full_disk: Path, project: Path
) -> None:
    config = project / "treadle.toml"
    config.write_text(config.read_text() + f'\n[store]\ntables = "{full_disk}/tables"\n')
    world.register()
    workspace = Workspace.open(project, clock=ManualClock(START))
    log = PredictionLog(workspace)
    log.append("toy", some())
    filler = fill(full_disk)
    n = 5000
    big = some("big", ids=[os.urandom(20).hex() for _ in range(n)], days=[3.5] * n)
    with pytest.raises(StorageFull, match="nothing was appended"):
        log.append("toy", big)
    assert log.count("toy") == 3
    filler.unlink()
    log.append("toy", big)
    assert log.count("toy") == 3 + n
    workspace.close()


def test_a_broken_table_is_told(log: PredictionLog) -> None:
    log.append("toy", some())
    for path in (log._ws.root / ".treadle/tables/predictions/toy/_delta_log").iterdir():
        path.write_text("{")
    with pytest.raises(StorageError, match="the table can't be used"):
        log.append("toy", some("b2"))


@pytest.mark.s3
def test_the_same_on_s3(world: Any, project: Path, s3: S3) -> None:
    options = ", ".join(f'{key} = "{value}"' for key, value in s3.options.items())
    config = project / "treadle.toml"
    tables = f'\n[store]\ntables = "s3://{s3.bucket}/tables"\noptions = {{ {options} }}\n'
    config.write_text(config.read_text() + tables)
    world.register()
    workspace = Workspace.open(project, clock=ManualClock(START))
    log = PredictionLog(workspace)
    assert log.count("toy") == 0
    append_at_once(log, 3, 3)
    before = log.count("toy")
    log.append("toy", some(days=[0.25, 2.5, 3.5]))
    log.append("toy", some(days=[0.25, 2.5, 3.5]))
    log.append_labels("toy", labels(["a"], [1], [1]))
    assert scan(log, since=2, until=3, columns="prediction_id") == [("b",)]
    joined = dict(scan(log, since=0, until=5, known=2, columns="prediction_id, label"))
    assert [joined[key] for key in ("a", "b", "c")] == [1.0, None, None]
    assert log.count("toy") == before + 3
    workspace.close()


def test_without_pyarrow(log: PredictionLog) -> None:
    """Product code needs no pyarrow: a child that can't import it appends and reads."""
    code = CHILD.replace("import os", "import sys; sys.modules['pyarrow'] = None\nimport os", 1)
    code += "print(PredictionLog(workspace).count('toy'))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(log._ws.root), "never"],
        input=msgspec.json.encode([some()]), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [b"done", b"3"]


def test_duckdb_reads_the_files_as_they_lie(log: PredictionLog) -> None:
    log.append("toy", some())
    files = table(log).file_uris()
    assert duckdb.sql(f"SELECT count(*) FROM read_parquet({files})").fetchall() == [(3,)]


def test_of_many_predictions_an_even_sample_is_seen_the_same_every_time(world: Any) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    predictions, labels = world.traffic(0, 3000)
    log.append("toy", predictions)
    log.append("toy", msgspec.structs.replace(predictions, batch="again"))
    log.append_labels("toy", labels)
    span = {"since": START, "until": START + timedelta(days=1), "known_by": START + timedelta(days=9)}
    sql = "SELECT prediction_id, label, one_in FROM log ORDER BY prediction_id"
    every = log.scan("toy", sql, most=6000, **span)
    assert (len(every["label"]), set(every["one_in"])) == (3000, {1})
    some, again = (log.scan("toy", sql, most=1000, **span) for _ in range(2))
    assert set(some["one_in"]) == {6}, "counted before it is looked for those that were sent twice"
    assert len(some["label"]) == pytest.approx(500, abs=70)
    assert some["prediction_id"].tolist() == again["prediction_id"].tolist()
    of_all = dict(zip(every["prediction_id"], every["label"], strict=True))
    assert all(of_all[key] == label for key, label in zip(some["prediction_id"], some["label"], strict=True))
