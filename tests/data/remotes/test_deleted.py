"""What was deleted here isn't pushed and is told of; what a remote has comes back; a remote isn't touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from data.remotes.conftest import Clone
from treadle.data import Branches, DeleteVersions, KeptByData, Merge, Retention
from treadle.govern import Collect, Collector
from treadle.kernel.errors import Deleted
from treadle.kernel.events import timeline

LARGE = bytes(range(256)) * 5000


def retention(of: Clone) -> Retention:
    return Retention(of.workspace, Branches(of.workspace), [KeptByData()], lambda *_: set())


def delete(of: Clone, *versions: str, freed: bool = False) -> None:
    retention(of).delete("data", DeleteVersions(versions=versions, reason="old", actor="ada"))
    if freed:
        keepers = [KeptByData()]
        collector = Collector(of.workspace, keepers, retention(of), safety=timedelta(hours=-1))
        assert collector.collect(Collect(older_than=0.0, apply=True)).versions == len(versions)


@pytest.fixture
def ada(clone: Callable[..., Clone]) -> Clone:
    """Ada has four versions; the second has a large file that no other has."""
    ada = clone("ada")
    ada.add({"a": b"1"})
    ada.add({"a": b"2", "large": LARGE})
    (ada.root / "data" / "large").unlink()
    ada.add({"a": b"3"})
    ada.add({"a": b"4"})
    return ada


@pytest.mark.parametrize("freed", [False, True])
def test_lines_hold_together_around_what_was_deleted(ada: Clone, clone: Callable[..., Clone], freed) -> None:
    ada.branches.create_ref("data", "branch", "exp", "v1", "ada")
    delete(ada, "v2", freed=freed)
    pushed = ada.push("data@main", "data@exp")
    assert pushed.versions == ("data@v1", "data@v3", "data@v4")
    assert ada.push("data@main").versions == ()
    with pytest.raises(Deleted, match="data@v2 was deleted by ada"):
        ada.push("data@v2")

    ben = clone("ben")
    found = ben.fetch("data@main", "data@exp")
    assert [one.known for one in found] == [4, 0]
    assert [(one.number, bool(one.deleted_at)) for one in ben.branches.log("data")] == [
        (4, False),
        (3, False),
        (2, True),
        (1, False),
    ]
    second = ben.branches.resolve("data@v2", deleted=True)
    assert (second.deleted_by, second.deleted_reason, second.files) == ("ada", "old", ())
    assert second.freed_at
    with pytest.raises(Deleted, match="data@v2 was deleted by ada"):
        ben.fetch("data@v2")
    with pytest.raises(Deleted):
        ben.verify("data@v2")
    assert ben.verify().damages == ben.verify(at_remote=True).damages == ()
    ben.take(ada)
    ben.checkout()
    ben.add({"b": b"new"}, branch="exp2")
    merged = ben.branches.merge("data", Merge(source="exp2", target="exp")).version  # they began with v1
    assert ben.read(merged.ref) == {"a": b"4", "b": b"new"}


@pytest.mark.parametrize("freed", [False, True])
@pytest.mark.parametrize("contents", [True, False])
def test_what_is_at_the_remote_comes_back(ada: Clone, freed: bool, contents: bool) -> None:
    ada.push("data@main")
    before = ada.branches.resolve("data@v2")
    delete(ada, "v1", "v2", freed=freed)
    assert ada.push("data@main").versions == ()
    assert ada.verify(at_remote=True).versions == 4  # nothing changes there
    [found] = ada.fetch("data@v2", contents=contents)
    assert (found.ref, found.known, found.note) == (
        "data@v2",
        0,
        "data@v2 was deleted here by ada, and is there again",
    )
    assert ada.branches.resolve("data@v2") == before
    assert ada.read("data@v2") == {"a": b"2", "large": LARGE}
    assert ada.branches.resolve("data@v1", deleted=True).deleted_at  # it wasn't named
    assert ada.verify().damages == ()
    assert timeline(ada.workspace.database, "data:data")[-1].message == (
        "data@v2 was restored from remote 'origin'"
    )
    [again] = ada.fetch("data@v2")
    assert again.note == ""


def test_somebody_else_may_still_have_it(ada: Clone, clone: Callable[..., Clone]) -> None:
    """Ada deletes and pushes before Cleo, who has the version, pushes hers."""
    ada.push("data@main")
    cleo, ben = clone("cleo"), clone("ben")
    cleo.fetch("data@main")
    for path in sorted((ada.root.parent / "remote").rglob("*.json")):
        if "versions" in path.parts and ada.branches.resolve("data@v2").commit_id in path.name:
            path.unlink()  # as if it had never been pushed
    delete(ada, "v2", freed=True)
    ada.push("data@main")
    ben.fetch("data@main")
    with pytest.raises(Deleted):
        ben.fetch("data@v2")
    assert cleo.push("data@main").versions == ("data@v2",)
    [found] = ben.fetch("data@v2")
    assert found.note == "data@v2 was deleted here by ada, and is there again"
    assert ben.read("data@v2") == {"a": b"2", "large": LARGE}
