from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from replica_parts import (
    HTTP,
    FolderPlatform,
    ids_of,
    one_row,
    options,
    post,
    running,
    wait_for,
    write_model,
)

from treadle.deploy.replica.journal import Journal, Segment
from treadle.deploy.replica.served import Desk
from treadle.deploy.replica.shipper import Shipper
from treadle.deploy.replica.stats import Stats
from treadle.kernel.errors import InvalidInput, TreadleError, Unavailable
from treadle.kernel.ids import RandomIds, SequentialIds
from treadle.monitor.segments import Answered, SegmentEncoder, read_records, read_segment
from treadle.monitor.types import PredictionBatch


def answered(*ids: str, revision: int = 1, **inputs) -> Answered:
    rows = len(ids)
    columns = inputs or {"hour": [1.5] * rows, "carrier": ["AA"] * rows}
    return Answered(list(ids), [10.0] * rows, 7, revision, columns, [0.5] * rows, [1.25] * rows)


class Inbox:
    """A platform that keeps batches, fails as told, and counts how often each batch came."""

    def __init__(self) -> None:
        self.batches = {}
        self.times = {}
        self.error: TreadleError | None = None
        self.after = False

    def send_segment(self, model, segment, rows, data):
        batch = read_segment(data, segment, rows)
        if self.error and not self.after:
            raise self.error
        self.batches[batch.batch] = batch
        self.times[batch.batch] = self.times.get(batch.batch, 0) + 1
        if self.error:
            raise self.error

    @property
    def ids(self) -> list[str]:
        return [row for batch in self.batches.values() for row in batch.ids]


def read(journal: Journal, segment: Segment) -> PredictionBatch:
    return read_segment(journal.read(segment), segment.id, segment.rows)


def shipper(journal: Journal, inbox: Inbox, limit: int = 1 << 20) -> tuple[Shipper, Stats]:
    stats = Stats()
    return Shipper([Desk("toy", stats, journal)], inbox, 60, limit), stats


def test_what_is_written_is_what_is_shipped(tmp_path):
    journal, inbox = Journal(tmp_path, RandomIds()), Inbox()
    journal.append(answered("a", "b", hour=[1, None], carrier=["AA", None]))
    journal.append(answered("c"))
    shipper(journal, inbox)[0].flush(1)
    (batch,) = inbox.batches.values()
    assert batch.ids == ["a", "b", "c"]
    assert batch.inputs == {"hour": [1, None, 1.5], "carrier": ["AA", None, "AA"]}
    assert (batch.version, batch.revision) == ([7] * 3, [1] * 3)
    assert (batch.at, batch.outputs, batch.latency_ms) == ([10.0] * 3, [0.5] * 3, [1.25] * 3)
    assert list(tmp_path.iterdir()) == []
    assert journal.backlog() == 0


def test_a_segment_has_at_most_so_many_bytes(tmp_path):
    journal = Journal(tmp_path, SequentialIds(), segment_size=1000)
    for i in range(30):
        journal.append(answered(f"a{i}"))
    journal.seal()
    segments = journal.sealed()
    assert len(segments) > 2
    assert sum(segment.rows for segment in segments) == 30
    assert all(segment.size < 1200 for segment in segments)
    assert segments == sorted(segments)


def test_revisions_that_take_turns_share_a_segment_unless_they_disagree_about_a_type(tmp_path):
    journal = Journal(tmp_path, SequentialIds())
    for turn in range(3):
        journal.append(answered(f"a{turn}", hour=[1.0]))
        journal.append(answered(f"b{turn}", revision=2, hour=[None], other=[2.0]))
    journal.append(answered("c", revision=3, hour=["late"]))
    journal.append(answered("d", revision=3, hour=[None]))
    journal.seal()
    first, second = (read(journal, segment) for segment in journal.sealed())
    assert first.revision == [1, 2] * 3
    assert first.inputs == {"hour": [1.0, None] * 3, "other": [None, 2.0] * 3}
    assert (second.ids, second.inputs) == (["c", "d"], {"hour": ["late", None]})


@pytest.mark.parametrize(
    ("sync", "kept"), [("system", [0, 0, 0]), ("flush", [0, 0, 2]), ("answer", [1, 2, 2])]
)
def test_how_much_is_forced_to_the_disk_before_an_answer_and_before_a_shipment(
    tmp_path, monkeypatch, sync, kept
):
    """What a power failure would leave: the size of the file when it was last forced to the disk."""
    safe, names = {}, set()
    sizes = []

    def fdatasync(handle):
        safe[os.fstat(handle).st_ino] = os.fstat(handle).st_size

    def fsync(handle):
        names.update(path.stat().st_ino for path in tmp_path.iterdir())

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal(tmp_path, RandomIds(), sync=sync)

    def look():
        (file,) = tmp_path.iterdir()
        there = file.read_bytes()[: safe.get(file.stat().st_ino, 0)] if file.stat().st_ino in names else b""
        sizes.append(sum(1 for _ in read_records(there, file.name.partition(".")[0])))

    for one in ("a", "b"):
        journal.append(answered(one))
        look()
    journal.seal()
    look()
    assert sizes == kept


@pytest.mark.parametrize("sync", ["system", "flush", "answer"])
def test_a_process_that_is_killed_loses_nothing_that_it_was_told_is_kept(tmp_path, sync):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from treadle.deploy.replica.journal import Answered, Journal\n"
        "from treadle.kernel.ids import RandomIds\n"
        f"journal = Journal(Path(sys.argv[1]), RandomIds(), sync={sync!r})\n"
        "number = 0\n"
        "while True:\n"
        "    journal.append(Answered([f'p{number}'], [1.0], 1, 1, {'x': [1.0]}, [0.5], [1.0]))\n"
        "    print(number, flush=True)\n"
        "    number += 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    told = [int(process.stdout.readline()) for _ in range(50)]
    process.kill()
    told += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    again = Journal(tmp_path, RandomIds())
    (segment,) = again.sealed()
    found = read(again, segment).ids
    assert found[: len(told)] == [f"p{number}" for number in told]
    assert len(found) - len(told) <= 1  # the last one was written and not yet told


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_torn_record_of_a_killed_process_is_dropped_and_the_others_are_shipped(tmp_path, cut):
    journal = Journal(tmp_path, RandomIds())
    journal.append(answered("a"))
    journal.append(answered("b"))
    (left,) = tmp_path.iterdir()
    os.truncate(left, left.stat().st_size - cut)
    again, inbox = Journal(tmp_path, RandomIds()), Inbox()
    shipper(again, inbox)[0].flush(1)
    assert inbox.ids == ["a"]
    assert list(inbox.batches) == [left.stem]


def test_damage_ends_a_segment_at_the_last_whole_record(tmp_path):
    journal = Journal(tmp_path, RandomIds())
    journal.append(answered("a"))
    journal.append(answered("b"))
    journal.append(answered("c"))
    (left,) = tmp_path.iterdir()
    raw = bytearray(left.read_bytes())
    raw[len(raw) // 2] ^= 1
    left.write_bytes(raw)
    again = Journal(tmp_path, RandomIds())
    assert read(again, again.sealed()[0]).ids == ["a"]


def test_files_are_used_again_and_what_is_left_in_them_is_no_record(tmp_path):
    """Records of one size, so that what is left of a file's last use stands where records stand."""
    journal, inbox = Journal(tmp_path, SequentialIds(), segment_size=1000), Inbox()
    ship = shipper(journal, inbox)[0]
    number, files = 0, set()
    for _ in range(4):
        for _ in range(30):
            journal.append(answered(f"a{number:06d}"))
            number += 1
        files |= {path.stat().st_ino for path in tmp_path.glob("*.sealed")}
        ship.flush(1)
    assert inbox.ids == [f"a{i:06d}" for i in range(number)]
    assert set(inbox.times.values()) == {1}
    assert len(files) < len(inbox.batches)
    journal.append(answered(f"a{number:06d}"))
    journal.append(answered(f"a{number + 1:06d}"))
    (left,) = tmp_path.glob("*.open")
    assert left.stat().st_size > 900  # it had more records once
    again = Journal(tmp_path, RandomIds())  # as after a kill
    shipper(again, inbox)[0].flush(1)
    assert inbox.ids == [f"a{i:06d}" for i in range(number + 2)]
    assert inbox.batches[left.stem].ids == inbox.ids[-2:]
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_somebody_deleted_holds_up_no_other(tmp_path):
    journal, inbox = Journal(tmp_path, SequentialIds()), Inbox()
    for one in ("a", "b"):
        journal.append(answered(one))
        journal.seal()
    min(tmp_path.glob("*.sealed")).unlink()
    ship, stats = shipper(journal, inbox)
    ship.flush(1)
    assert (inbox.ids, stats.unlogged) == (["b"], 1)


def test_files_that_nobody_needs_again_go(tmp_path):
    journal, inbox = Journal(tmp_path, SequentialIds(), segment_size=1000), Inbox()
    for number in range(30):
        journal.append(answered(f"a{number}"))
    ship = shipper(journal, inbox)[0]
    ship.ship()
    assert {path.suffix for path in tmp_path.iterdir()} == {".spare"}
    ship.ship()
    assert list(tmp_path.iterdir()) == []


def test_a_segment_of_an_older_version_is_read(tmp_path):
    """Its checksums go on from nothing."""
    encode = SegmentEncoder().encode
    (tmp_path / "segment_x.open").write_bytes(encode(answered("a")) + encode(answered("b")))
    journal = Journal(tmp_path, RandomIds())
    assert read(journal, journal.sealed()[0]).ids == ["a", "b"]
    with pytest.raises(InvalidInput, match="damaged"):
        read_segment(encode(answered("a"), "segment_y"), "segment_x", 1)


def test_an_empty_leftover_goes(tmp_path):
    (tmp_path / "segment_x.open").touch()
    assert Journal(tmp_path, RandomIds()).sealed() == []
    assert list(tmp_path.iterdir()) == []


def test_a_batch_whose_acknowledgement_was_lost_is_sent_again_as_the_same_batch(tmp_path):
    journal, inbox = Journal(tmp_path, RandomIds()), Inbox()
    ship, stats = shipper(journal, inbox)
    journal.append(answered("a"))
    inbox.error, inbox.after = Unavailable("gone"), True
    with pytest.raises(Unavailable):
        ship.flush(0)
    inbox.error = None
    ship.flush(1)
    assert list(inbox.times.values()) == [2]
    assert inbox.ids == ["a"]
    assert stats.unlogged == 0


def test_while_the_platform_is_away_the_oldest_make_room(tmp_path):
    journal, inbox = Journal(tmp_path, SequentialIds(), segment_size=1), Inbox()
    inbox.error = Unavailable("gone")
    journal.append(answered("0"))
    size = journal.sealed()[0].size
    ship, stats = shipper(journal, inbox, limit=3 * size)
    for i in range(1, 6):
        journal.append(answered(str(i)))
    ship.ship()
    assert (stats.unlogged, journal.backlog()) == (3, 3 * size)
    inbox.error = None
    ship.ship()
    assert inbox.ids == ["3", "4", "5"]


def test_what_the_platform_refuses_is_set_aside_and_holds_up_nothing(tmp_path):
    from treadle.kernel.errors import InvalidInput

    journal, inbox = Journal(tmp_path, RandomIds()), Inbox()
    ship, stats = shipper(journal, inbox)
    journal.append(answered("bad"))
    inbox.error = InvalidInput("no such column")
    ship.flush(1)
    inbox.error = None
    journal.append(answered("good"))
    ship.flush(1)
    assert inbox.ids == ["good"]
    assert stats.unlogged == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".refused"]


def test_a_short_write_leaves_the_journal_whole(tmp_path, monkeypatch):
    journal, inbox = Journal(tmp_path, RandomIds()), Inbox()
    journal.append(answered("a"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", lambda fd, pieces, at: os.pwrite(fd, pieces[0][:10], at))
        with pytest.raises(OSError, match="space") as found:
            journal.append(answered("lost"))
        assert found.value.errno == errno.ENOSPC
    journal.append(answered("b"))
    shipper(journal, inbox)[0].flush(1)
    assert inbox.ids == ["a", "b"]


def test_a_full_disk_fails_no_request_and_is_counted_and_told(tmp_path):
    """The journal's file is the kernel's own full device."""
    platform = FolderPlatform(write_model(tmp_path / "model"))
    with running(options(tmp_path / "state", flush=60), platform) as server:
        kept = ids_of(post(server.url, one_row())[1])
        journal = server.fleet.find("toy").desk.journal
        full = os.open("/dev/full", os.O_WRONLY)
        good = os.dup(journal._file)
        os.dup2(full, journal._file)
        assert [post(server.url, one_row())[0] for _ in range(5)] == [200] * 5
        os.dup2(good, journal._file)
        for descriptor in (full, good):
            os.close(descriptor)
        kept += ids_of(post(server.url, one_row())[1])
        metrics = HTTP.request("GET", server.url + "/metrics").data.decode()
        assert 'treadle_unlogged_rows_total{model="toy"} 5.0' in metrics
        flushed = HTTP.request("POST", server.url + "/treadle/flush")
        assert (flushed.status, flushed.json()) == (200, {"unlogged": 5})
        wait_for(lambda: platform.reports[-1].unlogged == 5)
    assert [row for batch in platform.batches for row in batch.ids] == kept


def test_flush_says_so_when_the_platform_is_away_and_loses_nothing(tmp_path, monkeypatch):
    from treadle.deploy.replica import app

    monkeypatch.setattr(app, "_FLUSH_TIMEOUT", 0.2)
    platform = FolderPlatform(write_model(tmp_path / "model"))
    with running(options(tmp_path / "state", flush=60), platform) as server:
        platform.away = True
        ids = ids_of(post(server.url, one_row())[1])
        refused = HTTP.request("POST", server.url + "/treadle/flush")
        assert refused.status == 503
        assert "1 predictions wait" in refused.json()["error"]
        platform.away = False
        assert HTTP.request("POST", server.url + "/treadle/flush").status == 200
    assert [row for batch in platform.batches for row in batch.ids] == ids


def test_without_logging_nothing_is_written(tmp_path):
    platform = FolderPlatform(write_model(tmp_path / "model"))
    with running(options(tmp_path / "state", log_predictions=False), platform) as server:
        assert post(server.url, one_row())[0] == 200
        assert HTTP.request("POST", server.url + "/treadle/flush").status == 200
    assert not Path(tmp_path / "state" / "journal").exists()
    assert platform.batches == []
