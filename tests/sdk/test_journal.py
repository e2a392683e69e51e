from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from treadle.experiment import JournalReader, LogMetrics, LogTags, encode_line
from treadle.kernel.errors import Busy, StorageFull
from treadle.sdk.journal import Journal

ONE = LogMetrics(1.0, {"a": 1.0})


def test_what_was_appended_is_there_at_once(tmp_path: Path):
    journal = Journal(tmp_path / "deep" / "journal.jsonl")
    journal.append(ONE)
    assert JournalReader(tmp_path / "deep" / "journal.jsonl").read() == [ONE]
    journal.close()


@pytest.mark.parametrize("length", [1, 10, 70_000, 200_000])
@pytest.mark.parametrize("before", [b"", encode_line(ONE), encode_line(LogTags({"t": "x" * 70_000}))])
def test_a_torn_line_of_a_dead_writer_is_cut_off(tmp_path: Path, before: bytes, length: int):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(before + b"x" * length)
    journal = Journal(path)
    assert path.read_bytes() == before
    journal.append(ONE)
    journal.close()
    assert path.read_bytes() == before + encode_line(ONE)


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    with pytest.raises(Busy, match="being written already"):
        Journal(path)
    journal.close()
    Journal(path).close()


def test_a_full_disk_is_said(tmp_path: Path):
    journal = Journal(Path("/dev/full"))
    with pytest.raises(StorageFull, match="no space"):
        journal.append(ONE)
    journal.close()


SHORT = """
import resource, sys
from pathlib import Path
from treadle.experiment import LogTags
from treadle.kernel.errors import StorageError
from treadle.sdk.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.append(LogTags({"a": "x"}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for _ in range(2):
    try:
        journal.append(LogTags({"b": "y" * 200}))
    except StorageError as error:
        print(type(error).__name__)
journal.append(LogTags({"c": "z"}))
"""


def test_no_half_of_a_record_stays_when_the_space_ends_within_it(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(path)], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["StorageFull", "StorageFull"]
    assert JournalReader(path).read() == [LogTags({"a": "x"}), LogTags({"c": "z"})]
