import os
import shutil
import threading
import time
from datetime import UTC, datetime

import pytest

from datafiles import ROWS, kept, read, rows, write
from servers import fill
from treadle.data import Branches, Datasets, SliceSpec, files, snapshot
from treadle.data.branches.commits import NewVersion
from treadle.data.storage.writing import Written
from treadle.kernel import blobs
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, StorageFull
from treadle.kernel.events import timeline
from treadle.kernel.ids import digest_file


def test_a_version_is_what_the_files_hold(datasets, workspace, source, clock):
    version = datasets.snapshot("rows", "anna")
    assert (version.ref, version.rows, version.actor, version.created_at) == (
        "rows@v1",
        1000,
        "anna",
        clock.now(),
    )
    assert version.bytes == source.stat().st_size
    assert {column.name: column.type for column in version.columns} == {
        "id": "VARCHAR", "at": "TIMESTAMP", "hour": "BIGINT", "carrier": "VARCHAR", "late": "BIGINT",
        "known_at": "TIMESTAMP",
    }  # fmt: skip
    [entry] = version.files
    assert (entry.path, entry.digest, entry.parquet) == ("rows.parquet", digest_file(source), "")
    assert workspace.blobs.get(entry.digest) == source.read_bytes()
    [event] = timeline(workspace.database, "data:rows")
    assert (event.kind, event.actor, event.facts["digest"]) == ("versioned", "anna", version.digest)


def test_only_other_content_makes_another_version(datasets, source):
    first = datasets.snapshot("rows", "anna")
    assert datasets.snapshot("rows", "ben") == first
    rows(source, 0, 500)
    second = datasets.snapshot("rows", "ben")
    assert (second.number, second.rows) == (2, 500)
    rows(source, 0, 1000)
    third = datasets.snapshot("rows", "ben")
    assert (third.number, third.digest) == (3, first.digest)
    assert [v.number for v in datasets.log("rows")] == [3, 2, 1]


def test_a_branch_takes_what_another_has_already(datasets, workspace, source):
    branches = Branches(workspace)
    datasets.snapshot("rows", "anna")
    for name in ("one", "two"):
        branches.create_ref("rows", "branch", name, "main", "anna")
    assert datasets.snapshot("rows", "anna", "one").number == 1
    rows(source, 0, 500)
    there = datasets.snapshot("rows", "anna", "one")
    assert (there.number, there.branch) == (2, "one")
    assert datasets.snapshot("rows", "anna", "two") == there
    assert branches.head("rows", "two") == there
    assert branches.head("rows", "main").number == 1
    assert datasets.snapshot("rows", "anna").number == 3  # whatever other branches have


def test_an_unchanged_file_is_not_read_again(datasets, workspace, source, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 2**62)  # long after the file was written
    first = datasets.snapshot("rows", "anna")
    monkeypatch.setattr(blobs, "digest_file", None)
    monkeypatch.setattr(snapshot, "_validate", None)
    assert datasets.snapshot("rows", "anna") == first
    source.touch()
    with pytest.raises(TypeError):
        datasets.snapshot("rows", "anna")


def test_a_file_rewritten_in_its_size_and_time_is_read_again(reopen, project, monkeypatch):
    path = rows(project / "data" / "rows.csv")
    datasets = Datasets(reopen(("rows.parquet", "rows.csv")))
    monkeypatch.setattr(time, "time_ns", lambda: 2**62)
    first = datasets.snapshot("rows", "anna")
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"k7,", b"k0,"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert datasets.snapshot("rows", "anna").digest != first.digest


def test_a_file_written_just_now_is_not_remembered(tmp_path):
    """It could be written again within one tick of the file system's clock."""
    seen, cache = 10_000_000_000, tmp_path / "cache.json"
    stats = {
        "old": files.Stat(1, seen - 2_000_000_000, seen - 2_000_000_000, 1),
        "written": files.Stat(1, seen - 900_000_000, seen - 2_000_000_000, 2),
        "moved": files.Stat(1, seen - 2_000_000_000, seen - 900_000_000, 3),
        "ahead": files.Stat(1, seen + 5, seen - 2_000_000_000, 4),
    }
    files.save_fingerprints(cache, {name: files.Fingerprint(stat, "d") for name, stat in stats.items()}, seen)
    assert files.load_fingerprints(cache) == {"old": files.Fingerprint(stats["old"], "d")}


def test_a_folder_of_parquet_and_csv(reopen, project):
    rows(project / "data" / "b" / "late.csv", 400, 1000)
    rows(project / "data" / "a.parquet", 0, 400)
    (project / "data" / "README.md").write_text("not data")
    rows(project / "data" / ".hidden" / "x.parquet", 0, 5)
    rows(project / "data" / "_tmp" / "x.parquet", 0, 5)
    workspace = reopen(('"data/rows.parquet"', '"data"'))
    datasets = Datasets(workspace)
    version = datasets.snapshot("rows", "anna")
    assert [file.path for file in version.files] == ["a.parquet", "b/late.csv"]
    csv = version.files[1]
    assert csv.digest == digest_file(project / "data" / "b" / "late.csv")
    assert workspace.blobs.get(csv.digest).startswith(b"id,at,hour")
    assert version.rows == 1000
    assert datasets.snapshot("rows", "anna") == version
    got, path = datasets.slice(SliceSpec(dataset="rows", version=version.digest), "input")
    assert got.rows == 1000
    whole = rows(project / "whole.parquet", 0, 1000)
    assert sorted(read(path), key=str) == sorted(read(whole), key=str)


def test_a_csv_column_has_the_type_of_all_its_values(reopen, project):
    """Also of one that comes after the engine's usual sample of 20,480 rows."""
    late = "CASE WHEN i = 40000 THEN 'noon' ELSE i::TEXT END"
    body = f"SELECT *, substr(id, 2)::INT AS i FROM ({ROWS.format(first=0, last=50_000)}) ORDER BY i"
    write(project / "data" / "rows.csv", f"SELECT * EXCLUDE (i) REPLACE ({late} AS hour) FROM ({body})")
    version = Datasets(reopen(("rows.parquet", "rows.csv"))).snapshot("rows", "anna")
    assert version.rows == 50_000
    assert {c.name: c.type for c in version.columns if c.name in {"hour", "late"}} == {
        "hour": "VARCHAR",
        "late": "BIGINT",
    }


def test_one_changed_file_of_many(reopen, project, monkeypatch):
    for name, first in (("a.parquet", 0), ("b.csv", 100), ("c.csv", 200)):
        rows(project / "data" / name, first, first + 100)
    datasets = Datasets(reopen(('"data/rows.parquet"', '"data"')))
    monkeypatch.setattr(time, "time_ns", lambda: 2**62)
    first = datasets.snapshot("rows", "anna")
    rows(project / "data" / "c.csv", 200, 350)
    hashed = []
    real = blobs.digest_file
    monkeypatch.setattr(blobs, "digest_file", lambda path: hashed.append(path.name) or real(path))
    second = datasets.snapshot("rows", "anna")
    assert second.rows == 350
    assert second.files[:2] == first.files[:2]
    assert "c.csv" in hashed
    assert not {"a.parquet", "b.csv"} & set(hashed)


def test_a_missing_file(datasets, workspace, source):
    source.unlink()
    with pytest.raises(NotFound) as error:
        datasets.snapshot("rows", "anna")
    assert error.value.where == str(source)
    assert "[data.rows]" in error.value.fix


def test_an_empty_folder(reopen, project):
    (project / "data").mkdir()
    with pytest.raises(NotFound, match="no Parquet or CSV file"):
        Datasets(reopen(('"data/rows.parquet"', '"data"'))).snapshot("rows", "anna")


def test_an_unknown_dataset(datasets):
    with pytest.raises(NotFound) as error:
        datasets.snapshot("row", "anna")
    assert error.value.fix == "did you mean 'rows'?"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"not parquet at all" * 100,
        lambda data: data[:100] + data[-3000:],
        lambda data: data[:-200] + bytes(100) + data[-100:],
    ],
    ids=["truncated", "empty", "garbage", "gap", "footer"],
)
def test_corrupt_parquet_is_refused_whole(reopen, project, damage):
    """The good files of the folder leave nothing behind either."""
    rows(project / "data" / "a.parquet", 0, 500)
    rows(project / "data" / "c.csv", 0, 500)
    bad = rows(project / "data" / "b.parquet", 500, 20_000)
    bad.write_bytes(damage(bad.read_bytes()))
    workspace = reopen(('"data/rows.parquet"', '"data"'))
    before = kept(workspace.state)
    with pytest.raises(CorruptData) as error:
        Datasets(workspace).snapshot("rows", "anna")
    assert error.value.where == str(bad)
    assert kept(workspace.state) == before
    assert Datasets(workspace).log("rows") == []


@pytest.mark.parametrize(
    "text",
    [b'id,at\n1,2026-01-01\n2\n3,"x', "id,at\né,2026-01-01\n".encode("latin-1"), os.urandom(3000)],
    ids=["ragged", "latin-1", "binary"],
)
def test_corrupt_csv_is_refused(reopen, project, text):
    (project / "data").mkdir()
    (project / "data" / "x.csv").write_bytes(text)
    workspace = reopen(('"data/rows.parquet"', '"data/x.csv"'))
    with pytest.raises(CorruptData, match="not readable as CSV") as error:
        Datasets(workspace).snapshot("rows", "anna")
    assert error.value.where.endswith("x.csv")
    assert Datasets(workspace).list() == []


def test_another_kind_of_file(reopen, project):
    (project / "x.xlsx").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="neither Parquet nor CSV"):
        Datasets(reopen(('"data/rows.parquet"', '"x.xlsx"'))).snapshot("rows", "anna")


def test_a_missing_column(datasets, source):
    write(source, "SELECT 'a' AS id, TIMESTAMP '2026-01-01' AS \"at\", 1 AS latte, now() AS known_at")
    with pytest.raises(InvalidInput) as error:
        datasets.snapshot("rows", "anna")
    assert error.value.where == "[data.rows] label"
    assert error.value.fix == "did you mean 'latte'?"


def test_a_column_that_the_project_declares_later(datasets, reopen):
    datasets.snapshot("rows", "anna")
    with pytest.raises(InvalidInput, match="no column 'arrived'"):
        Datasets(reopen(('"known_at"', '"arrived"'))).snapshot("rows", "anna")


def test_a_time_column_without_times(datasets, source):
    write(source, "SELECT 'a' AS id, 20260101 AS \"at\", 1 AS late, now() AS known_at")
    with pytest.raises(InvalidInput, match="'at' is INTEGER, not a time"):
        datasets.snapshot("rows", "anna")


def test_files_that_do_not_fit_each_other(reopen, project):
    rows(project / "data" / "a.parquet")
    bad = write(
        project / "data" / "b.parquet",
        f"SELECT * REPLACE ('noon' AS \"hour\") FROM ({ROWS.format(first=0, last=9)})",
    )
    datasets = Datasets(reopen(('"data/rows.parquet"', '"data"')))
    with pytest.raises(InvalidInput, match=r"'hour' is VARCHAR here and BIGINT in a\.parquet") as error:
        datasets.snapshot("rows", "anna")
    assert error.value.where == "b.parquet"
    write(bad, f"SELECT * RENAME (hour AS hours) FROM ({ROWS.format(first=0, last=9)})")
    with pytest.raises(InvalidInput, match=r"no column 'hour', which a\.parquet has") as error:
        datasets.snapshot("rows", "anna")
    assert error.value.fix == "did you mean 'hours'?"
    write(bad, f'SELECT * REPLACE (0.5::FLOAT AS "hour") FROM ({ROWS.format(first=0, last=9)})')
    with pytest.raises(InvalidInput, match="FLOAT here and BIGINT"):
        datasets.snapshot("rows", "anna")
    write(bad, f'SELECT * REPLACE (0.5::DOUBLE AS "hour") FROM ({ROWS.format(first=0, last=9)})')
    assert {c.type for c in datasets.snapshot("rows", "anna").columns if c.name == "hour"} == {"DOUBLE"}


def test_no_rows(datasets, source):
    rows(source, 0, 0)
    with pytest.raises(InvalidInput, match="no rows"):
        datasets.snapshot("rows", "anna")


@pytest.mark.parametrize("what", ["written", "added", "removed"])
def test_files_that_change_meanwhile(reopen, project, monkeypatch, what):
    first = rows(project / "data" / "a.parquet", 0, 500)
    rows(project / "data" / "b.parquet", 500, 1000)
    workspace = reopen(('"data/rows.parquet"', '"data"'))
    real = snapshot._keep

    def meanwhile(*args):
        kept = real(*args)
        if args[1].path == "b.parquet":
            if what == "written":
                rows(first, 0, 501)
            elif what == "added":
                rows(project / "data" / "c.parquet", 0, 5)
            else:
                first.unlink()
        return kept

    monkeypatch.setattr(snapshot, "_keep", meanwhile)
    with pytest.raises(CorruptData, match="changed while it was read"):
        Datasets(workspace).snapshot("rows", "anna")
    assert Datasets(workspace).list() == []


def test_two_at_once_make_one_version(metadata_url, reopen, source):
    workspace = reopen(add=f'\n[store]\nmetadata = "{metadata_url}"\n')
    barrier, found = threading.Barrier(4), []

    def work():
        barrier.wait()
        found.append(Datasets(workspace).snapshot("rows", "anna"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version.number for version in found] == [1] * 4
    assert len(Datasets(workspace).log("rows")) == 1


def test_different_content_at_once_makes_consecutive_versions(metadata_url, reopen, source):
    workspace = reopen(add=f'\n[store]\nmetadata = "{metadata_url}"\n')
    version = Datasets(workspace).snapshot("rows", "anna")
    barrier = threading.Barrier(4)

    def work(number):
        new = NewVersion(
            dataset="rows",
            branch="main",
            tree="",
            written=Written(),
            expected=None,
            digest=str(number),
            actor="anna",
            rows=1,
            files=version.files,
        )
        barrier.wait()
        snapshot.write_down(workspace, new, new.files)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = Datasets(workspace).log("rows")
    assert [v.number for v in log] == [5, 4, 3, 2, 1]
    assert {v.digest for v in log} == {version.digest, "0", "1", "2", "3"}
    assert len(timeline(workspace.database, "data:rows")) == 5


@pytest.mark.s3
@pytest.mark.postgres
def test_on_postgres_and_s3(reopen, source, s3, postgres_url):
    options = "".join(f'{key} = "{value}"\n' for key, value in s3.options.items())
    workspace = reopen(
        add=f'\n[store]\nmetadata = "{postgres_url}"\nblobs = "s3://{s3.bucket}/blobs"\n[store.options]\n{options}'
    )
    datasets = Datasets(workspace)
    version = datasets.snapshot("rows", "anna")
    shutil.rmtree(workspace.state / "cache", ignore_errors=True)
    got, path = datasets.slice(SliceSpec(dataset="rows", version=version.digest), "input")
    assert got.rows == len(read(path)) == 1000
    assert datasets.get("rows@v1") == version


@pytest.mark.parametrize("full", ["blobs", "state"])
def test_on_a_full_disk(reopen, project, source, full_disk, full):
    rows(source, 0, 60_000)
    if full == "blobs":
        workspace = reopen(add=f'\n[store]\nblobs = "{full_disk}/blobs"\n')
    else:
        workspace = reopen(
            add=f'\n[store]\nmetadata = "sqlite:///{project}/meta.db"\nblobs = "{project}/blobs"\n'
        )
        shutil.rmtree(workspace.state, ignore_errors=True)
        workspace.state.symlink_to(full_disk, target_is_directory=True)
    filler = fill(full_disk, leave=20_000 if full == "blobs" else 0)
    datasets = Datasets(workspace)
    before = kept(full_disk)
    with pytest.raises(StorageFull) as error:
        datasets.snapshot("rows", "anna")
    assert error.value.fix
    assert kept(full_disk) == before
    assert datasets.list() == []
    filler.unlink()
    version = datasets.snapshot("rows", "anna")
    assert (version.number, version.rows) == (1, 60_000)


def test_a_spoiled_cache_of_fingerprints_is_no_cache(datasets, workspace):
    first = datasets.snapshot("rows", "anna")
    for cache in (workspace.state / "cache" / "fingerprints").iterdir():
        cache.write_bytes(b"{spoiled")
        assert files.load_fingerprints(cache) == {}
    assert datasets.snapshot("rows", "anna") == first


def test_recorded_at_is_the_machines_time(datasets, workspace):
    began = datetime.now(UTC)
    datasets.snapshot("rows", "anna")
    [event] = timeline(workspace.database, "data:rows")
    assert began <= event.recorded_at <= datetime.now(UTC)
