"""What is kept: packs that don't pile up, versions of older Treadles, and what a collection must leave."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from branching import commit, contents
from datafiles import rows
from treadle.data import Branches, Datasets, KeptByData, store
from treadle.data.branches import gathering
from treadle.data.branches.commits import Commit, NewVersion, decode_commit, read_commit
from treadle.data.branches.merge_types import Merge
from treadle.data.storage import chunks
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter
from treadle.data.store import versions
from treadle.data.tree.pages import as_columns
from treadle.data.tree.trees import build, read_root
from treadle.data.tree.types import Entry
from treadle.kernel.errors import Conflict, CorruptData

NOW = datetime.now(UTC)


def needed(workspace) -> set[str]:
    with workspace.database.read() as connection:
        return set(KeptByData().blobs(workspace, connection, set()))


def collect(workspace) -> None:
    """Takes away all that nothing needs."""
    kept = needed(workspace)
    stored = {blob.digest for blob in workspace.blobs.stored()}
    assert kept <= stored
    for digest in stored - kept:
        path = workspace.blobs.path(digest)
        path.unlink()


def test_packs_do_not_pile_up(branches, workspace, monkeypatch):
    monkeypatch.setattr(gathering, "MOST", 4)
    expected = {}
    for number in range(14):
        change = {f"f{number % 6}": f"text {number}"}
        version = commit(branches, change)
        expected |= change
        written = read_commit(workspace, version.commit_id)
        assert len(written.packs) <= 5
        assert len(written.pages) <= 5
        assert contents(branches, "pets") == expected
    collect(workspace)
    assert contents(branches, "pets@v3") == {f"f{n}": f"text {n}" for n in range(3)}
    assert contents(branches, "pets") == expected


def packs(workspace, version) -> set[str]:
    return {pack.digest for pack in read_commit(workspace, version.commit_id).packs}


def test_packs_of_which_nothing_is_needed_are_named_no_more(branches, workspace):
    names = [f"f{n}" for n in range(6)]
    first = commit(branches, {name: f"one {name}" for name in names})
    second = commit(branches, {name: f"two {name}" for name in names[1:]})
    assert packs(workspace, first) < packs(workspace, second)  # f0 lies in it
    third = commit(branches, {"f0": "three"})
    assert not packs(workspace, first) & packs(workspace, third)
    pages = [{p.digest for p in read_commit(workspace, v.commit_id).pages} for v in (first, second, third)]
    assert not pages[0] & pages[2]
    emptied = commit(branches, dict.fromkeys(names))
    assert packs(workspace, emptied) == set()
    collect(workspace)
    assert contents(branches, "pets@v1") == {name: f"one {name}" for name in names}
    assert contents(branches, "pets@v3") == {"f0": "three", **{n: f"two {n}" for n in names[1:]}}


def test_the_whole_tree_is_looked_at_when_much_of_it_was_changed(branches, workspace, monkeypatch):
    looks = []
    sparse = gathering._Look.sparse
    monkeypatch.setattr(gathering._Look, "sparse", lambda *a, **k: looks.append(1) or sparse(*a, **k))
    paths = [f"{n:06d}" for n in range(20_000)]
    version = commit(branches, dict.fromkeys(paths, "same"))
    leaves = len(read_root(version.tree, branches.contents(version)).digests)
    assert leaves > 3
    stale = []
    for some in (paths[:10], paths[10:1000], paths[:3990], paths[:10]):
        version = commit(branches, dict.fromkeys(some, f"other {len(stale)}"))
        stale.append(read_commit(workspace, version.commit_id).stale)
    assert (stale, looks) == ([10, 1000, 4990, 0], [1])
    with PackWriter(workspace.blobs) as writer:  # nobody says how many paths differ
        tree = build([as_columns([Entry("a", 1, writer.put(b"a"))])], writer)
        written = writer.finish()
    new = NewVersion(dataset="pets", branch="main", tree=tree, written=written, expected=5, actor="anna")
    branches.commit_tree(new)
    assert looks == [1, 1]


def test_packs_of_which_little_is_needed_are_written_anew_where_versions_were_deleted(branches, workspace):
    first = commit(branches, {f"f{n}": f"{n}" * 1000 for n in range(10)})
    second = commit(branches, dict.fromkeys([f"f{n}" for n in range(7)], "new"))
    assert packs(workspace, first) < packs(workspace, second)  # 3 of 10 are needed
    with workspace.database.write() as connection:
        store.mark_deleted(connection, "pets", [1], NOW, "anna", "old")
        assert store.mark_freed(connection, "pets", [1], NOW, NOW) == [1]
    third = commit(branches, {"more": "x"})
    assert not packs(workspace, first) & packs(workspace, third)
    with workspace.database.write() as connection:
        store.mark_deleted(connection, "pets", [2], NOW, "anna", "old")
        store.mark_freed(connection, "pets", [2], NOW, NOW)
    expected = {**dict.fromkeys([f"f{n}" for n in range(7)], "new"), "more": "x"}
    assert contents(branches, "pets") == expected | {f"f{n}": f"{n}" * 1000 for n in range(7, 10)}


def test_no_more_is_written_anew_at_once_than_a_bound(branches, workspace, monkeypatch):
    monkeypatch.setattr(gathering, "AT_ONCE", 20)
    for pack in range(3):
        version = commit(branches, {f"{pack}{n}": f"pack {pack} file {n}" for n in range(5)})
    before = packs(workspace, version)
    commit(branches, {f"{pack}{n}": None for pack in range(3) for n in range(4)})
    with workspace.database.write() as connection:
        store.mark_deleted(connection, "pets", [1], NOW, "anna", "old")
        store.mark_freed(connection, "pets", [1], NOW, NOW)
    expected = {f"{pack}4": f"pack {pack} file 4" for pack in range(3)}
    left = [len(before & packs(workspace, commit(branches, {"step": f"{step}"}))) for step in range(4)]
    assert left == [2, 1, 0, 0]  # 13 bytes are needed of each, and no more than 20 written at once
    assert contents(branches, "pets") == {**expected, "step": "3"}


def test_recipes_are_gathered_with_their_chunks_and_bases(branches, workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(gathering, "MOST", 1)
    pytest.importorskip("pyfastcdc")
    chance = random.Random(1)
    first = chance.randbytes(12 << 20)
    second = first[: 6 << 20] + b"inserted" + first[6 << 20 :]
    path = tmp_path / "big"
    path.write_bytes(first)
    whole = workspace.blobs.put_file(path)
    path.write_bytes(second)
    with PackWriter(workspace.blobs) as writer:
        digest = chunks.put_chunked(path, writer, Contents(workspace.blobs), (whole, len(first)))
        tree = build([as_columns([Entry("big", len(second), digest)])], writer)
        written = writer.finish()
    new = NewVersion(dataset="pets", branch="main", tree=tree, written=written, expected=None, actor="anna")
    branches.commit_tree(new)
    for number in range(3):
        commit(branches, {"other": str(number)})
    collect(workspace)
    version = branches.resolve("pets")
    assert branches.contents(version).read(digest, len(second)) == second
    assert whole in needed(workspace)


def test_large_files_and_staged_ones_are_needed(branches, workspace, tmp_path):
    data = b"x" * (1 << 20)
    digest = workspace.blobs.put(data)
    with PackWriter(workspace.blobs) as writer:
        tree = build([as_columns([Entry("big", len(data), digest)])], writer)
        written = writer.finish()
    branches.commit_tree(
        NewVersion(dataset="pets", branch="main", tree=tree, written=written, expected=None, actor="anna")
    )
    staged = workspace.blobs.put(b"staged")
    with workspace.database.write() as connection:
        connection.execute(
            sa.text("INSERT INTO data_staged VALUES ('pets', 'main', 'p', :entry, 0)"),
            {"entry": f'{{"digest": "{staged}"}}'},
        )
    assert {digest, staged} <= needed(workspace)


def test_a_small_file_that_is_a_blob_in_one_dataset_and_packed_in_another(branches, workspace):
    """The same leaf of two trees; what the one finds in its pack, the other has as a blob only."""
    commit(branches, {"a": "small"})
    version = branches.resolve("pets")
    with PackWriter(workspace.blobs) as writer:
        digest = workspace.blobs.put(b"small")
        tree = build([as_columns([Entry("a", 5, digest)])], writer)
        written = writer.finish()
    assert tree == version.tree
    branches.commit_tree(
        NewVersion(dataset="zoo", branch="main", tree=tree, written=written, expected=None, actor="anna")
    )
    collect(workspace)
    assert contents(branches, "zoo") == contents(branches, "pets") == {"a": "small"}


def test_versions_of_older_treadles_get_their_place(workspace, source):
    datasets, branches = Datasets(workspace), Branches(workspace)
    old = [datasets.snapshot("rows", "anna")]
    rows(source, 0, 10)
    old.append(datasets.snapshot("rows", "anna"))
    with workspace.database.write() as connection:
        connection.execute(
            versions.update().values(commit_id="", tree="", count=0, branch="", parents=(), message="")
        )
        for table in ("data_sets", "data_refs"):
            connection.execute(sa.text(f"DELETE FROM {table}"))
    found = [branches.resolve(f"rows@v{number}") for number in (1, 2)]
    assert [(one.digest, one.tree, one.count) for one in found] == [(o.digest, o.tree, 1) for o in old]
    assert (found[0].parents, found[1].parents) == ((), (found[0].commit_id,))
    assert branches.head("rows", "main") == found[1] == datasets.get("rows")
    assert [ref.number for ref in branches.refs("rows", "branch")] == [2]
    assert datasets.snapshot("rows", "anna") == found[1]
    branches.create_ref("rows", "branch", "exp", "v1", "anna")
    rows(source, 0, 20)
    assert datasets.snapshot("rows", "anna").parents == (found[1].commit_id,)
    assert [one.number for one in branches.log("rows")] == [3, 2, 1]
    merged = branches.merge("rows", Merge(source="main", target="exp")).version
    assert merged.digest == datasets.get("rows").digest
    collect(workspace)
    assert all(path.exists() for one in (*found, merged) for path in datasets.paths(one))


def test_a_commit_of_a_newer_treadle_is_refused(branches, workspace):
    version = commit(branches, {"a": "1"})
    raw = workspace.blobs.get(version.commit_id)
    with pytest.raises(CorruptData, match="format 2") as error:
        decode_commit(raw.replace(b'"format":1', b'"format":2'), version.commit_id)
    assert "upgrade Treadle" in error.value.fix
    with pytest.raises(CorruptData, match="no commit"):
        decode_commit(b"{}", version.commit_id)
    assert isinstance(decode_commit(raw, version.commit_id), Commit)


def test_who_expects_another_head_is_told(branches):
    first = commit(branches, {"a": "1"})
    commit(branches, {"a": "2"})
    new = NewVersion(
        dataset="pets", branch="main", tree=first.tree, written=gathering.Written(), expected=1, actor="ben"
    )
    with pytest.raises(Conflict, match="stands at v2, not at v1: it moved meanwhile") as error:
        branches.commit_tree(new)
    assert "merge" in error.value.fix
    assert branches.head("pets", "main").number == 2
