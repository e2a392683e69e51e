"""``treadle gc`` frees what deleted versions had, and nothing that another one has."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest

from branching import commit, contents
from data.retention.using import start, use
from datafiles import rows
from killing import sweep
from servers import S3, s3, s3_server  # noqa: F401
from treadle.api.rooms import Rooms
from treadle.data import AddPath, DeleteVersions, RestoreVersions, SliceSpec, Verify
from treadle.govern import Collect, Collected, Collector
from treadle.kernel.errors import Conflict, Deleted, NotFound

LARGE = 1_200_000


def delete(rooms: Rooms, *versions: str, dataset: str = "pets") -> None:
    rooms.retention.delete(dataset, DeleteVersions(versions=versions, reason="old", actor="anna"))


def collect(rooms: Rooms, *, young: bool = True, **asked: object) -> Collected:
    """Collects, also what was put just now unless told otherwise."""
    safety = timedelta(hours=-1 if young else 24)
    collector = Collector(rooms.workspace, rooms.keepers, rooms.retention, safety=safety)
    return collector.collect(Collect(**{"older_than": 0.0, "apply": True, **asked}))


def stored(rooms: Rooms) -> int:
    return sum(blob.size for blob in rooms.workspace.blobs.stored())


def whole(rooms: Rooms, versions: int) -> None:
    """All versions that aren't deleted are there, bit for bit."""
    found = rooms.remotes.verify(Verify())
    assert (found.damages, found.versions) == ((), versions)


@pytest.fixture
def data(rooms: Rooms) -> Path:
    """A folder of which three versions were made: large files and small ones, shared and their own."""
    folder = rooms.workspace.root / "data"
    folder.mkdir()
    chance = random.Random(1)
    (folder / "shared").write_bytes(chance.randbytes(LARGE))
    for number in range(40):
        (folder / f"small{number}").write_bytes(chance.randbytes(20_000))
    for number in range(3):
        (folder / "large").write_bytes(chance.randbytes(LARGE))
        (folder / "small0").write_bytes(b"version %d" % number)
        rooms.working.add(AddPath(path="data"))
    return folder


def test_what_only_deleted_versions_had_is_freed(rooms: Rooms, data: Path) -> None:
    before = stored(rooms)
    delete(rooms, "v1..v2", dataset="data")
    assert stored(rooms) == before
    plan = collect(rooms, apply=False)
    assert (plan.versions, plan.bytes >= 2 * LARGE) == (2, True)
    assert [(one.kind, one.id, one.name, one.kept) for one in plan.items] == [
        ("dataset version", "data@v1", "old", ""),
        ("dataset version", "data@v2", "old", ""),
    ]
    done = collect(rooms)
    assert (done.versions, done.bytes) == (2, plan.bytes)
    assert before - stored(rooms) == done.bytes
    whole(rooms, 6)
    log = rooms.datasets.log("data")
    assert [(one.number, bool(one.freed_at)) for one in log] == [(3, False), (2, True), (1, True)]
    for again in (
        lambda: rooms.branches.resolve("data@v1"),
        lambda: rooms.retention.restore("data", RestoreVersions(versions=("v1",))),
        lambda: rooms.branches.diff("data@v1", "data"),
    ):
        with pytest.raises(Deleted, match=r"was deleted by anna on .*: old; what it had was freed on"):
            again()
    assert rooms.retention.restore("data", RestoreVersions()) == []
    assert collect(rooms).versions == 0
    (data / "small1").write_bytes(b"and on")
    assert rooms.working.add(AddPath(path="data")).number == 4
    whole(rooms, 7)


def test_contents_come_back_when_they_are_added_again(rooms: Rooms, data: Path) -> None:
    """Of what was freed nothing counts as kept: neither by the working tree's state nor by packs."""
    chance = random.Random(1)
    first = {"shared": chance.randbytes(LARGE)} | {f"small{n}": chance.randbytes(20_000) for n in range(40)}
    first |= {"large": chance.randbytes(LARGE), "small0": b"version 0"}
    delete(rooms, "v1", dataset="data")
    collect(rooms)
    for name, content in first.items():
        (data / name).write_bytes(content)
    made = rooms.working.add(AddPath(path="data"))
    assert made.digest == rooms.branches.resolve("data@v1", deleted=True).digest
    whole(rooms, 8)


def test_packs_go_with_the_last_version_that_needs_them(rooms: Rooms) -> None:
    first = {f"{n}": os.urandom(5000) for n in range(50)}
    commit(rooms.branches, dict.fromkeys([*contents(rooms.branches, "pets")]))
    commit(rooms.branches, first)
    commit(rooms.branches, {name: os.urandom(5000) for name in first})  # all of them are others now
    delete(rooms, "v1..v7")
    assert 250_000 <= collect(rooms).bytes < 300_000
    whole(rooms, 1)
    commit(rooms.branches, {name: os.urandom(5000) for name in list(first)[:40]})
    commit(rooms.branches, {"more": "x"})
    delete(rooms, "v8", "v9")
    assert 250_000 <= collect(rooms).bytes < 300_000  # 10 of 50 were written anew, into a pack of their own
    whole(rooms, 1)


def test_there_is_a_grace_in_which_all_can_be_restored(rooms: Rooms) -> None:
    delete(rooms, "v1..v3")
    assert collect(rooms, older_than=3600.0).versions == 0
    assert len(rooms.retention.restore("pets", RestoreVersions())) == 3
    assert collect(rooms).versions == 0
    whole(rooms, 5)


def test_what_came_to_be_used_since_stays(anywhere: Rooms) -> None:
    rooms = anywhere
    second = rooms.branches.resolve("pets@v2")
    delete(rooms, "v1..v3")
    start(rooms, "late", use(second))  # it had read it before, and says so now
    found = collect(rooms)
    assert found.versions == 2
    assert [one.kept for one in found.items if one.kept] == ["run late read it (training)"]
    rooms.retention.restore("pets", RestoreVersions())
    assert contents(rooms.branches, "pets@v2")["same"] == "version 2"
    whole(rooms, 3)


def test_only_what_was_named_goes(rooms: Rooms) -> None:
    commit(rooms.branches, {"a": "1"}, dataset="cats")
    commit(rooms.branches, {"a": "2"}, dataset="cats")
    delete(rooms, "v1..v2")
    delete(rooms, "v1", dataset="cats")
    with pytest.raises(NotFound, match="no version of data that was deleted that long ago 'pets@v3'"):
        collect(rooms, data=("pets@v3",))
    assert collect(rooms, runs=(), experiments=(), data=("pets@v2",)).versions == 1
    assert collect(rooms, data=("cats",)).versions == 1
    assert rooms.branches.resolve("pets@v1", deleted=True).freed_at is None


def test_a_whole_dataset_leaves_its_name(anywhere: Rooms) -> None:
    rooms = anywhere
    rooms.branches.create_ref("pets", "branch", "exp", "v2", "anna")
    rooms.branches.create_ref("pets", "tag", "best", "v3", "anna")
    before = stored(rooms)
    delete(rooms)
    assert collect(rooms).versions == 5
    assert stored(rooms) < before / 10
    assert [one.name for one in rooms.branches.datasets()] == []
    assert [one.freed_at is not None for one in rooms.datasets.log("pets")] == [True] * 5
    with pytest.raises(NotFound, match="'pets' has no version yet"):
        rooms.branches.resolve("pets")
    made = commit(rooms.branches, {"new": "1"})  # numbers go on: an old one never means something else
    assert (made.ref, made.parents) == ("pets@v6", ())
    assert [ref.name for ref in rooms.branches.refs("pets", "branch")] == ["main"]
    whole(rooms, 1)


def test_rows_of_tables_and_what_was_cached_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[data.rows]\npath = "data"\ntime = "at"\nkey = "id"\nlabel = "late"\n'
    )
    rooms = Rooms(folder, "test", None)
    versions, slices = [], []
    for number in range(2):
        rows(folder / "data" / "rows.parquet", 0, 500 + number)
        versions.append(rooms.datasets.snapshot("rows", "anna"))
        spec = SliceSpec(dataset="rows", version=versions[-1].digest)
        slices.append(rooms.datasets.slice(spec, "input")[1])
        [path] = rooms.datasets.paths(versions[-1])
        assert path.parent == rooms.workspace.state / "cache" / "blobs"
    with pytest.raises(Conflict, match="main stands at it"):
        delete(rooms, "v2", dataset="rows")
    delete(rooms, dataset="rows")
    for again in (0, 501):  # also where nothing changed, nobody gets what was deleted
        rows(folder / "data" / "rows.parquet", again, 501)
        with pytest.raises(Deleted, match="rows@v2 was deleted"):
            rooms.datasets.snapshot("rows", "anna")
    rows(folder / "data" / "rows.parquet", 0, 501)
    rooms.retention.restore("rows", RestoreVersions(versions=("v2",)))
    assert collect(rooms, young=False).debris == 0  # somebody may be reading it
    assert rooms.branches.resolve("rows@v1", deleted=True).freed_at
    assert slices[0].exists()
    done = collect(rooms)
    assert done.blobs > 0
    assert [path.exists() for path in slices] == [False, True]
    cached = list((rooms.workspace.state / "cache" / "blobs").iterdir())
    assert cached == rooms.datasets.paths(versions[1])
    with pytest.raises(Deleted):
        rooms.datasets.slice(SliceSpec(dataset="rows", version=versions[0].digest), "input")
    whole(rooms, 1)
    rows(folder / "data" / "rows.parquet", 0, 500)  # as it was: another version of the same content
    again = rooms.datasets.snapshot("rows", "anna")
    assert (again.number, again.digest) == (3, versions[0].digest)
    assert rooms.datasets.slice(SliceSpec(dataset="rows", version=again.digest), "input")[0].rows == 500
    rooms.close()


def test_files_of_a_delta_table_go_with_its_vacuum(rooms: Rooms) -> None:
    import duckdb

    from treadle.data import Rows, VacuumTable, WriteRows

    source = rooms.workspace.root / "new.parquet"
    for number in range(3):
        duckdb.sql(f"SELECT i AS id, {number} AS n FROM range(5) t(i)").write_parquet(str(source))
        if number:
            rooms.tables.merge("sales", merged())
        else:
            rooms.tables.create("sales", WriteRows(rows=Rows(path="new.parquet")))
        rooms.datasets.snapshot("sales", "anna")
    assert rooms.tables.vacuum("sales", VacuumTable(older_than="0")).files == ()
    delete(rooms, "v1..v2", dataset="sales")
    assert rooms.tables.vacuum("sales", VacuumTable(older_than="0")).files == ()
    assert collect(rooms).versions == 2
    done = rooms.tables.vacuum("sales", VacuumTable(older_than="0", apply=True))
    assert (len(done.files), done.kept_for) == (2, ("sales@v3",))
    assert rooms.tables.state("sales").rows == 5
    assert all(path.exists() for path in rooms.datasets.paths(rooms.branches.resolve("sales")))


def merged():
    from treadle.data import MergeRows, Rows

    return MergeRows(rows=Rows(path="new.parquet"))


def test_in_a_bucket_too(tmp_path: Path, s3: S3) -> None:  # noqa: F811
    options = ", ".join(f'{name} = "{value}"' for name, value in s3.options.items())
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "treadle.toml").write_text(
        f'[project]\nname = "toy"\n[store]\nblobs = "s3://{s3.bucket}/gone"\noptions = {{ {options} }}\n'
    )
    rooms = Rooms(folder, "test", None)
    for number in range(3):
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / "large").write_bytes(os.urandom(LARGE))
        (folder / "data" / "small").write_bytes(b"version %d" % number)
        rooms.working.add(AddPath(path="data"))
    before = stored(rooms)
    delete(rooms, "v1..v2", dataset="data")
    done = collect(rooms)
    assert done.bytes >= 2 * LARGE
    assert before - stored(rooms) == done.bytes
    whole(rooms, 1)
    rooms.close()


def test_a_collector_that_finds_it_restored_leaves_it(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking and giving up, somebody restores one of two."""
    delete(rooms, "v1..v2")
    give_up = type(rooms.retention).give_up

    def restored_first(retention, connection, *arguments):
        connection.exec_driver_sql(
            "UPDATE dataset_versions SET deleted_at = NULL WHERE dataset = 'pets' AND number = 1"
        )
        return give_up(retention, connection, *arguments)

    monkeypatch.setattr(type(rooms.retention), "give_up", restored_first)
    assert collect(rooms).versions == 1
    whole(rooms, 4)
    with pytest.raises(Conflict, match="main stands"):
        delete(rooms, "v5")


def test_killed_at_its_steps(tmp_path: Path) -> None:
    assert sweep("retention_actions", "free", tmp_path, every=5) >= 2


@pytest.mark.soak
def test_killed_at_every_step(tmp_path: Path) -> None:
    assert sweep("retention_actions", "free", tmp_path) >= 10
