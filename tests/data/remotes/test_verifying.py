"""Damage is found, named by file and version, and mended from the other side."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from data.remotes.conftest import Clone
from treadle.data.branches.commits import read_commit
from treadle.kernel.blobs import ObjectBlobStore
from treadle.kernel.ids import digest_bytes

chance = random.Random(5)
FILES = {
    **{f"small/{n}.txt": f"content {n}".encode() * 30 for n in range(50)},
    **{f"raw/{n}": chance.randbytes(5000) for n in range(5)},
    "model.bin": chance.randbytes(3 << 20),
    "empty": b"",
}


@pytest.fixture
def ada(clone: Callable[..., Clone]) -> Clone:
    made = clone("ada")
    made.add(FILES)
    return made


def spoil(store: ObjectBlobStore, digest: str, at: int, data: bytes = b"\xff") -> None:
    path = store.path(digest)
    assert path is not None
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(data)


def parts(of: Clone) -> tuple[str, str, str, str]:
    """Commit, pack of pages, pack of contents, and the large file, of the first version."""
    version = of.branches.resolve("data@v1")
    commit = read_commit(of.workspace, version.commit_id)
    return version.commit_id, commit.pages[0].digest, commit.packs[0].digest, digest_bytes(FILES["model.bin"])


def test_what_is_whole_is_whole(ada: Clone) -> None:
    ada.add({"small/1.txt": b"changed"})
    found = ada.verify()
    assert (found.where, found.versions, found.damaged, found.elsewhere) == ("here", 2, 0, 0)
    assert found.files == 2 * len(FILES)
    ada.push()
    there = ada.verify(at_remote=True)
    assert (there.where, there.versions, there.damaged) == ("remote origin", 2, 0)
    assert ada.verify("data@v1").versions == 1


@pytest.mark.parametrize("at_remote", [False, True])
@pytest.mark.parametrize(
    ("which", "at", "damaged"),
    [(0, 5, {""}), (1, 5, {""}), (1, -3, {""}), (2, 5, None), (2, -3, set(FILES) - {"model.bin", "empty"}),
     (3, 100, {"model.bin"})],
)  # fmt: skip
def test_every_damage_is_named_and_mended(
    ada: Clone, at_remote: bool, which: int, at: int, damaged: set[str] | None
) -> None:
    ada.push()
    store = ada.remote.blobs if at_remote else ada.workspace.blobs
    digest = parts(ada)[which]
    spoil(store, digest, at)
    found = ada.verify(at_remote=at_remote)
    paths = {one.path for one in found.damages}
    assert found.damaged == len(found.damages) >= 1
    assert found.repaired == 0
    if damaged is None:
        assert len(paths) == 1
        assert paths < set(FILES)
    else:
        assert paths == damaged
    assert {one.version for one in found.damages} == {"data@v1"}
    mended = ada.verify(at_remote=at_remote, repair=True)
    assert mended.repaired == mended.damaged or not damaged
    assert ada.verify(at_remote=at_remote).damaged == 0
    if not at_remote:
        assert (Path(store.folder or "") / "damaged" / digest).is_file()
        assert ada.read("data") == FILES


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_what_is_missing_is_named_and_mended(ada: Clone, which: int) -> None:
    ada.push()
    digest = parts(ada)[which]
    path = ada.remote.blobs.path(digest)
    assert path is not None
    path.unlink()
    found = ada.verify(at_remote=True)
    assert found.damaged
    assert all("missing" in one.problem for one in found.damages)
    ada.verify(at_remote=True, repair=True)
    assert ada.verify(at_remote=True).damaged == 0


def test_a_version_whose_commit_was_damaged_is_looked_into_once_it_is_mended(ada: Clone) -> None:
    ada.push()
    commit, pages, _, large = parts(ada)
    for digest in (commit, pages, large):
        spoil(ada.workspace.blobs, digest, 5)
    found = ada.verify(repair=True)
    assert {one.path for one in found.damages if one.path} == {"model.bin"}
    assert ada.verify().damaged == 0


def test_without_another_copy_nothing_can_be_mended(ada: Clone) -> None:
    spoil(ada.workspace.blobs, parts(ada)[3], 5)
    found = ada.verify(repair=True)
    assert (found.damaged, found.repaired) == (1, 0)


def test_two_copies_that_are_both_damaged(ada: Clone) -> None:
    ada.push()
    for store in (ada.workspace.blobs, ada.remote.blobs):
        spoil(store, parts(ada)[3], 5)
    found = ada.verify(repair=True)
    assert (found.damaged, found.repaired) == (1, 0)
    assert not ada.workspace.blobs.has(parts(ada)[3])  # what is damaged is never trusted again


def test_what_was_never_brought_is_not_damaged(ada: Clone, clone: Callable[..., Clone]) -> None:
    ada.push()
    ben = clone("ben")
    ben.fetch("data", contents=False)
    found = ben.verify()
    assert (found.damaged, found.elsewhere) == (0, len(FILES) - 1)


def test_files_that_are_made_of_chunks(clone: Callable[..., Clone]) -> None:
    pytest.importorskip("pyfastcdc")
    from treadle.data import AddPath, WorkingTree

    ada, ben = clone("ada"), clone("ben")
    large = bytearray(chance.randbytes(6 << 20))
    ada.add({"x.bin": bytes(large)})
    base = digest_bytes(bytes(large))
    large[3 << 20 : (3 << 20) + 5] = b"12345"
    ada.write({"x.bin": bytes(large)})
    WorkingTree(ada.workspace).add(AddPath(path="data", chunking="on"))
    ada.push()
    assert ada.verify().damaged == 0
    ben.fetch("data@v2")
    assert ben.read("data@v2") == {"x.bin": bytes(large)}
    assert ben.workspace.blobs.has(base)
    spoil(ada.workspace.blobs, base, 100)
    found = ada.verify()
    assert {(one.version, one.path) for one in found.damages} == {("data@v1", "x.bin"), ("data@v2", "x.bin")}
    ada.verify(repair=True)
    assert ada.verify().damaged == 0
