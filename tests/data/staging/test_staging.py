"""What is staged on a branch: seen there only, committed as a whole, told apart from what is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.branches.commits import NewVersion
from treadle.data.branches.service import Branches
from treadle.data.branches.types import RefSettings
from treadle.data.keeping import KeptByData
from treadle.data.staging.rules import effective, list_sorted
from treadle.data.staging.service import Staging
from treadle.data.staging.types import About, Staged
from treadle.data.tree.types import Entry
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace


@pytest.fixture
def staging(workspace: Workspace, branches: Branches) -> Staging:
    return Staging(workspace, branches)


def put(staging: Staging, workspace: Workspace, path: str, data: bytes, branch: str = "main") -> Entry:
    entry = Entry(path, len(data), workspace.blobs.put(data))
    staging.put("pets", branch, entry, About())
    return entry


def seen(staging: Staging, branches: Branches, branch: str = "main", **asked: str) -> list[str]:
    head = branches.head("pets", branch)
    prefix = asked.pop("prefix", "")
    return [one.path for one in staging.listing(head, branch, "pets", prefix, **asked)]  # type: ignore[arg-type]


def test_staged_objects_are_seen_on_their_branch_only_until_they_are_committed(
    workspace: Workspace, branches: Branches, staging: Staging
) -> None:
    entry = put(staging, workspace, "a/one", b"1")
    assert seen(staging, branches) == ["a/one"]
    assert staging.find(None, "main", "pets", "a/one") == entry
    assert branches.head("pets", "main") is None
    version = staging.commit("pets", "main", message="first", actor="ada", values={"ticket": "7"})
    assert version is not None
    assert (version.count, version.message, version.actor) == (1, "first", "ada")
    assert branches.contents(version).indexes.find(bytes.fromhex(entry.digest)), "a small one is packed"
    assert staging.commit("pets", "main", message="again", actor="ada") is None
    assert staging.about_commits("pets", [version.commit_id])[version.commit_id].values == {"ticket": "7"}

    branches.create_ref("pets", "branch", "exp", "main", "ada")
    put(staging, workspace, "b", b"2", branch="exp")
    staging.remove("pets", "exp", ["a/one", "nowhere"])
    assert (seen(staging, branches, "exp"), seen(staging, branches)) == (["b"], ["a/one"])
    assert [(one.path, one.before, one.after is None) for one in staging.changes("pets", "exp")] == [
        ("a/one", entry, True),
        ("b", None, False),
    ]
    with pytest.raises(Conflict, match="uncommitted"):
        staging.check_clean("pets", "exp")
    staging.reset("pets", "exp", prefix="a/")
    assert seen(staging, branches, "exp") == ["a/one", "b"]
    staging.reset("pets", "exp", path="b")
    staging.check_clean("pets", "exp")


def test_what_is_staged_as_it_is_committed_is_no_change(
    workspace: Workspace, branches: Branches, staging: Staging
) -> None:
    put(staging, workspace, "a", b"1")
    assert staging.commit("pets", "main", message="", actor="ada")
    put(staging, workspace, "a", b"1")
    assert list(staging.changes("pets", "main")) == []
    put(staging, workspace, "a", b"2")
    staging.remove("pets", "main", ["a"])
    put(staging, workspace, "a", b"1")
    assert staging.commit("pets", "main", message="", actor="ada") is None
    empty = staging.commit("pets", "main", message="nothing", actor="ada", empty=True)
    assert empty is not None
    assert empty.tree == branches.resolve("pets@v1").tree


def test_an_object_that_must_be_new_is_refused_where_one_is(
    workspace: Workspace, branches: Branches, staging: Staging
) -> None:
    del branches
    entry = Entry("a", 1, workspace.blobs.put(b"1"))
    staging.put("pets", "main", entry, About(), new=True)
    with pytest.raises(AlreadyExists):
        staging.put("pets", "main", entry, About(), new=True)
    staging.commit("pets", "main", message="", actor="ada")
    with pytest.raises(AlreadyExists):
        staging.put("pets", "main", entry, About(), new=True)
    staging.remove("pets", "main", ["a"])
    staging.put("pets", "main", entry, About(), new=True)


def test_nothing_is_staged_where_it_could_not_be_committed(
    workspace: Workspace, branches: Branches, staging: Staging
) -> None:
    for path in ("", "a//b", "/a", "a/", "../a"):
        with pytest.raises(InvalidInput):
            put(staging, workspace, path, b"1")
    with pytest.raises(NotFound):
        put(staging, workspace, "a", b"1", branch="nowhere")
    branches.protect("pets", "main", RefSettings(protected=True), "ada")
    with pytest.raises(Conflict, match="protected"):
        put(staging, workspace, "a", b"1")


def test_objects_are_copied_and_changes_picked_across_branches(
    workspace: Workspace, branches: Branches, staging: Staging
) -> None:
    put(staging, workspace, "a", b"1")
    staging.commit("pets", "main", message="", actor="ada")
    branches.create_ref("pets", "branch", "exp", "main", "ada")
    entry = put(staging, workspace, "b", b"two", branch="exp")
    theirs = staging.commit("pets", "exp", message="add b", actor="ada")
    assert theirs is not None
    workspace.blobs.remove(entry.digest, workspace.blobs.now())  # it lies in a pack by now

    staging.copy("pets", (theirs, entry), "main", "c")
    copied = staging.commit("pets", "main", message="copy", actor="ada")
    assert copied is not None
    assert branches.contents(copied).read(entry.digest, entry.size) == b"two"

    picked = staging.pick("pets", "main", theirs, 1, "bo")
    assert (picked.message, picked.count) == ("add b", 3)
    with pytest.raises(Conflict, match="nothing would change"):
        staging.pick("pets", "main", theirs, 1, "bo")
    put(staging, workspace, "b", b"else", branch="main")
    staging.commit("pets", "main", message="", actor="ada")
    with pytest.raises(Conflict, match="changed on 'main' too"):
        staging.pick("pets", "main", theirs, 1, "bo")


def test_what_is_staged_is_kept_and_goes_with_its_branch(
    workspace: Workspace, branches: Branches, staging: Staging
) -> None:
    put(staging, workspace, "a", b"1")
    staging.commit("pets", "main", message="", actor="ada")
    branches.create_ref("pets", "branch", "exp", "main", "ada")
    entry = put(staging, workspace, "b", b"2", branch="exp")
    with workspace.database.read() as connection:
        assert entry.digest in set(KeptByData().blobs(workspace, connection, frozenset()))
    branches.delete_ref("pets", "branch", "exp")
    branches.create_ref("pets", "branch", "exp", "main", "ada")
    assert seen(staging, branches, "exp") == ["a"]


@pytest.mark.postgres
def test_on_postgres_paths_are_sorted_by_their_code_points(project: Path, postgres_url: str) -> None:
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n[store]\nmetadata = "{postgres_url}"\n')
    workspace = Workspace.open(project)
    branches = Branches(workspace)
    branches.create_dataset("pets", "ada")
    staging = Staging(workspace, branches)
    paths = ["B", "Z/1", "a/1", "a/2", "a_", "é", "z"]
    for path in reversed(paths):
        put(staging, workspace, path, b"1")
    assert seen(staging, branches) == sorted(paths)
    assert seen(staging, branches, delimiter="/") == ["B", "Z/", "a/", "a_", "z", "é"]
    assert seen(staging, branches, prefix="a/", after="a/1") == ["a/2"]
    staging.reset("pets", "main", prefix="a/")
    entry = put(staging, workspace, "B", b"2")
    with pytest.raises(AlreadyExists):
        staging.put("pets", "main", entry, About(), new=True)
    staging.remove("pets", "main", ["z"])
    version = staging.commit("pets", "main", message="", actor="ada", values={"k": "v"})
    assert version is not None
    assert seen(staging, branches) == ["B", "Z/1", "a_", "é"]
    assert list(staging.changes("pets", "main")) == []
    workspace.close()


def test_what_is_staged_during_a_commit_stays_for_the_next(
    workspace: Workspace, branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = Staging(workspace, branches)
    put(staging, workspace, "a", b"1")
    write = branches.commit_tree

    def slow(new: NewVersion) -> DatasetVersion:
        made = write(new)
        put(staging, workspace, "a", b"2")  # by somebody else, and the clock stands
        return made

    with monkeypatch.context() as patched:
        patched.setattr(branches, "commit_tree", slow)
        staging.commit("pets", "main", message="", actor="ada")
    (left,) = staging.changes("pets", "main")
    assert left.after is not None
    assert left.after.digest == digest_bytes(b"2")


_path = st.from_regex(r"[ab]{1,2}(/[ab]{1,2}){0,2}", fullmatch=True)


@given(st.sets(_path, max_size=12), st.dictionaries(_path, st.booleans(), max_size=8), st.data())
def test_listings_are_those_of_a_store_that_has_what_is_staged(
    committed: set[str], staged: dict[str, bool], data: st.DataObject
) -> None:
    there = {path: Entry(path, 0, digest_bytes(b"")) for path in committed}
    new = {path: Entry(path, 1, digest_bytes(b"1")) for path in staged}

    def entries(begin: str) -> Iterator[Entry]:
        rows = (Staged(p, new[p] if staged[p] else None, 0) for p in sorted(staged) if p > begin)
        return effective(
            (there[p] for p in sorted(there) if p > begin and p.startswith(prefix)),
            (one for one in rows if one.path.startswith(prefix)),
        )

    prefix = data.draw(st.text("ab/", max_size=2))
    delimiter = data.draw(st.sampled_from(["", "/"]))
    limit = data.draw(st.integers(1, 4))
    whole = {**there, **{p: new[p] for p in staged if staged[p]}}
    for path, kept in staged.items():
        if not kept:
            whole.pop(path, None)
    expected = set()
    for path in whole:
        if path.startswith(prefix):
            cut = path.find(delimiter, len(prefix)) if delimiter else -1
            expected.add(path[: cut + 1] if cut >= 0 else path)
    found: list[str] = []
    while True:
        page = list_sorted(
            entries, prefix, after=found[-1] if found else "", limit=limit, delimiter=delimiter
        )
        found.extend(one.path for one in page)
        if len(page) < limit:
            break
    assert found == sorted(expected)


def during(monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[[], object]) -> None:
    """Does something once, right after the staging has looked at a branch's head."""
    head = Branches.head

    def looked(self: Branches, dataset: str, branch: str) -> DatasetVersion | None:
        monkeypatch.setattr(Branches, "head", head)
        found = head(self, dataset, branch)
        work()
        return found

    monkeypatch.setattr(Branches, name, looked)


def test_an_object_that_may_not_be_there_is_committed_meanwhile(staging, workspace, branches, monkeypatch):
    put(staging, workspace, "cat", b"theirs")
    during(monkeypatch, "head", lambda: staging.commit("pets", "main", message="", actor="ben"))
    mine = Entry("cat", 4, workspace.blobs.put(b"mine"))
    with pytest.raises(AlreadyExists):
        staging.put("pets", "main", mine, About(), new=True)
    assert list(staging.changes("pets", "main")) == []


def test_an_object_is_removed_while_it_is_committed(staging, workspace, branches, monkeypatch):
    put(staging, workspace, "cat", b"x")
    during(monkeypatch, "head", lambda: staging.commit("pets", "main", message="", actor="ben"))
    staging.remove("pets", "main", ["cat"])
    assert seen(staging, branches) == []


def test_an_object_is_removed_between_looking_and_committing(staging, workspace, branches, monkeypatch):
    put(staging, workspace, "cat", b"x")
    put(staging, workspace, "dog", b"x")
    during(monkeypatch, "head", lambda: staging.remove("pets", "main", ["cat"]))
    monkeypatch.setattr(Staging, "_check_writable", lambda *_: None)
    staging.commit("pets", "main", message="", actor="ben")
    assert seen(staging, branches) == ["dog"]
