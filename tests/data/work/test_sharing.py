"""Two processes make of a version what one does, whatever becomes of the second one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.work.conftest import Place
from servers import fill
from treadle.data.storage import writing as packing
from treadle.data.work import sharing, writing
from treadle.data.work.helper import Job
from treadle.data.work.placing import PARTIAL
from treadle.data.work.sharing import Chunk, Sharing
from treadle.kernel import progress
from treadle.kernel.errors import Busy, CorruptData, StorageError, StorageFull
from treadle.kernel.lock import Holder, exclusive

ODD = ["ünï", "日本", "a b", "tab\t", "new\nline", "-rf", "quote'\"", "%41", "\u202egnp", "e\u0301", "é"]
PACKED = 300


class Helpers:
    """The helpers that were started, and how many files each left to the first process."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self.shared: list[Sharing] = []

    @property
    def left(self) -> int:
        return sum(len(chunk.rows) for chunk in self.shared[-1].left)


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Helpers]:
    """Every checkout is shared, and the first process waits until the helper has all or is gone."""
    found = Helpers()
    start, mine = sharing._start, Sharing.mine

    def started(base: str, lock: int | None) -> subprocess.Popen[bytes] | None:
        process = start(base, lock)
        assert process is not None
        found.started.append(process)
        return process

    def late(self: Sharing) -> Iterator[Chunk]:
        found.shared.append(self)
        latest = time.monotonic() + 20
        while self._chunks and found.started[-1].poll() is None:
            assert time.monotonic() < latest, "nobody feeds the helper any more"
            time.sleep(0.001)
        return mine(self)

    monkeypatch.setattr(writing, "MANY", 1)
    monkeypatch.setattr(writing, "_SHARED_BATCH", 20)
    monkeypatch.setattr(packing, "PACK_SIZE", 100_000)
    monkeypatch.setattr(sharing, "_start", started)
    monkeypatch.setattr(Sharing, "mine", late)
    yield found
    assert all(one.poll() is not None for one in found.started)


@pytest.fixture
def zoo(pets: Place) -> Place:
    """Files of every kind, of which a version was made."""
    chance = random.Random(7)
    pets.write({f"{'ab'[n % 2]}/{n:03d}": chance.randbytes(n * 9) for n in range(1, PACKED - len(ODD))})
    pets.write({f"odd/{name}": name.encode() * 50 for name in ODD})  # compressed in packs
    pets.write({"large": chance.randbytes(1_200_000), "empty": b"", "again": b"same", "twice": b"same"})
    (pets.folder / "b" / "001").chmod(0o755)
    (pets.folder / "folder" / "in").mkdir(parents=True)
    (pets.folder / "link").symlink_to("b/001")
    pets.add()
    return pets


@pytest.mark.parametrize("alone", [True, False])
def test_it_makes_what_one_process_makes(
    zoo: Place, helpers: Helpers, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """All of it by the helper, but for what is in no pack; and each its part."""
    before = zoo.seen()
    assert len(before) == PACKED + 5
    if not alone:
        monkeypatch.undo()
        monkeypatch.setattr(writing, "MANY", 1)
        monkeypatch.setattr(writing, "_SHARED_BATCH", 20)
    shutil.rmtree(zoo.folder)
    assert zoo.checkout()[0] == len(before)
    assert zoo.seen() == before
    if alone:
        assert helpers.left == 3  # the large file, the empty one and the folder
    monkeypatch.setattr("treadle.data.work.differing._digest", pytest.fail)  # nothing is read again
    assert zoo.status().clean


def test_it_writes_over_what_lies_there(zoo: Place, helpers: Helpers) -> None:
    before = zoo.seen()
    for number in range(1, 60):
        (zoo.folder / "ab"[number % 2] / f"{number:03d}").write_bytes(b"changed")
    shutil.rmtree(zoo.folder / "odd")
    (zoo.folder / "odd").write_bytes(b"a file")
    (zoo.folder / "again").unlink()
    (zoo.folder / "again").mkdir()
    zoo.add()
    assert zoo.checkout(ref="v1")[0] == 59 + len(ODD) + 1
    assert helpers.left == 0
    assert zoo.seen() == before
    assert zoo.status().clean


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_helper_leaves_that_was_killed_is_made_here(
    zoo: Place, helpers: Helpers, which: signal.Signals
) -> None:
    before = zoo.seen()
    shutil.rmtree(zoo.folder)
    with progress.listening(lambda files, size: helpers.started[-1].send_signal(which)):
        zoo.checkout()
    assert helpers.left > 3
    assert zoo.seen() == before
    assert zoo.status().clean


@pytest.mark.parametrize("error", [BlockingIOError, None])
def test_without_a_helper_it_goes_on_alone(
    zoo: Place, monkeypatch: pytest.MonkeyPatch, error: type[OSError] | None
) -> None:
    def refuse(*_: object, **__: object) -> None:
        assert error is not None
        raise error

    monkeypatch.setattr(writing, "MANY", 1)
    monkeypatch.setattr("treadle.data.work.sharing.subprocess.Popen", refuse)
    if error is None:
        monkeypatch.setattr("treadle.data.work.sharing.sys.executable", "")
    before = zoo.seen()
    shutil.rmtree(zoo.folder)
    zoo.checkout()
    assert zoo.seen() == before


def test_damage_is_told_and_never_written(zoo: Place, helpers: Helpers) -> None:
    before = zoo.seen()
    content = (zoo.folder / "b" / "101").read_bytes()
    store = zoo.workspace.root / ".treadle" / "blobs"
    packs = [path for path in store.rglob("*") if path.is_file() and content in path.read_bytes()]
    for path in packs:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(content, bytes(len(content))))
    assert packs
    shutil.rmtree(zoo.folder)
    with pytest.raises(CorruptData, match="not what was stored"):
        zoo.checkout()
    there = zoo.seen()
    assert all(before[name] == found for name, found in there.items() if found)
    assert helpers.left >= 1


def test_a_folder_that_cannot_be_written_is_told(
    zoo: Place, helpers: Helpers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere: so a file stands where a folder should, once folders were made."""
    folders = writing.Writer._folders

    def spoiled(self: writing.Writer, *arguments: object) -> None:
        folders(self, *arguments)  # type: ignore[arg-type]
        shutil.rmtree(zoo.folder / "b")
        (zoo.folder / "b").write_bytes(b"")

    monkeypatch.setattr(writing.Writer, "_folders", spoiled)
    shutil.rmtree(zoo.folder)
    with pytest.raises(StorageError, match="Not a directory"):
        zoo.checkout()


def test_a_full_disk_is_told_and_what_is_there_is_whole(
    full_disk: Path, pets: Place, helpers: Helpers
) -> None:
    pets.write({f"{n % 4}/{n}": os.urandom(9000) for n in range(60)})
    pets.add()
    before = pets.seen()
    shutil.rmtree(pets.folder)
    small = full_disk / "data"
    small.mkdir()
    pets.folder.symlink_to(small)
    filler = fill(full_disk, leave=200_000)
    with pytest.raises(StorageFull):
        pets.checkout()
    there = {name: found for name, found in pets.seen().items() if found}
    assert 0 < len(there) < 60
    assert there == {name: before[name] for name in there}
    assert not list(small.rglob(f"*{PARTIAL}"))
    filler.unlink()
    pets.checkout()
    assert pets.seen() == before


def test_an_interrupt_ends_both(zoo: Place, helpers: Helpers) -> None:
    before, signals = zoo.seen(), [signal.SIGINT]
    shutil.rmtree(zoo.folder)

    def interrupt(files: int, size: int) -> None:
        while signals:  # once: another one would interrupt the end of the first
            os.kill(os.getpid(), signals.pop())

    with progress.listening(interrupt), pytest.raises(KeyboardInterrupt):
        zoo.checkout()
    assert helpers.started[-1].poll() is not None
    assert not list(zoo.folder.rglob(f"*{PARTIAL}"))
    zoo.checkout()
    assert zoo.seen() == before


def test_an_interrupt_while_the_helper_starts_leaves_none_behind(
    zoo: Place, helpers: Helpers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold the lock until it had started and found nobody there."""
    before, start = zoo.seen(), sharing._start

    def interrupted(base: str, lock: int | None) -> subprocess.Popen[bytes] | None:
        process = start(base, lock)
        monkeypatch.setattr(sharing, "_start", start)
        os.kill(os.getpid(), signal.SIGINT)
        return process

    monkeypatch.setattr(sharing, "_start", interrupted)
    shutil.rmtree(zoo.folder)
    with pytest.raises(KeyboardInterrupt):
        zoo.checkout()
    assert helpers.started[-1].poll() is not None
    zoo.checkout()
    assert zoo.seen() == before


def test_an_empty_answer_is_not_the_end(
    zoo: Place, helpers: Helpers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chunk that has nothing in packs there is nothing to make; others follow."""
    before, asked, job = zoo.seen(), [], Sharing._job

    def first_empty(self: Sharing, chunk: Chunk) -> tuple[Job, np.ndarray]:
        asked.append(chunk)
        return job(self, chunk) if len(asked) > 1 else (Job([]), np.empty(0, np.int64))

    monkeypatch.setattr(Sharing, "_job", first_empty)
    shutil.rmtree(zoo.folder)
    zoo.checkout()
    assert len(asked) > 5
    assert not helpers.shared[0]._chunks
    assert zoo.seen() == before


def test_the_lock_is_held_until_the_helper_is_gone(tmp_path: Path) -> None:
    """So nobody begins another checkout while the helper of a killed one still makes a file."""
    lock, me = tmp_path / "lock", Holder(0, "checkout")
    with exclusive(lock, me) as descriptor:
        process = sharing._start(str(tmp_path), descriptor)
    assert process
    with pytest.raises(Busy), exclusive(lock, me):
        pass
    assert process.stdin
    process.stdin.close()  # as when the parent is killed
    process.wait(10)
    assert process.stdout
    process.stdout.close()
    with exclusive(lock, me):
        pass
