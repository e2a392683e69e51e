from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from treadle.experiment.folder import JournalReader, RunFolder, encode_line
from treadle.experiment.types import (
    Finish,
    JournalBatch,
    LogArtifact,
    LogMetrics,
    LogParams,
    LogTags,
    NewRun,
    Run,
)
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound

AT = datetime(2026, 3, 1, tzinfo=UTC)
RECORDS = [
    LogMetrics(1.0, {"loss": 0.5}, step=3),
    LogParams({"a": 1, "b": True, "c": 0.5, "d": "x"}),
    LogTags({"host": "h"}),
    LogArtifact("a/b.txt", 3),
    Finish(2.0, "failed", "a\nb"),
]


def test_every_kind_of_record_survives_its_line(tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(map(encode_line, RECORDS)))
    assert journal.read_bytes().count(b"\n") == len(RECORDS)
    assert JournalReader(journal).read() == RECORDS


def test_nan_and_infinities_survive_every_wire():
    values = {"nan": math.nan, "up": math.inf, "down": -math.inf, "x": 1.5}
    batch = msgspec.json.encode(JournalBatch(0, [LogMetrics(1.0, dict(values))]))
    back = msgspec.json.decode(batch, type=JournalBatch).records[0]
    assert isinstance(back, LogMetrics)
    assert math.isnan(back.values["nan"])
    assert (back.values["up"], back.values["down"]) == (math.inf, -math.inf)
    assert f"{back.values['nan']:.2f} {back.values['up']}" == "nan inf"
    run = Run(id="r", name="r", started_at=AT, metrics=back.values)
    again = msgspec.json.decode(msgspec.json.encode(run), type=Run)
    assert math.isnan(again.metrics["nan"])
    assert again.metrics["x"] == 1.5


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    reader = JournalReader(journal)
    assert reader.read() == []
    line = encode_line(RECORDS[0])
    for end in range(len(line)):
        journal.write_bytes(line + line[:end])
        assert JournalReader(journal).read() == RECORDS[:1]
    journal.write_bytes(line + line[:9])
    assert reader.read() == RECORDS[:1]
    assert reader.read() == []
    journal.write_bytes(line + line)
    assert reader.read() == RECORDS[:1]
    assert reader.next == 2


def test_a_reader_begins_and_stops_where_it_is_told(tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(map(encode_line, RECORDS)))
    reader = JournalReader(journal, first=2)
    assert reader.read(limit=1) == [RECORDS[2]]
    assert reader.next == 3
    assert reader.read() == RECORDS[3:]
    with pytest.raises(CorruptData, match="has 5 records, but 6"):
        JournalReader(journal, first=6)


@pytest.mark.parametrize("line", [b"\0\0\0\n", b'{"type":"metrics"}\n', b'{"type":"nonsense"}\n', b"\n"])
def test_a_whole_line_that_is_no_record_is_named(tmp_path: Path, line: bytes):
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(encode_line(RECORDS[0]) + line)
    with pytest.raises(CorruptData, match=r"journal\.jsonl:2"):
        JournalReader(journal).read()


def test_the_run_comes_from_run_json_or_job_json(tmp_path: Path):
    folder = RunFolder(tmp_path)
    with pytest.raises(NotFound, match="no run in this folder"):
        folder.read_run()
    new = NewRun(id="run_1", name="a", started_at=AT)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode({"run": new, "data": {}, "label": "x"}))
    assert folder.read_run() == new
    (tmp_path / "run.json").write_bytes(b"{}")
    with pytest.raises(CorruptData, match=r"run\.json"):
        folder.read_run()


def test_artifacts_are_plain_files_below_the_folder(tmp_path: Path):
    folder = RunFolder(tmp_path / "job")
    (folder.files / "model").mkdir(parents=True)
    (folder.files / "model" / "m.onnx").write_text("m")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("k")
    assert folder.artifact("model/m.onnx").read_text() == "m"
    (folder.files / "link").symlink_to(secret / "key")
    (folder.files / "dir").symlink_to(secret)
    for path in ("link", "dir/key", "../../secret/key", str(secret / "key"), "model"):
        with pytest.raises(InvalidInput):
            folder.artifact(path)
    for path in ("gone", "model/m.onnx/x"):
        with pytest.raises(NotFound, match="was logged but is not there"):
            folder.artifact(path)


def test_the_files_folder_itself_may_not_be_a_link(tmp_path: Path):
    folder = RunFolder(tmp_path / "job")
    folder.path.mkdir()
    (tmp_path / "a").write_text("x")
    folder.files.symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="link"):
        folder.artifact("a")
