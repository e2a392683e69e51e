"""What is pulled is made of what has come while the rest is on its way, and is what was pushed."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable

import pytest

from data.remotes.conftest import Clone
from servers import S3
from treadle.data import Pull, Pulled, Remotes
from treadle.data.branches.commits import read_commit
from treadle.data.remotes.transfer import Item, Mover
from treadle.data.storage import writing as packing
from treadle.data.work import sharing, writing
from treadle.kernel import progress
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound

chance = random.Random(23)
SMALL = {f"train/{n % 3}/{n:03d}": chance.randbytes(2_000) for n in range(90)}
FILES = {**SMALL, "twice/a": SMALL["train/0/000"], "text": b"a text " * 400, "empty": b""}
LARGE = {"model.bin": chance.randbytes(3 << 20)}


def pull(one: Clone, *paths: str, force: bool = False, limit: str = "") -> Pulled:
    return Remotes(one.workspace).pull(Pull(paths=paths, force=force, limit=limit, actor="ben"))


@pytest.fixture(params=["alone", "shared"])
def ada(
    request: pytest.FixtureRequest, clone: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch
) -> Clone:
    """A clone that pushes versions of several packs, which one process makes files of, or two."""
    monkeypatch.setattr(packing, "PACK_SIZE", 30_000)
    monkeypatch.setattr(writing, "MANY", 1 if request.param == "shared" else 10_000)
    monkeypatch.setattr(writing, "_SHARED_BATCH", 4)
    return clone("ada")


def beside(ada: Clone, clone: Callable[..., Clone], name: str = "ben") -> Clone:
    remote = ada.workspace.config.remotes["origin"]
    one = clone(name, remote.url, remote.options)
    one.take(ada)
    return one


def test_it_brings_what_was_pushed(ada: Clone, clone: Callable[..., Clone]) -> None:
    version = ada.add({**FILES, **LARGE})
    (ada.root / "data" / "folder" / "in").mkdir(parents=True)
    (ada.root / "data" / "link").symlink_to("train/0/000")
    (ada.root / "data" / "text").chmod(0o755)
    version = ada.add({})
    ada.push()
    ben = beside(ada, clone)
    found = pull(ben)
    (fetched,), (written,) = found.fetched, found.written
    assert (fetched.ref, fetched.commit, fetched.known, fetched.moved) == (
        version.ref,
        version.commit_id,
        2,
        True,
    )
    assert (written.path, written.ref, written.written, written.kept) == (
        "data",
        version.ref,
        len(FILES) + 3,
        0,
    )
    assert fetched.blobs > 5
    assert ben.holds() == ada.holds()
    assert (ben.root / "data" / "folder" / "in").is_dir()
    assert (ben.root / "data" / "link").is_symlink()
    assert os.access(ben.root / "data" / "text", os.X_OK)
    assert ben.verify().damages == ()
    again = pull(ben, "data")
    assert (again.fetched[0].blobs, again.written[0].written) == (0, 0)


def test_files_are_made_while_packs_are_on_their_way(
    ada: Clone, clone: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.add(FILES)
    ada.push()
    ben = beside(ada, clone)
    packs = read_commit(ada.workspace, ada.branches.resolve("data").commit_id).packs
    last, made, move = packs[-1].digest, threading.Event(), Mover._move_one

    def late(self: Mover, item: Item, *rest: object) -> None:
        if item.digest == last:
            assert made.wait(20), "nothing was made before all was here"
            assert not list(ben.root.glob("data.treadle-*"))
        move(self, item, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Mover, "_move_one", late)
    with progress.listening(lambda files, size: made.set() if files > 1 else None):
        pull(ben)
    assert len(packs) > 4
    assert ben.holds() == FILES


def test_what_lies_there_is_touched_when_all_is_here(
    ada: Clone, clone: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.add(FILES)
    ada.push()
    ben = beside(ada, clone)
    pull(ben)
    (ada.root / "data" / "train" / "0" / "000").unlink()
    ada.add({"train/0/003": b"changed", **{f"new/{n}": chance.randbytes(3_000) for n in range(30)}})
    ada.push()
    ben.take(ada)
    before, move = ben.holds(), Mover._move_one

    def looking(self: Mover, *rest: object) -> None:
        assert ben.holds() == before
        move(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Mover, "_move_one", looking)
    pull(ben)
    assert ben.holds() == ada.holds()


def test_changes_that_would_be_lost_stay_and_what_came_is_here(
    ada: Clone, clone: Callable[..., Clone]
) -> None:
    ada.add(FILES)
    ada.push()
    ben = beside(ada, clone)
    ben.write({"text": b"mine"})
    with pytest.raises(Conflict, match="would be lost: text"):
        pull(ben)
    assert ben.holds() == {"text": b"mine"}
    assert ben.read("data") == FILES
    pull(ben, force=True)
    assert ben.holds() == FILES


@pytest.mark.parametrize("which", [0, -1])
def test_what_a_remote_damaged_is_told_and_doing_it_again_completes_it(
    ada: Clone, clone: Callable[..., Clone], which: int
) -> None:
    ada.add(FILES)
    ada.push()
    pack = read_commit(ada.workspace, ada.branches.resolve("data").commit_id).packs[which]
    path = ada.remote.blobs.path(pack.digest)
    assert path is not None
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"?" + data[101:])
    ben = beside(ada, clone)
    with pytest.raises(CorruptData, match=r"1 blob is .* at remote 'origin'.*a pack of data@v1"):
        pull(ben)
    assert all(FILES[name] == found for name, found in ben.holds().items())
    assert ben.verify().damages == ()
    path.write_bytes(data)
    pull(ben)
    assert ben.holds() == FILES


def test_of_several_pointers_all_are_known_before_one_is_written(
    ada: Clone, clone: Callable[..., Clone]
) -> None:
    ada.add(FILES)
    ada.add({"a": b"other"}, folder="other")
    ada.push("data")
    ben = beside(ada, clone)
    with pytest.raises(NotFound, match=r"other@.* isn't at remote 'origin'"):
        pull(ben)
    assert not (ben.root / "data").exists()
    ada.push("other")
    assert [one.path for one in pull(ben, ".").written] == ["data", "other"]
    assert ben.holds("other") == {"a": b"other"}


def test_an_interrupt_stops_bringing(
    ada: Clone, clone: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.add(FILES)
    ada.push()
    ben = beside(ada, clone)
    brought, copy = [], Mover._copy

    def slow(self: Mover, item: Item, *rest: object, **named: object) -> str | None:
        brought.append(item)
        if len(brought) == 2 + 3:  # the commit, its pages and some packs
            os.kill(os.getpid(), signal.SIGINT)
        return copy(self, item, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Mover, "_copy", slow)
    with pytest.raises(KeyboardInterrupt):
        pull(ben, limit="40kB/s")
    assert 5 <= len(brought) < 2 + 7
    monkeypatch.setattr(Mover, "_copy", copy)
    pull(ben)
    assert ben.holds() == FILES


def test_what_cannot_be_pulled(ada: Clone, clone: Callable[..., Clone]) -> None:
    ben = clone("ben")
    with pytest.raises(NotFound, match="the project has no pointers"):
        pull(ben)
    with pytest.raises(NotFound, match="nothing lies there, and there is no pointer"):
        pull(ben, "data")
    ada.add({"a": b"1"})
    ben.take(ada)
    with pytest.raises(NotFound, match="'data/a' is a part of 'data', which has the pointer"):
        pull(ben, "data/a")
    with pytest.raises(NotFound, match="'data@v1' is a version, not a path"):
        pull(ben, "data@v1")
    with pytest.raises(NotFound, match="remote 'origin' isn't there"):
        pull(ben)
    ada.push()
    with pytest.raises(InvalidInput, match="not a rate"):
        pull(ben, limit="quick")


@pytest.mark.s3
def test_out_of_a_bucket(clone: Callable[..., Clone], s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PACK_SIZE", 30_000)
    ada = clone("ada", f"s3://{s3.bucket}/team", s3.options)
    ada.add({**FILES, **LARGE})
    ada.push()
    ben = beside(ada, clone)
    pull(ben)
    assert ben.holds() == {**FILES, **LARGE}


def test_a_helper_that_is_killed_leaves_nothing_undone(
    clone: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "PACK_SIZE", 30_000)
    monkeypatch.setattr(writing, "MANY", 1)
    monkeypatch.setattr(writing, "_SHARED_BATCH", 4)
    start = sharing._start

    def killed(base: str, lock: int | None) -> object:
        process = start(base, lock)
        assert process is not None
        process.kill()
        return process

    monkeypatch.setattr(sharing, "_start", killed)
    ada = clone("ada")
    ada.add(FILES)
    ada.push()
    ben = beside(ada, clone)
    pull(ben)
    assert ben.holds() == FILES
