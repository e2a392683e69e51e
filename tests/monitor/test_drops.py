"""Dropped files: taken whole, once, whoever dies; half-written ones left alone; bad ones set aside."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from servers import S3
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import StorageError
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.monitor import DroppedFile, Drops, Monitors, PredictionLog, drops
from treadle.monitor.drops import take_dropped

START = datetime(2026, 1, 1, tzinfo=UTC)
PREDICTIONS = """
    SELECT 'p' || i AS prediction_id,
    ('2026-01-01 06:' || lpad(i::VARCHAR, 2, '0') || ':00+00')::TIMESTAMPTZ AS "at",
    1 AS version, 0.25::FLOAT AS output, i::INTEGER AS input_hour, 'AA' AS input_carrier
    FROM range(10) t(i)"""
LABELS = """
    SELECT 'p' || i AS prediction_id, i % 2 AS value, TIMESTAMP '2026-01-02 00:00:00' AS known_at
    FROM range(10) t(i)"""

Write = Callable[..., Path]


def reopen(root: Path, line: str) -> Workspace:
    path = root / "treadle.toml"
    head = "" if line.startswith("[") else "[monitor]\n"
    path.write_text(f"{path.read_text()}\n{head}{line}\n")
    return Workspace.open(root, clock=ManualClock(START + timedelta(days=3)))


@pytest.fixture
def workspace_(world: Any) -> Workspace:
    world.register()
    return reopen(world.workspace.root, 'drop = "incoming"')


@pytest.fixture
def write(workspace_: Workspace) -> Write:
    def writes(sql: str, name: str = "a.parquet", kind: str = "predictions") -> Path:
        path = workspace_.root / "incoming" / kind / "toy" / name
        workspace_.engine.write_parquet(path, sql)
        return path

    return writes


def take(workspace: Workspace) -> list[tuple[str, str, int]]:
    return [(one.file.split("/")[-1], one.state, one.rows) for one in Drops(workspace).take("toy")]


def logged(workspace: Workspace) -> list[tuple[Any, ...]]:
    found = PredictionLog(workspace).scan(
        "toy",
        'SELECT prediction_id, epoch("at") AS moment, output, input_hour, input_carrier, label FROM log '
        "ORDER BY prediction_id",
        since=START,
        until=START + timedelta(days=5),
        known_by=START + timedelta(days=5),
    )
    return list(zip(*(np.ma.asarray(column).tolist() for column in found.values()), strict=True))


def test_predictions_and_labels_are_taken_in_once_and_moved(workspace_: Workspace, write: Write) -> None:
    kept = write(PREDICTIONS, "odd name #1%é.parquet")
    copy = kept.read_bytes()
    write(LABELS, kind="labels")
    assert take(workspace_) == [("odd name #1%é.parquet", "taken", 10), ("a.parquet", "taken", 10)]
    first = (START + timedelta(hours=6)).timestamp()
    assert logged(workspace_) == [
        (f"p{i}", first + 60 * i, 0.25, float(i), "AA", float(i % 2)) for i in range(10)
    ]
    assert not kept.exists()
    taken = workspace_.root / "incoming" / "taken" / "predictions" / "toy" / kept.name
    assert taken.read_bytes() == copy
    assert take(workspace_) == []
    # The same bytes under another name are the same batch; the same ids in another file count once.
    kept.with_name("again.parquet").write_bytes(copy)
    later = 'SELECT * REPLACE (0.5 AS output, "at"::TIMESTAMP + to_hours(1) AS "at")'
    write(f"{later} FROM ({PREDICTIONS})", "more.parquet")
    assert take(workspace_) == [("again.parquet", "taken", 10), ("more.parquet", "taken", 10)]
    assert {row[2] for row in logged(workspace_)} == {0.5}
    assert PredictionLog(workspace_).count("toy") == 10


def test_a_name_that_comes_again_overwrites_nothing(workspace_: Workspace, write: Write) -> None:
    for number in range(3):
        write(PREDICTIONS.replace("'p'", f"'{number}-'"))
        assert take(workspace_) == [("a.parquet", "taken", 10)]
        write("SELECT 1 AS x", "bad.parquet")
        assert take(workspace_) == [("bad.parquet", "refused", 0)]
    aside = workspace_.root / "incoming"
    taken = sorted(path.name for path in (aside / "taken/predictions/toy").iterdir())
    assert taken == ["a.2.parquet", "a.3.parquet", "a.parquet"]
    refused = sorted(path.name for path in (aside / "refused/predictions/toy").iterdir())
    assert refused[:2] == ["bad.2.parquet", "bad.2.parquet.reason.txt"]
    assert len(refused) == 6


def test_what_lies_where_nothing_is_taken_from_is_told(
    workspace_: Workspace, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    kept = write(PREDICTIONS).read_bytes()
    base = workspace_.root / "incoming" / "predictions"
    for name in (
        "tyo/a.parquet",
        "a.parquet",
        "toy/day=2026-01-01/a.parquet",
        "toy/a.csv",
        "toy/_SUCCESS",
        ".x/a",
    ):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(kept)
    found = {one.file.removeprefix("predictions/"): one for one in Drops(workspace_).take("toy")}
    assert found.pop("toy/a.parquet").state == "taken"
    assert {one.state for one in found.values()} == {"waiting"}
    assert "did you mean 'toy'?" in found["tyo/a.parquet"].reason
    assert "in no model's folder" in found["a.parquet"].reason
    for name in ("toy/day=2026-01-01/a.parquet", "toy/a.csv"):
        assert "predictions/toy/NAME.parquet" in found[name].reason
    assert len(found) == 4, "hidden files are others' work"
    for _ in range(2):
        take_dropped(workspace_, "toy")
    assert caplog.text.count("did you mean 'toy'?") == 1, "a look every ten seconds tells it once"


def test_a_file_without_rows_is_taken(workspace_: Workspace, write: Write) -> None:
    write(f"SELECT * FROM ({PREDICTIONS}) WHERE false")
    assert take(workspace_) == [("a.parquet", "taken", 0)]


def test_seconds_flags_and_what_may_be_left_out(workspace_: Workspace, write: Write) -> None:
    write("""
        SELECT 7::BIGINT AS prediction_id, 1767225600.25 AS "at", 1::UTINYINT AS version,
        0::DECIMAL(4,2) AS output, 3 AS revision, 1.5 AS latency_ms, NULL::DOUBLE AS input_hour,
        NULL::VARCHAR AS input_carrier
        UNION ALL SELECT 8, 1767225601, 1, 1, 3, 2, 'NaN'::DOUBLE, ''""")
    assert take(workspace_) == [("a.parquet", "taken", 2)]
    assert logged(workspace_) == [
        ("7", START.timestamp() + 0.25, 0.0, None, None, None),
        ("8", START.timestamp() + 1, 1.0, None, "", None),
    ]


BAD = {
    "output, row 0: the value is no probability (10 rows in all)": ("0.25::FLOAT", "1.25"),
    "output, row 3: the value is missing": ("0.25::FLOAT", "CASE i WHEN 3 THEN NULL ELSE 0.5 END"),
    "prediction_id, row 2: a prediction is named": ("'p' || i", "CASE i WHEN 2 THEN '' ELSE 'p' || i END"),
    "there is no version 9 of toy": ("1 AS version", "9 AS version"),
    "column 'version': a column of DOUBLE can't be taken (write whole numbers)": (
        "1 AS version",
        "1.0::DOUBLE AS version",
    ),
    "column 'version': the file has no such column; it has prediction_id": ("1 AS version,", ""),
    "input_hour: this input of the model is missing": ("i::INTEGER AS input_hour,", ""),
    "column 'hour': what this column is can't be told": ("input_hour", "hour"),
    "input_hours: the model has no such input": ("input_hour", "input_hours"),
    "input_hour, row 0: 'late' is no number": ("i::INTEGER", "'late'"),
    "column 'input_carrier': a column of INTEGER[] can't be taken": ("'AA'", "[1, 2]"),
    "column 'at': a column of VARCHAR can't be taken (write timestamps, or seconds since 1970)": (
        ")::TIMESTAMPTZ AS",
        ") AS",
    ),
    "the file has 1,000,001 rows; a file is taken whole": ("range(10)", "range(1000001)"),
}


def test_bad_files_are_set_aside_whole_each_with_its_reason(workspace_: Workspace, write: Write) -> None:
    for i, (old, new) in enumerate(BAD.values()):
        assert old in PREDICTIONS
        sql = PREDICTIONS.replace(old, new).replace("lpad(i", "lpad((i % 60)")
        write(sql, f"{i:02}.parquet")
    write(PREDICTIONS, "good.parquet")
    *refused, good = Drops(workspace_).take("toy")
    assert (good.state, good.rows, PredictionLog(workspace_).count("toy")) == ("taken", 10, 10)
    aside = workspace_.root / "incoming" / "refused" / "predictions" / "toy"
    for i, (found, reason) in enumerate(zip(refused, BAD, strict=True)):
        assert (found.file, found.state) == (f"predictions/toy/{i:02}.parquet", "refused")
        assert found.reason.startswith(reason)
        assert (aside / f"{i:02}.parquet").exists()
        assert (aside / f"{i:02}.parquet.reason.txt").read_text() == f"{found.reason}\n"
    assert [path.name for path in (workspace_.root / "incoming" / "predictions" / "toy").iterdir()] == []
    told = [event for event in timeline(workspace_.database, "model:toy") if event.kind == "drop_refused"]
    assert {event.message for event in told} == {
        f"{one.file} was not taken into the log: {one.reason}" for one in refused
    }


def test_labels_that_are_none_are_refused(workspace_: Workspace, write: Write) -> None:
    write(LABELS.replace("i % 2", "i"), kind="labels")
    (found,) = Drops(workspace_).take("toy")
    assert found.reason == "value, row 2: the value is no label of a binary task (0 or 1) (8 rows in all)"


def test_groups_come_in_the_files_of_labels(workspace_: Workspace, write: Write) -> None:
    grouped = LABELS.replace("AS value,", "AS value, nullif(i % 3, 2) AS group_sex,")
    write(grouped, kind="labels")
    (found,) = Drops(workspace_).take("toy")
    assert found.reason.startswith("group_sex: no such groups are declared")
    again = reopen(workspace_.root, '[monitor.fairness.sex]\ngroups = ["0", "1"]')
    write(PREDICTIONS)
    write(grouped, kind="labels", name="b.parquet")
    assert take(again) == [("a.parquet", "taken", 10), ("b.parquet", "taken", 10)]
    sent = PredictionLog(again).scan(
        "toy",
        "SELECT group_sex FROM log ORDER BY prediction_id",
        since=START,
        until=START + timedelta(days=5),
        known_by=START + timedelta(days=5),
        groups=["sex"],
    )
    assert sent["group_sex"].tolist() == ["0", "1", None] * 3 + ["0"]


def test_groups_come_in_the_files_of_predictions(workspace_: Workspace, write: Write) -> None:
    grouped = PREDICTIONS.replace("AS output", "AS output, nullif(i % 3, 2) AS group_sex")
    assert grouped != PREDICTIONS
    again = reopen(workspace_.root, '[monitor.fairness.sex]\ngroups = ["0", "1"]')
    write(grouped)
    assert take(again) == [("a.parquet", "taken", 10)]
    sent = PredictionLog(again).scan(
        "toy",
        "SELECT group_sex FROM log ORDER BY prediction_id",
        since=START,
        until=START + timedelta(days=5),
        groups=["sex"],
    )
    assert sent["group_sex"].tolist() == ["0", "1", None] * 3 + ["0"]


def test_a_file_is_left_alone_until_it_is_whole(workspace_: Workspace, write: Write) -> None:
    whole = write(PREDICTIONS)
    data = whole.read_bytes()
    for size in (0, 3, 4, 100, len(data) - 4, len(data) - 1):
        whole.write_bytes(data[:size])
        (found,) = Drops(workspace_).take("toy")
        assert (found.state, found.rows) == ("waiting", 0), size
        assert found.reason == "it is still being written: it has no Parquet footer"
    whole.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))  # room was reserved first
    assert take(workspace_) == [("a.parquet", "waiting", 0)]
    whole.write_bytes(data)
    for name in (".a.parquet.x7", "_b.parquet", "c.parquet.tmp", "notes.txt"):
        whole.with_name(name).write_bytes(data[:50])
    assert take(workspace_) == [("a.parquet", "taken", 10)]


def test_what_was_broken_off_long_ago_is_set_aside(workspace_: Workspace, write: Write) -> None:
    whole = write(PREDICTIONS)
    whole.write_bytes(whole.read_bytes()[:-9])
    old = time.time() - 700
    os.utime(whole, (old, old))
    (found,) = Drops(workspace_).take("toy")
    assert found.state == "refused"
    assert found.reason.startswith(
        "it has no Parquet footer: it is no Parquet file, or writing it was broken"
    )


def test_damage_inside_is_refused(workspace_: Workspace, write: Write) -> None:
    whole = write(PREDICTIONS)
    data = bytearray(whole.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    whole.write_bytes(data)
    (found,) = Drops(workspace_).take("toy")
    assert (found.state, PredictionLog(workspace_).count("toy")) == ("refused", 0)
    assert found.reason.startswith("the data can't be read")


def test_what_a_killed_process_leaves_lies_where_it_is_swept_up(
    workspace_: Workspace, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PREDICTIONS)
    before = {path.name for path in workspace_.state.iterdir()} | {"tmp"}

    def looks(*_: Any) -> None:
        assert {path.name for path in workspace_.state.iterdir()} <= before
        raise KeyboardInterrupt

    monkeypatch.setattr(drops, "read_predictions", looks)
    with pytest.raises(KeyboardInterrupt):
        Drops(workspace_).take("toy")


@pytest.mark.parametrize("dies_at", ["append", "move"])
def test_a_process_that_dies_takes_the_file_in_once(
    workspace_: Workspace, write: Write, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    write(PREDICTIONS)

    def dies(*args: Any) -> None:
        raise KeyboardInterrupt

    if dies_at == "append":
        monkeypatch.setattr(PredictionLog, "append", dies)
    else:
        monkeypatch.setattr(Drops, "_move", staticmethod(dies))
    with pytest.raises(KeyboardInterrupt):
        Drops(workspace_).take("toy")
    monkeypatch.undo()
    assert take(workspace_) == [("a.parquet", "taken", 10)]
    files = PredictionLog(workspace_)._table("predictions", "toy").read(START.date(), START.date())
    assert isinstance(files, list)
    assert duckdb.sql(f"SELECT count(*) FROM read_parquet({[str(f) for f in files]})").fetchall() == [(10,)]


def test_a_file_that_is_replaced_while_it_is_read_stays(
    workspace_: Workspace, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(PREDICTIONS)
    append = PredictionLog.append

    def replaces(self: PredictionLog, model: str, batch: Any) -> None:
        append(self, model, batch)
        path.unlink()
        write(PREDICTIONS.replace("'p' ||", "'q' ||"))

    monkeypatch.setattr(PredictionLog, "append", replaces)
    take(workspace_)
    monkeypatch.undo()
    assert path.exists()
    assert take(workspace_) == [("a.parquet", "taken", 10)]
    assert PredictionLog(workspace_).count("toy") == 20


def test_a_log_that_cannot_be_written_refuses_no_file(
    workspace_: Workspace, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(PREDICTIONS)

    def fails(*args: Any) -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(PredictionLog, "append", fails)
    with pytest.raises(StorageError, match="the disk is gone"):
        Drops(workspace_).take("toy")
    assert path.exists()


def test_a_look_takes_in_what_was_dropped_and_is_not_stopped_by_a_folder_that_is_gone(
    workspace_: Workspace, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(PREDICTIONS)
    Monitors(workspace_).evaluate("toy", START + timedelta(days=1))
    assert PredictionLog(workspace_).count("toy") == 10
    shutil.rmtree(workspace_.root / "incoming")
    (workspace_.root / "incoming").write_text("")
    Monitors(workspace_).evaluate("toy", START + timedelta(days=1))
    assert "the folder for dropped files can't be used" in caplog.text


def test_where_no_folder_is_declared_nothing_is_looked_for(world: Any) -> None:
    world.register()
    assert Drops(world.workspace).take("toy") == []


@pytest.mark.s3
def test_the_same_in_a_bucket(world: Any, write_to: Any, s3: S3) -> None:
    world.register()
    options = ", ".join(f'{key} = "{value}"' for key, value in s3.options.items())
    line = f'drop = "s3://{s3.bucket}/in"\n[store]\noptions = {{ {options} }}'
    workspace = reopen(world.workspace.root, line)
    for key, sql in {
        "predictions/toy/a": PREDICTIONS,
        "labels/toy/a": LABELS,
        "labels/toy/b": PREDICTIONS,
    }.items():
        write_to(f"in/{key}.parquet", sql)
    found: list[DroppedFile] = Drops(workspace).take("toy")
    assert [(one.file, one.state) for one in found] == [
        ("predictions/toy/a.parquet", "taken"),
        ("labels/toy/a.parquet", "taken"),
        ("labels/toy/b.parquet", "refused"),
    ]
    assert len(logged(workspace)) == 10
    assert Drops(workspace).take("toy") == []


@pytest.fixture
def write_to(s3: S3, tmp_path: Path, world: Any) -> Callable[[str, str], None]:
    import obstore

    from treadle.kernel.object_stores import open_store

    def writes(key: str, sql: str) -> None:
        path = tmp_path / "file.parquet"
        world.workspace.engine.write_parquet(path, sql)
        obstore.put(open_store(f"s3://{s3.bucket}", s3.options), key, path.read_bytes())

    return writes
