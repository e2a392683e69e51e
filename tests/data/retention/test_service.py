"""Versions are deleted unless something needs them, and restored; what is known of them stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import pytest

from branching import commit, contents
from data.retention.using import start, use
from treadle.api.rooms import Rooms
from treadle.data import (
    AddPath,
    Checkout,
    DeleteVersions,
    Merge,
    NewReview,
    PruneVersions,
    RefSettings,
    RestoreVersions,
    Revert,
    ReviewChange,
    Rows,
    Source,
    VacuumTable,
    WriteRows,
)
from treadle.kernel.errors import Conflict, Deleted, InvalidInput, NotFound
from treadle.kernel.events import timeline
from treadle.registry import NewCatalogVersion


def delete(rooms: Rooms, *versions: str, dataset: str = "pets", **more: object) -> list[str]:
    asked = DeleteVersions(versions=versions, actor="anna", **more)
    return [one.ref for one in rooms.retention.delete(dataset, asked).versions]


def deleted(rooms: Rooms, dataset: str = "pets") -> list[int]:
    return [one.number for one in reversed(rooms.datasets.log(dataset)) if one.deleted_at]


def needed(rooms: Rooms, number: int, dataset: str = "pets") -> dict[str, str]:
    """What needs a version, and what ends that."""
    asked = DeleteVersions(versions=(f"v{number}",), dry_run=True)
    kept = rooms.retention.delete(dataset, asked).kept
    return {use.by: use.fix for one in kept for use in one.uses}


# ── deleting and restoring ───────────────────────────────────────────────


def test_a_deleted_version_is_known_and_can_not_be_read(rooms: Rooms) -> None:
    assert delete(rooms, "v2", reason=" old  ") == ["pets@v2"]
    [found] = [one for one in rooms.branches.log("pets") if one.number == 2]
    assert (found.deleted_by, found.deleted_reason, found.freed_at) == ("anna", "old", None)
    assert datetime.now(UTC) - found.deleted_at < timedelta(minutes=1)
    assert rooms.branches.resolve("pets@v2", deleted=True) == found
    assert [one.number for one in rooms.branches.log("pets@v2")] == [2, 1]
    for read in (
        lambda: rooms.branches.resolve("pets@v2"),
        lambda: rooms.branches.resolve(f"pets@{found.commit_id}"),
        lambda: rooms.branches.compare("pets@v2", "pets"),
        lambda: rooms.branches.merge("pets", Merge(source="v2", target="main")),
        lambda: rooms.branches.revert("pets", Revert(version="v2", branch="main")),
        lambda: rooms.branches.revert("pets", Revert(version="v3", branch="main")),  # it began with v2
        lambda: rooms.branches.create_ref("pets", "tag", "old", "v2", "anna"),
        lambda: rooms.branches.contents(found),
        lambda: rooms.datasets.paths(found),
        lambda: rooms.data_paths.entry("pets@v2", "same"),
        lambda: rooms.moving.archive("pets@v2"),
        lambda: rooms.staging.contents(found),
        lambda: delete(rooms, "v2"),
    ):
        with pytest.raises(Deleted, match=r"pets@v2 was deleted by anna on \d{4}-\d\d-\d\d \d\d:\d\d: old"):
            read()
    assert contents(rooms.branches, "pets@v3") == {
        **{f"f{n}": f"text {n}" for n in (1, 2, 3)},
        "same": "version 3",
    }


def test_what_follows_a_deleted_version_can_be_brought_back(rooms: Rooms) -> None:
    """Only taking its changes back needs what it began with."""
    delete(rooms, "v2")
    asked = Revert(version="v3", branch="main", restore=True)
    assert contents(rooms.branches, rooms.branches.revert("pets", asked).ref)["same"] == "version 3"


def test_a_deleted_version_is_restored_as_it_was(anywhere: Rooms) -> None:
    rooms = anywhere
    before = rooms.branches.resolve("pets@v2")
    delete(rooms, "v1..v3")
    assert deleted(rooms) == [1, 2, 3]
    assert rooms.retention.restore("pets", RestoreVersions(versions=("v2", "v4"))) == [before]
    assert rooms.branches.resolve("pets@v2") == before
    assert contents(rooms.branches, "pets@v2")["same"] == "version 2"
    assert [one.number for one in rooms.retention.restore("pets", RestoreVersions())] == [3, 1]
    assert rooms.retention.restore("pets", RestoreVersions()) == []
    assert deleted(rooms) == []


def test_all_of_it_stands_on_the_timeline(rooms: Rooms) -> None:
    delete(rooms, "v1..v2", reason="old")
    rooms.retention.restore("pets", RestoreVersions(versions=("v1",), actor="ben"))
    rooms.retention.prune("pets", PruneVersions(keep_last=2, apply=True, actor="cleo"))
    told = [(one.kind, one.actor, one.message) for one in timeline(rooms.workspace.database, "data:pets")][5:]
    assert told == [
        ("deleted", "anna", "2 versions of pets were deleted: old"),
        ("restored", "ben", "pets@v1 was restored"),
        ("pruned", "cleo", "2 versions of pets were pruned: pruned: kept were the last 2 of each branch"),
    ]


def test_readers_that_keep_versions_open_notice(rooms: Rooms) -> None:
    """A server reads a commit again and again without asking whether there is one."""
    commit_id = rooms.branches.resolve("pets@v2").commit_id
    ref = f"pets@{commit_id}"
    assert rooms.data_paths.file(ref, "same").entry.size
    version = rooms.staging.version("pets", commit_id)
    assert rooms.staging.find(version, "", "pets", "same")
    delete(rooms, "v2")
    with pytest.raises(Deleted):
        rooms.data_paths.file(ref, "same")
    again = rooms.staging.version("pets", commit_id)
    with pytest.raises(Deleted):
        rooms.staging.find(again, "", "pets", "same")
    rooms.retention.restore("pets", RestoreVersions())
    assert rooms.data_paths.file(ref, "same").entry.size
    assert rooms.staging.find(rooms.staging.version("pets", commit_id), "", "pets", "same")


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (("v9",), NotFound, "'pets' has no version v9"),
        (("v7..v9",), NotFound, "'pets' has no version v7..v9"),
        (("v3..v1",), InvalidInput, "ends before it begins"),
        (("v1..",), InvalidInput, "is no range"),
        (("main",), InvalidInput, "'main' is no number of a version"),
        (("latest",), InvalidInput, "no number of a version"),
        (("v1", "v2", "v77"), NotFound, "v77"),
    ],
)
def test_what_names_no_version_is_refused_whole(rooms: Rooms, asked, error, said) -> None:
    with pytest.raises(error, match=said):
        delete(rooms, *asked)
    with pytest.raises(NotFound, match="there is no dataset 'petz'"):
        delete(rooms, "v1", dataset="petz")
    with pytest.raises(InvalidInput, match="a reason is one line"):
        delete(rooms, "v1", reason="a\nb")
    assert deleted(rooms) == []


def test_versions_by_commit_and_ranges_with_holes(rooms: Rooms) -> None:
    commit_id = rooms.branches.resolve("pets@v3").commit_id
    assert delete(rooms, commit_id[:12]) == ["pets@v3"]
    assert delete(rooms, "2..v4", dry_run=True) == ["pets@v4", "pets@v2"]
    assert delete(rooms, "v1..v4") == ["pets@v4", "pets@v2", "pets@v1"]
    with pytest.raises(Deleted):
        delete(rooms, "v1..v4")


# ── what is in use ───────────────────────────────────────────────────────


def test_heads_and_tags(rooms: Rooms) -> None:
    rooms.branches.create_ref("pets", "branch", "exp", "v2", "anna")
    rooms.branches.create_ref("pets", "tag", "best", "v3", "anna")
    assert needed(rooms, 2) == {"branch exp stands at it": "treadle data branch -d pets@exp"}
    assert needed(rooms, 3) == {"tag best stands at it": "treadle data tag -d pets@best"}
    assert list(needed(rooms, 5)) == ["branch main stands at it"]
    with pytest.raises(Conflict) as caught:
        delete(rooms, "v1..v5")
    assert caught.value.message == (
        "3 of 5 versions are in use; nothing was deleted. pets@v5: branch main stands at it; "
        "pets@v3: tag best stands at it; pets@v2: branch exp stands at it"
    )
    with pytest.raises(Conflict, match=r"^pets@v2: it is in use; nothing was deleted.*exp") as caught:
        delete(rooms, "v2")
    assert caught.value.fix == "treadle data branch -d pets@exp"
    assert deleted(rooms) == []
    rooms.branches.delete_ref("pets", "branch", "exp")
    rooms.branches.delete_ref("pets", "tag", "best")
    assert delete(rooms, "v1..v4") == ["pets@v4", "pets@v3", "pets@v2", "pets@v1"]


def test_what_merges_begin_with(anywhere: Rooms) -> None:
    rooms = anywhere
    rooms.branches.create_ref("pets", "branch", "exp", "v2", "anna")
    commit(rooms.branches, {"new": "1"}, "exp")
    fix = "merge what is left of exp, then: treadle data branch -d pets@exp"
    assert needed(rooms, 2) == {"merges of exp, main begin with it": fix}
    assert delete(rooms, "v1", "v3..v4") == ["pets@v4", "pets@v3", "pets@v1"]
    merged = rooms.branches.merge("pets", Merge(source="exp", target="main")).version
    assert contents(rooms.branches, merged.ref)["new"] == "1"
    assert needed(rooms, 2) == {}  # they begin with v6 now
    assert delete(rooms, "v2", "v5") == ["pets@v5", "pets@v2"]
    commit(rooms.branches, {"more": "1"}, "exp")
    assert rooms.branches.merge("pets", Merge(source="exp", target="main")).changed


def test_a_merge_that_began_with_what_was_deleted_is_refused_in_words(rooms: Rooms) -> None:
    rooms.branches.create_ref("pets", "branch", "exp", "v2", "anna")
    side = commit(rooms.branches, {"new": "1"}, "exp")
    rooms.branches.delete_ref("pets", "branch", "exp")
    delete(rooms, "v2")
    said = "pets@v5 and pets@v6 both began with pets@v2, and pets@v2 was deleted"
    with pytest.raises(Deleted, match=said) as caught:
        rooms.branches.merge("pets", Merge(source=f"v{side.number}", target="main"))
    assert caught.value.fix == "bring it back: treadle data restore pets@v2; then merge again"
    rooms.retention.restore("pets", RestoreVersions())
    assert rooms.branches.merge("pets", Merge(source="v6", target="main")).changed


def test_open_reviews(rooms: Rooms) -> None:
    rooms.branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(rooms.branches, {"new": "1"}, "exp")
    rooms.reviews.open("pets", NewReview(source="exp", title="New", actor="anna"))
    assert (
        needed(rooms, 6)["it is the source of the open review pets#1"] == "treadle data review close pets#1"
    )
    assert "it is the target of the open review pets#1" in needed(rooms, 5)
    rooms.reviews.change("pets", 1, ReviewChange(state="closed", actor="anna"))
    assert list(needed(rooms, 6)) == ["branch exp stands at it"]


def test_pointers_in_the_projects_folder(rooms: Rooms) -> None:
    data = rooms.workspace.root / "in" / "cats"
    data.mkdir(parents=True)
    (data / "a").write_text("1")
    rooms.working.add(AddPath(path="in/cats"))
    pointer = rooms.workspace.root / "in" / "cats.treadle"
    kept = pointer.read_text()
    (data / "a").write_text("2")
    rooms.working.add(AddPath(path="in/cats"))
    assert needed(rooms, 1, "cats") == {}
    pointer.write_text(kept)
    fix = "treadle data checkout in/cats --at VERSION, or remove in/cats.treadle"
    assert needed(rooms, 1, "cats") == {"the pointer in/cats.treadle names it": fix}
    rooms.working.checkout(Checkout(paths=("in/cats",), ref="main", force=True))
    assert delete(rooms, "v1", dataset="cats") == ["cats@v1"]
    pointer.write_text(kept)  # as after a checkout of an older commit of Git's
    with pytest.raises(Deleted, match="cats@v1 was deleted"):
        rooms.working.checkout(Checkout(paths=("in/cats",)))
    (data / "a").write_text("3")
    with pytest.raises(Conflict, match="stands at cats@v2, and the data here is cats@v1"):
        rooms.working.add(AddPath(path="in/cats"))
    pointer.write_text("<<<<<<< ours\n")
    with pytest.raises(InvalidInput, match="Git left both sides"):
        delete(rooms, "v1")


def test_runs_that_read_it(anywhere: Rooms) -> None:
    rooms = anywhere
    second = rooms.branches.resolve("pets@v2")
    start(rooms, "reads", use(second))
    assert needed(rooms, 2) == {"run reads read it (training)": "treadle runs delete reads"}
    rooms.tracking.delete_run("reads")
    assert delete(rooms, "v2") == ["pets@v2"]


def test_versions_of_the_same_content_are_told_apart_by_what_was_noted(rooms: Rooms) -> None:
    rooms.branches.revert("pets", Revert(version="v2", branch="main", restore=True))
    commit(rooms.branches, {"last": "1"})
    again = rooms.branches.resolve("pets@v6")
    assert again.digest == rooms.branches.resolve("pets@v2").digest
    start(rooms, "noted", use(again))
    assert (needed(rooms, 2), len(needed(rooms, 6))) == ({}, 1)
    start(rooms, "elsewhere", use(again, number=77))  # it came from another workspace
    start(rooms, "unsaid", msgspec.structs.replace(use(again), source="no JSON"))
    assert (len(needed(rooms, 2)), len(needed(rooms, 6))) == (2, 3)


def test_runs_that_made_it(rooms: Rooms) -> None:
    start(rooms, "maker")
    made = rooms.branches.commit("pets", "main", [], actor="anna", origin=(Source("run", "maker"),))
    commit(rooms.branches, {"last": "1"})
    assert needed(rooms, made.number) == {"run maker made it": "treadle runs delete maker"}
    rooms.tracking.delete_run("maker")
    assert needed(rooms, made.number) == {}


def test_registered_versions_of_mlflow(rooms: Rooms) -> None:
    second = rooms.branches.resolve("pets@v2")
    run = start(rooms, "trained", use(second))
    rooms.catalog.create_model("classifier")
    rooms.catalog.create_version(NewCatalogVersion(model="classifier", source=f"runs:/{run}/model", run=run))
    rooms.tracking.delete_run(run)
    [(by, fix)] = needed(rooms, 2).items()
    assert by == "model version classifier/1 came of a run that read it (training)"
    assert "Archived" in fix
    rooms.catalog.move_version("classifier", "1", "Archived")
    assert needed(rooms, 2) == {}


# ── a whole dataset ──────────────────────────────────────────────────────


def test_a_whole_dataset_goes_with_its_branches_and_comes_back(anywhere: Rooms) -> None:
    rooms = anywhere
    rooms.branches.create_ref("pets", "branch", "exp", "v2", "anna")
    commit(rooms.branches, {"new": "1"}, "exp")
    rooms.branches.create_ref("pets", "tag", "best", "v3", "anna")
    before = {one.name: one.number for kind in ("branch", "tag") for one in rooms.branches.refs("pets", kind)}
    assert len(delete(rooms)) == 6
    assert rooms.datasets.list() == []
    with pytest.raises(Deleted, match="pets@v5 was deleted") as caught:
        rooms.branches.resolve("pets")
    assert caught.value.fix == "bring it back: treadle data restore pets@v5"
    (rooms.workspace.root / "pets").mkdir()
    (rooms.workspace.root / "pets" / "a").write_text("1")
    for write in (
        lambda: rooms.working.add(AddPath(path="pets")),
        lambda: commit(rooms.branches, {"a": "1"}),
        lambda: rooms.branches.create_ref("pets", "branch", "late", "main", "anna"),
        lambda: delete(rooms),
    ):
        with pytest.raises(Deleted):
            write()
    assert len(rooms.retention.restore("pets", RestoreVersions())) == 6
    after = {one.name: one.number for kind in ("branch", "tag") for one in rooms.branches.refs("pets", kind)}
    assert after == before
    assert contents(rooms.branches, "pets@exp")["new"] == "1"


def test_a_whole_dataset_in_use_stays(rooms: Rooms) -> None:
    start(rooms, "reads", use(rooms.branches.resolve("pets@v2")))
    with pytest.raises(Conflict, match=r"1 of 5 versions are in use.*pets@v2: run reads read it"):
        delete(rooms)
    rooms.tracking.delete_run("reads")
    rooms.branches.protect("pets", "main", RefSettings(protected=True), "anna")
    with pytest.raises(Conflict, match="branch main is protected") as caught:
        delete(rooms)
    assert "treadle data protect pets@main --off" in caught.value.fix
    assert deleted(rooms) == []


# ── policies ─────────────────────────────────────────────────────────────


def prune(rooms: Rooms, **asked: object) -> tuple[list[int], list[int], int]:
    found = rooms.retention.prune("pets", PruneVersions(**asked))
    going, kept = ([int(one.ref.partition("@v")[2]) for one in side] for side in (found.versions, found.kept))
    return going, kept, found.others


def test_a_policy_keeps_the_newest_of_each_branch(anywhere: Rooms) -> None:
    rooms = anywhere
    rooms.branches.create_ref("pets", "branch", "exp", "v2", "anna")
    for text in "abc":
        commit(rooms.branches, {"new": text}, "exp")
    assert prune(rooms, keep_last=1) == ([7, 6, 4, 3, 1], [2], 2)  # 2 is what merges begin with
    assert prune(rooms, keep_last=2) == ([6, 3, 1], [2], 4)
    assert prune(rooms, keep_last=4) == ([1], [], 7)
    assert prune(rooms, keep_last=9) == ([], [], 8)
    assert deleted(rooms) == []
    assert prune(rooms, keep_last=1, apply=True) == ([7, 6, 4, 3, 1], [2], 2)
    assert deleted(rooms) == [1, 3, 4, 6, 7]
    assert prune(rooms, keep_last=1, apply=True) == ([], [2], 2)
    found = rooms.branches.resolve("pets@v3", deleted=True)
    assert found.deleted_reason == "pruned: kept were the last 1 of each branch"
    for name in ("main", "exp"):
        rooms.branches.merge("pets", Merge(source="exp", target="main"))
        assert contents(rooms.branches, f"pets@{name}")["new"] == "c"


def test_a_policy_keeps_what_is_young(rooms: Rooms) -> None:
    at = rooms.workspace.clock.now()
    with rooms.workspace.database.write() as connection:
        from treadle.data.store import versions

        for number, days in ((1, 100), (2, 50), (3, 10)):
            change = versions.update().where(versions.c.number == number)
            connection.execute(change.values(created_at=at - timedelta(days=days)))
    assert prune(rooms, keep_for="90d") == ([1], [], 4)
    assert prune(rooms, keep_for="30d") == ([2, 1], [], 3)
    assert prune(rooms, keep_for="1d", keep_last=3) == ([2, 1], [], 3)  # what either of them keeps
    assert prune(rooms, keep_for="1d", keep_last=4, reason="so it is", apply=True) == ([1], [], 4)
    assert rooms.branches.resolve("pets@v1", deleted=True).deleted_reason == "so it is"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing says which versions are kept"),
        ({"keep_last": -1}, "-1 versions can't be kept"),
        ({"keep_for": "soon"}, "'soon' is not a duration"),
        ({"keep_last": 1, "reason": "x" * 1001}, "a reason is one line"),
    ],
)
def test_a_policy_that_is_none_is_refused(rooms: Rooms, asked, said) -> None:
    with pytest.raises(InvalidInput, match=said):
        prune(rooms, apply=True, **asked)
    assert deleted(rooms) == []


def test_pruning_leaves_what_is_in_use(rooms: Rooms) -> None:
    start(rooms, "reads", use(rooms.branches.resolve("pets@v2")))
    found = rooms.retention.prune("pets", PruneVersions(keep_last=1, apply=True))
    assert [one.ref for one in found.versions] == ["pets@v4", "pets@v3", "pets@v1"]
    assert [(one.ref, one.uses[0].by) for one in found.kept] == [("pets@v2", "run reads read it (training)")]
    assert deleted(rooms) == [1, 3, 4]


# ── tables ───────────────────────────────────────────────────────────────


def test_versions_of_a_table_give_its_files_up(rooms: Rooms) -> None:
    """Those on main are like any other; what somebody pinned stays until all pins are given up."""
    folder = rooms.workspace.root / "in"
    folder.mkdir()

    def rows(low: int, high: int) -> Rows:
        path: Path = folder / f"{low}.parquet"
        duckdb.sql(f"SELECT i AS id FROM range({low}, {high}) t(i)").write_parquet(str(path))
        return Rows(path=f"in/{low}.parquet")

    rooms.tables.create("sales", WriteRows(rows=rows(0, 10)))
    for low in (10, 20, 30):
        rooms.datasets.snapshot("sales", "anna")
        rooms.tables.append("sales", WriteRows(rows=rows(low, low + 10)))
    rooms.datasets.snapshot("sales", "anna")
    pinned = rooms.branches.resolve("sales@delta:1")
    assert pinned.number == 2  # it was a version already
    assert delete(rooms, "v1", "v3", dataset="sales") == ["sales@v3", "sales@v1"]
    with pytest.raises(Deleted):
        rooms.datasets.paths(rooms.branches.resolve("sales@v1", deleted=True))
    again = rooms.branches.resolve("sales@delta:0")
    assert (again.number, again.branch, again.rows) == (5, "time-travel", 10)
    assert next(iter(needed(rooms, 5, "sales"))) == "branch time-travel stands at it"
    rooms.branches.resolve("sales@delta:2")
    assert needed(rooms, 5, "sales") == {
        "it keeps the files of version 0 in the table, as sales@delta:0": "give up all such: "
        "treadle data branch -d sales@time-travel"
    }
    kept = rooms.tables.vacuum("sales", VacuumTable(older_than="0")).kept_for
    assert set(kept) == {f"sales@v{n}" for n in (1, 2, 3, 4, 5, 6)}  # deleted ones can be restored
    rooms.branches.delete_ref("sales", "branch", "time-travel")
    assert len(delete(rooms, "v5..v6", dataset="sales")) == 2
