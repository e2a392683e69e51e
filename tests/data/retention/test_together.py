"""Versions are deleted and collected while others begin to use them, or build on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from branching import commit, contents
from data.retention.conftest import project
from data.retention.using import start, use
from meanwhile import meanwhile
from servers import postgres_server, postgres_url  # noqa: F401
from treadle.api.rooms import Rooms
from treadle.data import DeleteVersions, Merge, PruneVersions, RestoreVersions, Revert, Verify
from treadle.data import store as versions
from treadle.data.branches import commits
from treadle.data.branches import store as refs
from treadle.data.retention.uses import Uses
from treadle.govern import Collect
from treadle.kernel.errors import Conflict, Deleted, TreadleError


def delete(rooms: Rooms, *versions: str) -> None:
    rooms.retention.delete("pets", DeleteVersions(versions=versions))


def free(rooms: Rooms) -> int:
    """Collects what is old enough; all that was put before the test began is."""
    return rooms.collector.collect(Collect(older_than=0.0, apply=True)).versions


def age(rooms: Rooms) -> None:
    for blob in rooms.workspace.blobs.stored():
        os.utime(rooms.workspace.blobs.path(blob.digest), (1, 1))


def whole(rooms: Rooms) -> None:
    assert rooms.remotes.verify(Verify()).damages == ()


def during(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, work: Callable[[], object]) -> None:
    """Does something once, before a function is called."""
    function = getattr(owner, name)

    def first(*arguments: object, **named: object) -> object:
        monkeypatch.setattr(owner, name, function)
        work()
        return function(*arguments, **named)

    monkeypatch.setattr(owner, name, first)


def _merge(rooms: Rooms) -> object:
    return rooms.branches.merge("pets", Merge(source="v6", target="main"))


def _revert(rooms: Rooms) -> object:
    return rooms.branches.revert("pets", Revert(version="v1", branch="main", restore=True))


def _pick(rooms: Rooms) -> object:
    return rooms.staging.pick("pets", "main", rooms.branches.resolve("pets@v6"), 1, "anna")


@pytest.mark.parametrize("moment", ["next_number", "version_of"])
@pytest.mark.parametrize("build", [_merge, _revert, _pick])
def test_what_is_built_on_a_version_that_goes_meanwhile_is_refused(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, build: Callable[[Rooms], object], moment: str
) -> None:
    """It is deleted and collected before the commit is written, or after that, before the branch moves."""
    rooms.branches.create_ref("pets", "branch", "exp", "v1", "anna")
    side = commit(rooms.branches, {"new": "1"}, "exp")
    rooms.branches.delete_ref("pets", "branch", "exp")
    number = 1 if build is _revert else side.number
    age(rooms)

    def gone() -> None:
        delete(rooms, f"v{number}")
        assert free(rooms) == 1

    during(monkeypatch, commits.versions if moment == "next_number" else commits, moment, gone)
    with pytest.raises(Deleted, match=f"pets@v{number} was deleted"):
        build(rooms)
    assert rooms.branches.resolve("pets").number == 5
    whole(rooms)


def test_a_branch_or_tag_is_made_before_or_not_at_all(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = rooms.branches.resolve

    def resolved_then_deleted(ref: str, **more: bool) -> object:
        found = resolve(ref, **more)
        monkeypatch.setattr(rooms.branches, "resolve", resolve)
        delete(rooms, "v2")
        return found

    monkeypatch.setattr(rooms.branches, "resolve", resolved_then_deleted)
    with pytest.raises(Deleted):
        rooms.branches.create_ref("pets", "tag", "best", "v2", "anna")
    assert rooms.branches.refs("pets", "tag") == []


def test_a_run_that_began_to_read_keeps_what_it_says_it_read(anywhere: Rooms) -> None:
    """Either it is refused to delete it, or the run notes it later, and then it isn't collected."""
    rooms = anywhere
    version = rooms.branches.resolve("pets@v2")
    ready = threading.Barrier(2)
    refused: list[TreadleError] = []

    def reads() -> None:
        ready.wait()
        start(rooms, "reader", use(version))

    def deletes() -> None:
        ready.wait()
        try:
            delete(rooms, "v2")
        except Conflict as error:
            refused.append(error)

    for work in (threads := [threading.Thread(target=one) for one in (reads, deletes)]):
        work.start()
    for work in threads:
        work.join()
    assert free(rooms) == 0
    rooms.retention.restore("pets", RestoreVersions())
    assert contents(rooms.branches, "pets@v2")["same"] == "version 2"
    assert all("run reader read it" in error.message for error in refused)


def _again_and_again(rooms: Rooms, work: Callable[[Rooms, int], object], failed: list[str]) -> None:
    for step in range(6):
        try:
            work(rooms, step)
        except TreadleError:
            continue
        except Exception as error:  # noqa: BLE001 - told by the test
            failed.append(repr(error))


def _names(rooms: Rooms, step: int) -> None:
    rooms.branches.create_ref("pets", "branch", f"b{step}", f"v{step + 1}", "anna")
    commit(rooms.branches, {f"b{step}": "1"}, f"b{step}")


def _commits(rooms: Rooms, step: int) -> None:
    commit(rooms.branches, {"same": f"main {step}"})


def _merges(rooms: Rooms, step: int) -> None:
    rooms.branches.merge("pets", Merge(source=f"b{step}", target="main"))
    rooms.branches.delete_ref("pets", "branch", f"b{step}")


def _restores(rooms: Rooms, step: int) -> None:
    rooms.branches.revert("pets", Revert(version=f"v{step + 1}", branch="main", restore=True))


def _deletes(rooms: Rooms, step: int) -> None:
    delete(rooms, f"v{step + 1}")
    delete(rooms, f"v{step + 4}")


def test_many_delete_and_build_at_once(anywhere: Rooms) -> None:
    """Whatever wins: every version that isn't deleted is whole, and stands on what is known."""
    rooms = anywhere
    age(rooms)
    failed: list[str] = []
    work = (_names, _commits, _merges, _restores, _deletes, lambda rooms, _: free(rooms))
    threads = [threading.Thread(target=_again_and_again, args=(rooms, one, failed)) for one in work]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    age(rooms)
    for _ in range(2):
        whole(rooms)
        live = {one.number for one in rooms.datasets.log("pets") if one.deleted_at is None}
        standing = [ref.number for kind in ("branch", "tag") for ref in rooms.branches.refs("pets", kind)]
        assert set(standing) <= live
        for number in live:
            assert contents(rooms.branches, f"pets@v{number}")
        free(rooms)


def test_two_that_delete_the_same(anywhere: Rooms) -> None:
    """One does it, the other is told that it is done."""
    rooms = anywhere
    done: list[object] = []

    def deletes() -> None:
        try:
            delete(rooms, "v1..v3")
            done.append(True)
        except (Deleted, Conflict) as error:
            done.append(error)

    threads = [threading.Thread(target=deletes) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one is True for one in done].count(True) == 1
    assert [one.number for one in rooms.datasets.log("pets") if one.deleted_at] == [3, 2, 1]


def test_uses_are_looked_at_after_marking(anywhere: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds a version after it was marked waits, and is refused; who held it before is seen."""
    rooms = anywhere
    seen: list[str] = []

    def tag() -> None:
        def make() -> None:
            try:
                rooms.branches.create_ref("pets", "tag", "late", "v2", "anna")
                seen.append("made")
            except Deleted:
                seen.append("refused")

        waiting = threading.Thread(target=make)
        waiting.start()
        threads.append(waiting)

    threads: list[threading.Thread] = []
    during(monkeypatch, Uses, "of", tag)
    delete(rooms, "v2")
    for one in threads:
        one.join()
    assert seen == ["refused"]


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_url: str) -> Iterator[Rooms]:  # noqa: F811
    """The same on Postgres, where others write while somebody deletes."""
    yield from project(tmp_path / "project", postgres_url)


@pytest.mark.parametrize("moment", [(refs, "refs_of"), (versions, "known"), (versions, "lineage")])
@pytest.mark.parametrize("prunes", [False, True])
def test_a_version_is_made_while_another_is_deleted(
    on_postgres: Rooms, monkeypatch: pytest.MonkeyPatch, prunes: bool, moment: tuple[object, str]
) -> None:
    """Whenever it is made, what it stands on is known to who deletes."""
    rooms = on_postgres
    during(monkeypatch, *moment, lambda: commit(rooms.branches, {"new": "1"}))
    if prunes:
        rooms.retention.prune("pets", PruneVersions(keep_last=2, apply=True))
    else:
        delete(rooms, "v1..v3")
    live = [one.number for one in rooms.datasets.log("pets") if one.deleted_at is None]
    assert live in ([6, 5], [6, 5, 4])
    assert contents(rooms.branches, "pets")["new"] == "1"


def test_a_version_is_made_while_the_whole_dataset_is_deleted(
    on_postgres: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All goes, or the version is refused: none is left alone."""
    rooms = on_postgres
    during(monkeypatch, versions, "mark_deleted", lambda: commit(rooms.branches, {"new": "1"}))
    delete(rooms)
    assert [one.number for one in rooms.datasets.log("pets") if one.deleted_at is None] == []


@pytest.mark.parametrize("moment", ["any_of", "delete_dataset"])
def test_a_version_is_made_while_its_dataset_is_forgotten(
    on_postgres: Rooms, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    rooms = on_postgres
    delete(rooms)
    database = rooms.workspace.database
    other = meanwhile(
        monkeypatch, database, refs, moment, lambda: commit(rooms.branches, {"new": "1"}, "again")
    )
    free(rooms)
    assert other.result(10).number == 6
    assert "pets" in [one.name for one in rooms.branches.datasets()]
    assert contents(rooms.branches, "pets@again") == {"new": "1"}
