"""What was pushed in one clone is the same in another, whatever both did meanwhile."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from data.remotes.conftest import Clone
from servers import S3, Azure, fill
from treadle.data import KeptByData
from treadle.data.branches.merge_types import Merge
from treadle.data.branches.types import RefSettings
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound, StorageFull

chance = random.Random(4)
SMALL = {f"train/{name}/{n}.txt": f"{name} {n}".encode() for name in "ab" for n in range(40)}
LARGE = {"model.bin": chance.randbytes(3 << 20)}
FILES = {**SMALL, **LARGE, "empty": b""}


everywhere = pytest.mark.parametrize(
    "ada",
    [
        "folder",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("azure", marks=pytest.mark.azure),
    ],
    indirect=True,
)


@pytest.fixture
def ada(request: pytest.FixtureRequest, clone: Callable[..., Clone]) -> Clone:
    return clone("ada", *_place(request))


@pytest.fixture
def ben(clone: Callable[..., Clone], ada: Clone) -> Clone:
    remote = ada.workspace.config.remotes["origin"]
    return clone("ben", remote.url, remote.options)


def _place(request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    place = getattr(request, "param", "folder")
    if place == "folder":
        return "../remote", {}
    if place == "azure":
        azure: Azure = request.getfixturevalue("azure")
        return f"az://{azure.container}/team", azure.options
    s3: S3 = request.getfixturevalue("s3")
    return f"s3://{s3.bucket}/team", s3.options


@everywhere
def test_a_version_goes_there_and_comes_back(ada: Clone, ben: Clone) -> None:
    version = ada.add(FILES)
    pushed = ada.push()
    assert pushed.versions == ("data@v1",)
    assert pushed.branches == ("data@main",)
    again = ada.push()
    assert (again.versions, again.there, again.blobs) == ((), 1, 0)

    ben.take(ada)
    (found,) = ben.fetch()
    assert (found.ref, found.commit, found.known, found.moved) == ("data@v1", version.commit_id, 1, True)
    ben.checkout()
    assert ben.holds() == FILES
    assert ben.branches.resolve("data@main").commit_id == version.commit_id
    (nothing,) = ben.fetch()
    assert (nothing.known, nothing.moved, nothing.blobs) == (0, False, 0)


@everywhere
def test_what_follows_is_sent_without_what_is_there(ada: Clone, ben: Clone) -> None:
    ada.add(FILES)
    first = ada.push()
    ada.add({"train/a/0.txt": b"changed"})
    second = ada.push()
    assert second.versions == ("data@v2",)
    assert second.bytes < 50_000 < first.bytes
    ben.take(ada)
    (found,) = ben.fetch()
    assert (found.ref, found.known) == ("data@v2", 2)
    assert [one.number for one in ben.branches.log("data")] == [2, 1]
    assert ben.read("data@v1") == FILES
    assert ben.read("data@v2") == {**FILES, "train/a/0.txt": b"changed"}


def test_a_shallow_push_and_a_shallow_fetch(ada: Clone, ben: Clone) -> None:
    for number in range(3):
        ada.add({"x": str(number).encode()})
    assert ada.push(depth=1).versions == ("data@v3",)
    assert ada.push().versions == ("data@v1", "data@v2")
    (found,) = ben.fetch("data@main", depth=2)
    assert (found.ref, found.known) == ("data@v3", 2)
    assert [one.number for one in ben.branches.log("data")] == [3, 2]
    (rest,) = ben.fetch("data@v1")
    assert (rest.ref, rest.moved) == ("data@v1", False)
    assert ben.branches.resolve("data").number == 3


def test_all_that_names_a_version(ada: Clone, ben: Clone) -> None:
    version = ada.add(FILES)
    ada.branches.create_ref("data", "tag", "best", "v1", "ada")
    ada.push("data", "data@best")
    ben.take(ada)
    whole = f"data@{version.commit_id}"
    for ref in ("data@best", "data@v1", whole, whole[:14], "data@main", "data", "data.treadle", "."):
        (found,) = ben.fetch(ref)
        assert found.commit == version.commit_id
    assert ben.branches.ref("data", "tag", "best").number == 1


def test_what_is_not_at_the_remote(ada: Clone, ben: Clone) -> None:
    ada.add(FILES)
    ada.push()
    for ref, what in (
        ("dta", "did you mean 'data'"),
        ("data@mian", "did you mean 'main'"),
        ("data@v9", "has no data@v9"),
        ("data@" + "0" * 64, "isn't at remote 'origin'"),
    ):
        with pytest.raises(NotFound, match=what):
            ben.fetch(ref)
    with pytest.raises(NotFound, match="no pointers"):
        ben.fetch()


@everywhere
def test_only_some_paths(ada: Clone, ben: Clone) -> None:
    large = {f"big/{n}.bin": chance.randbytes(900_000) for n in range(12)}
    ada.add({**FILES, **large})
    ada.push()
    ben.take(ada)
    (found,) = ben.fetch("data/train/a/", "data/big/3.bin", "data/model.bin")[:1]
    local = sum(blob.size for blob in ben.workspace.blobs.stored())
    assert local < 4_500_000  # the large file and pages, not the pack
    contents = ben.branches.contents(ben.branches.resolve("data"))
    with pytest.raises(NotFound, match="has nothing at 'train/c'"):
        ben.fetch("data/train/c")
    _without_remote(ben)
    for path in ("train/a/7.txt", "big/3.bin", "model.bin"):
        entry = next(e for e in _entries(ben) if e.path == path)
        assert contents.read(entry.digest, entry.size) == {**FILES, **large}[path]
    assert found.ref == "data@v1"


def test_a_pack_of_which_much_is_needed_comes_whole(ada: Clone, ben: Clone) -> None:
    version = ada.add(SMALL)
    ada.push()
    ben.take(ada)
    ben.fetch("data/train")
    from treadle.data.branches.commits import read_commit

    (pack,) = read_commit(ben.workspace, version.commit_id).packs
    assert ben.workspace.blobs.has(pack.digest)


def _entries(of: Clone) -> list:
    from treadle.data.tree.trees import below

    version = of.branches.resolve("data")
    return list(below(version.tree, "", of.branches.contents(version)))


def _without_remote(of: Clone) -> None:
    remote = of.remote
    if remote.blobs.folder is not None:
        remote.blobs.folder.rename(remote.blobs.folder.with_name("away"))


@everywhere
def test_contents_are_read_from_the_remote_where_they_are_not_here(ada: Clone, ben: Clone) -> None:
    ada.add(FILES)
    ada.push()
    (found,) = ben.fetch("data", contents=False)
    assert found.bytes < 100_000
    assert ben.read("data") == FILES
    assert ben.read("data") == FILES  # out of the cache, and the large one is here now
    ben.take(ada)
    ben.checkout()
    assert ben.holds() == FILES


def test_a_block_of_the_cache_that_rotted_is_read_again(ada: Clone, ben: Clone) -> None:
    ada.add(SMALL)
    ada.push()
    ben.fetch("data", contents=False)
    assert ben.read("data") == SMALL
    blocks = [path for path in (ben.workspace.state / "cache" / "ranges").rglob("*") if path.is_file()]
    assert blocks
    for path in blocks:
        path.write_bytes(b"x" + path.read_bytes()[1:])
    assert ben.read("data") == SMALL


def test_a_number_that_is_taken_here_is_told(ada: Clone, ben: Clone) -> None:
    ada.add({"a": b"ada's"})
    ada.push()
    mine = ben.add({"b": b"ben's"})
    (found,) = ben.fetch("data@main")
    assert (found.ref, found.called) == ("data@v2", "data@v1")
    assert not found.moved
    assert "went another way: treadle data merge data@v2 --into main" in found.note
    assert ben.branches.resolve("data").commit_id == mine.commit_id
    assert ben.read("data@v2") == {"a": b"ada's"}


@everywhere
def test_two_lines_meet(ada: Clone, ben: Clone) -> None:
    ada.add({"base": b"base"})
    ada.push()
    ben.take(ada)
    ben.fetch()
    ben.checkout()
    ada.add({"ada": b"1"})
    ben.add({"ben": b"2"})
    ada.push()
    with pytest.raises(Conflict, match="has versions at remote 'origin' that aren't here") as error:
        ben.push()
    assert "treadle data fetch data@main" in str(error.value)
    (found,) = ben.fetch("data@main")
    assert found.called == "data@v2"
    with pytest.raises(Conflict, match="went another way at remote"):
        ben.push()
    ben.branches.merge("data", Merge(source="v3", target="main", actor="ben"))
    pushed = ben.push("data@main")
    assert pushed.versions == ("data@v2", "data@v4")
    (back,) = ada.fetch("data@main")
    assert back.moved
    assert ada.read("data@main") == {"base": b"base", "ada": b"1", "ben": b"2"}


def test_branches_and_their_settings(ada: Clone, ben: Clone) -> None:
    ada.add({"x": b"1"})
    ada.add({"x": b"2"}, branch="exp/new")
    ada.push("data@main", "data@exp/new")
    (one, two) = ben.fetch("data@main", "data@exp/new")
    assert (one.ref, two.ref) == ("data@v1", "data@v2")
    assert ben.branches.resolve("data@exp/new").number == 2
    ben.branches.protect("data", "main", RefSettings(protected=True), "ben")
    ada.branches.merge("data", Merge(source="exp/new", target="main", actor="ada"))
    ada.push("data@main")
    (found,) = ben.fetch("data@main")
    assert not found.moved
    assert "protected" in found.note


def test_two_that_push_at_once_lose_nothing(clone: Callable[..., Clone]) -> None:
    """Both saw nothing of each other when they looked: both lines are there, and whoever fetches is told."""
    ada, ben, eve = clone("ada"), clone("ben"), clone("eve")
    ada.add({"x": b"ada's"})
    ben.add({"x": b"ben's"})
    ada.push()
    shutil.move(ada.root.parent / "remote" / "refs", ada.root / "refs")
    ben.push()
    shutil.copytree(ada.root / "refs", ada.root.parent / "remote" / "refs", dirs_exist_ok=True)
    (found,) = eve.fetch("data@main")
    assert "several ends at the remote; merge the others: data@" in found.note
    other = found.note.rpartition("data@")[2]
    (second,) = eve.fetch(f"data@{other}")
    assert {tuple(eve.read(one.ref).values()) for one in (found, second)} == {(b"ada's",), (b"ben's",)}


def test_tables_keep_what_they_are(clone: Callable[..., Clone], tmp_path: Path) -> None:
    from treadle.data import Datasets

    ada, ben = clone("ada"), clone("ben")
    for one in (ada, ben):
        with (one.root / "treadle.toml").open("a") as file:
            file.write('\n[data.rows]\npath = "rows.csv"\n')
    (ada.root / "rows.csv").write_text("id,city\n1,Bern\n2,Chur\n")
    one, two = _reopened(ada), _reopened(ben)
    version = Datasets(one.workspace).snapshot("rows", "ada")
    one.push("rows")
    two.fetch("rows")
    there = two.branches.resolve("rows")
    assert there == version
    assert there.rows == 2
    from treadle.data.local import local_files

    assert len(local_files(two.workspace, there)) == 1
    one.workspace.close()
    two.workspace.close()


@pytest.mark.parametrize("contents", [True, False])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_tables_that_were_committed_are_read_elsewhere(
    clone: Callable[..., Clone], ending: str, contents: bool
) -> None:
    import duckdb

    from branching import commit
    from treadle.data import Datasets
    from treadle.data.local import local_files

    ada, ben = clone("ada"), clone("ben")
    table = ada.root / f"rows.{ending}"
    for one in (ada, ben):
        with (one.root / "treadle.toml").open("a") as file:
            file.write(f'\n[data.pets]\npath = "rows.{ending}"\n')
    one, two = _reopened(ada), _reopened(ben)
    duckdb.sql("select 1 as id").write_csv(str(table)) if ending == "csv" else duckdb.sql(
        "select 1 as id"
    ).write_parquet(str(table))
    Datasets(one.workspace).snapshot("pets", "ada")
    duckdb.sql("select 2 as id").write_csv(str(table)) if ending == "csv" else duckdb.sql(
        "select 2 as id"
    ).write_parquet(str(table))
    commit(one.branches, {table.name: table.read_bytes()})
    one.push("pets")
    two.fetch("pets", contents=contents)
    for ref, row in (("pets@v1", 1), ("pets@v2", 2)):
        (place,) = local_files(two.workspace, two.branches.resolve(ref))
        assert duckdb.read_parquet(str(place)).fetchall() == [(row,)]
    assert two.verify().damages == ()
    assert one.verify(at_remote=True).damages == ()
    one.workspace.close()
    two.workspace.close()


def _reopened(one: Clone) -> Clone:
    from treadle.kernel.workspace import Workspace

    return Clone(one.root, Workspace.open(one.root))


def test_a_full_remote_lists_nothing_until_there_is_room(
    clone: Callable[..., Clone], full_disk: Path
) -> None:
    ada = clone("ada", str(full_disk / "remote"))
    ada.add({"x.bin": os.urandom(1 << 20), "y": b"y"})
    filler = fill(full_disk, leave=300_000)
    with pytest.raises(StorageFull):
        ada.push()
    assert list(ada.remote.listed()) == []
    filler.unlink()
    assert ada.push().versions == ("data@v1",)


def test_the_store_itself_is_no_remote(clone: Callable[..., Clone]) -> None:
    ada = clone("ada", ".treadle/blobs")
    ada.add({"x": b"1"})
    with pytest.raises(InvalidInput, match="the project's own blob store"):
        ada.push()


def test_a_remote_that_nobody_declared_or_mounted(clone: Callable[..., Clone]) -> None:
    ada = clone("ada")
    with pytest.raises(NotFound, match="remote 'origin' isn't there"):
        ada.fetch("data")
    with pytest.raises(NotFound, match="no data has a version yet"):
        ada.push()


def test_what_is_damaged_here_is_not_pushed(clone: Callable[..., Clone]) -> None:
    ada = clone("ada")
    ada.add(FILES)
    (large,) = [blob for blob in ada.workspace.blobs.stored() if blob.size == 3 << 20]
    path = ada.workspace.blobs.path(large.digest)
    assert path is not None
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(CorruptData, match=r"1 blob is damaged.*here.*model.bin of data@v1: damaged"):
        ada.push()
    assert list(ada.remote.listed()) == []


def test_what_is_damaged_at_the_remote_is_told_by_path_and_version(ada: Clone, ben: Clone) -> None:
    ada.add(FILES)
    ada.push()
    (large,) = [blob for blob in ada.remote.blobs.stored() if blob.size == 3 << 20]
    path = ada.remote.blobs.path(large.digest)
    assert path is not None
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(CorruptData, match=r"model\.bin of data@v1: damaged") as error:
        ben.fetch("data")
    assert "treadle data verify --remote" in str(error.value)
    ada.verify(at_remote=True, repair=True)
    ben.fetch("data")
    assert ben.read("data") == FILES


def test_a_collector_at_the_remote_leaves_what_was_pushed(clone: Callable[..., Clone]) -> None:
    """The remote of one project may be the store of another, which knows nothing of these versions."""
    ada = clone("ada", "../server/.treadle/blobs")
    server = clone("server")
    ada.add(FILES)
    ada.push()
    stray = server.workspace.blobs.put(b"nobody needs it")
    with server.workspace.database.read() as connection:
        kept = set(KeptByData().blobs(server.workspace, connection, set()))
    before = server.workspace.blobs.now() + timedelta(seconds=10)
    for blob in list(server.workspace.blobs.stored()):
        if blob.digest not in kept:
            server.workspace.blobs.remove(blob.digest, before)
    assert not server.workspace.blobs.has(stray)
    assert ada.verify(at_remote=True).damaged == 0
