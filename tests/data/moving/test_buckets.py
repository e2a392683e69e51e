"""Versions of what lies in a bucket: nothing is copied, and nothing else is ever read in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
from obstore.store import ObjectStore, from_url

from servers import S3, Azure
from treadle.data import (
    AddPath,
    Branches,
    ChangePaths,
    Checkout,
    DataPaths,
    DatasetVersion,
    Entry,
    Fetch,
    ImportBucket,
    Merge,
    Moving,
    Push,
    RefSettings,
    Remotes,
    Staging,
    Verify,
    WorkingTree,
)
from treadle.data.branches.commits import read_commit
from treadle.data.moving.buckets import ordered
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.trees import below
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound, StorageError
from treadle.kernel.object_stores import open_store
from treadle.kernel.workspace import Workspace

LARGE = bytes(range(256)) * 12_000
FILES = {"a.csv": b"n\n1\n", "day=1/large.bin": LARGE, "day=1/ü x": b"u" * 2000, "empty": b""}


@pytest.fixture
def bucket(s3_lake: S3) -> ObjectStore:
    """A bucket that others filled."""
    store = from_url(f"s3://{s3_lake.bucket}")
    for path, data in FILES.items():
        obstore.put(store, f"lake/pets/{path}", data)
    obstore.put(store, "lake/petshop/other", b"another folder")
    return store


@pytest.fixture
def url(s3: S3) -> str:
    return f"s3://{s3.bucket}/lake/pets"


def take(workspace: Workspace, url: str, branch: str = "main", dataset: str = "pets") -> DatasetVersion:
    return Moving(workspace).take_bucket(ImportBucket(dataset=dataset, url=url, branch=branch))


def read(workspace: Workspace, ref: str, path: str, *part: int) -> bytes:
    return b"".join(DataPaths(workspace, Branches(workspace)).file(ref, path).read(*part))


def test_nothing_is_copied(workspace: Workspace, bucket: ObjectStore, url: str) -> None:
    version = take(workspace, f"{url}/")
    assert (version.ref, version.count, version.bytes) == ("pets@v1", 4, sum(map(len, FILES.values())))
    assert [(one.kind, one.id) for one in version.origin] == [("import", url)]
    for path, data in FILES.items():
        assert read(workspace, "pets@v1", path) == data
    assert read(workspace, "pets", "day=1/large.bin", 1_000_000, 1_000_300) == LARGE[1_000_000:1_000_300]
    kept = sum(file.stat().st_size for file in (workspace.state / "blobs").rglob("*") if file.is_file())
    assert kept < 10_000
    paths = DataPaths(workspace, Branches(workspace))
    told = {one.path: one.external for one in paths.page("pets", "", deep=True).entries}
    assert told == {path: f"{url}/{path}" if data else "" for path, data in FILES.items()}
    assert paths.entry("pets", "a.csv").external == f"{url}/a.csv"


def test_the_same_objects_are_the_same_version(workspace: Workspace, bucket: ObjectStore, url: str) -> None:
    first = take(workspace, url)
    assert take(workspace, url) == first
    obstore.put(bucket, "lake/pets/b.csv", b"n\n2\n")
    second = take(workspace, url)
    assert (second.number, second.count, second.parents) == (2, 5, (first.commit_id,))
    [change] = Branches(workspace).diff("pets@v1", "pets@v2")
    assert change.path == "b.csv"
    assert take(workspace, url, dataset="others").tree == second.tree


def test_one_object_is_a_version_of_one_file(workspace: Workspace, bucket: ObjectStore, url: str) -> None:
    assert take(workspace, f"{url}/a.csv").count == 1
    assert read(workspace, "pets", "a.csv") == FILES["a.csv"]


def test_another_object_is_never_read_for_it(workspace: Workspace, bucket: ObjectStore, url: str) -> None:
    take(workspace, url)
    obstore.put(bucket, "lake/pets/a.csv", b"n\n2\n")  # as long as before
    obstore.put(bucket, "lake/pets/day=1/large.bin", b"short")
    obstore.delete(bucket, "lake/pets/day=1/ü x")
    with pytest.raises(CorruptData, match="object was changed: its ETag is") as changed:
        read(workspace, "pets", "a.csv")
    assert changed.value.where == f"pets@v1/a.csv ({url}/a.csv)"
    with pytest.raises(CorruptData, match="was changed"):
        read(workspace, "pets@v1", "day=1/large.bin", 1_000_000, 1_000_300)
    with pytest.raises(NotFound, match="the object is gone") as gone:
        read(workspace, "pets@v1", "day=1/ü x")
    assert "pets@v1/day=1/ü x" in str(gone.value)
    found = Remotes(workspace).verify(Verify())
    assert (found.files, found.external, found.damaged) == (4, 3, 3)
    assert {one.path: one.problem.split(":")[0] for one in found.damages} == {
        "a.csv": "the object was changed",
        "day=1/large.bin": "the object was changed",
        "day=1/ü x": f"the object is gone ({url.partition(':')[0]}",
    }
    assert Remotes(workspace).verify(Verify(repair=True)).repaired == 0
    for path, data in FILES.items():
        obstore.put(bucket, f"lake/pets/{path}", data)  # the same bytes have the same ETag
    assert Remotes(workspace).verify(Verify()).damaged == 0
    assert read(workspace, "pets@v1", "day=1/large.bin") == LARGE


def test_a_checkout_brings_them(workspace: Workspace, bucket: ObjectStore, url: str) -> None:
    tree = WorkingTree(workspace)
    (workspace.root / "pets").mkdir()
    (workspace.root / "pets" / "mine").write_bytes(b"mine")
    os.utime(workspace.root / "pets" / "mine", (1, 1))  # what was written just now is looked at again
    tree.add(AddPath(path="pets"))
    take(workspace, url, branch="lake")
    [done] = tree.checkout(Checkout(paths=("pets",), ref="lake"))
    assert (done.ref, done.written, done.removed) == ("pets@v2", 4, 1)
    assert {
        file.relative_to(workspace.root / "pets").as_posix(): file.read_bytes()
        for file in (workspace.root / "pets").rglob("*")
        if file.is_file()
    } == FILES
    [status] = tree.status()
    assert status.clean
    (workspace.root / "pets" / "a.csv").unlink()
    obstore.put(bucket, "lake/pets/a.csv", b"n\n9\n")
    with pytest.raises(CorruptData, match=r"pets@v2 \(s3://"):
        tree.checkout(Checkout(paths=("pets",)))
    obstore.put(bucket, "lake/pets/a.csv", FILES["a.csv"])
    (workspace.root / "pets" / "new").write_bytes(b"new")
    tree.checkout(Checkout(paths=("pets",)))
    tree.add(AddPath(path="pets"))  # what is on the disk needs no bucket any more, or still the same
    assert read(workspace, "pets@lake", "day=1/ü x") == FILES["day=1/ü x"]
    assert read(workspace, "pets@lake", "new") == b"new"


def test_merges_and_many_commits_keep_them(workspace: Workspace, bucket: ObjectStore, url: str) -> None:
    branches = Branches(workspace)
    paths = DataPaths(workspace, branches)
    sent = _sent(workspace, b"mine")
    paths.change("pets", ChangePaths(put=(sent[0],), packs=sent[1]))
    branches.create_ref("pets", "branch", "lake", "main", "ada")
    take(workspace, url, branch="lake")
    branches.merge("pets", Merge(source="lake"))
    for number in range(35):  # more small packs than a version may have
        entry, packs = _sent(workspace, b"%d" % number, f"n/{number}")
        paths.change("pets", ChangePaths(put=(entry,), packs=packs))
    assert len(read_commit(workspace, branches.resolve("pets@main").commit_id).packs) < 35
    for path, data in FILES.items():
        assert read(workspace, "pets@main", path) == data


def test_an_object_that_a_lakefs_client_copies_is_kept(
    workspace: Workspace, bucket: ObjectStore, url: str
) -> None:
    version = take(workspace, url)
    branches = Branches(workspace)
    staging = Staging(workspace, branches)
    [entry] = [one for one in _listed(branches, version) if one.path == "day=1/large.bin"]
    staging.copy("pets", (version, entry), "main", "copy")
    staging.commit("pets", "main", message="copy", actor="ada")
    obstore.delete(bucket, "lake/pets/day=1/large.bin")
    assert read(workspace, "pets", "copy") == LARGE


def test_what_is_refused(workspace: Workspace, bucket: ObjectStore, url: str, monkeypatch: Any) -> None:
    for wrong in ("lake", "ftp://x/y", "s3://", "/etc", "file:///etc"):
        with pytest.raises(InvalidInput, match="names no bucket"):
            take(workspace, wrong)
    with pytest.raises(NotFound, match="nothing lies there"):
        take(workspace, f"{url}/nope")
    assert not Branches(workspace).datasets()
    take(workspace, url)
    Branches(workspace).protect("pets", "main", RefSettings(protected=True), "ada")
    with pytest.raises(Conflict, match="protected"):
        take(workspace, url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    again = Workspace.open(workspace.root)
    with pytest.raises(StorageError, match="bucket failed") as refused:
        take(again, url, dataset="others")
    again.close()
    assert "AWS_SECRET_ACCESS_KEY" in str(refused.value)


def test_options_come_from_remotes_and_the_store(
    bucket: ObjectStore, s3: S3, url: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in s3.options:
        monkeypatch.delenv(f"AWS_{name.upper()}")
    options = "\n".join(f'{key} = "{value}"' for key, value in s3.options.items())
    toml = project / "treadle.toml"
    toml.write_text(
        f'{toml.read_text()}\n[remotes.origin]\nurl = "s3://{s3.bucket}/remote"\n'
        f"[remotes.origin.options]\n{options}\n"
    )
    here = Workspace.open(project)
    take(here, url)
    assert read(here, "pets", "day=1/large.bin", 5, 9) == LARGE[5:9]
    Remotes(here).push(Push(refs=("pets",)))
    (project.parent / "clone").mkdir()
    (project.parent / "clone" / "treadle.toml").write_text(toml.read_text())
    clone = Workspace.open(project.parent / "clone")
    Remotes(clone).fetch(Fetch(refs=("pets",)))
    assert read(clone, "pets", "day=1/large.bin", 5, 9) == LARGE[5:9]
    for one in (here, clone):
        one.close()


def test_empty_objects_that_stand_for_folders_are_none() -> None:
    paths = ["b/x", "a", "a-b", "a/b", "a/b/c", "empty"]
    rows = ordered(paths, np.array([1, 0, 1, 0, 1, 0], np.uint64))
    assert rows is not None
    assert [paths[row] for row in rows] == ["a-b", "a/b/c", "b/x", "empty"]
    assert ordered(["a", "b"], np.ones(2, np.uint64)) is None


def _sent(workspace: Workspace, data: bytes, path: str = "mine") -> Any:
    with PackWriter(workspace.blobs) as writer:
        digest = writer.put(data)
        return Entry(path, len(data), digest), writer.finish().packs


def _listed(branches: Branches, version: DatasetVersion) -> list[Any]:
    return list(below(version.tree, "", branches.contents(version)))


@pytest.mark.azure
def test_a_container_of_azure(azure: Azure, reopen: Callable[..., Workspace]) -> None:
    options = "".join(f'{name} = "{value}"\n' for name, value in azure.options.items())
    url = f"az://{azure.container}"
    remote = f'\n[remotes.origin]\nurl = "{url}/team"\n[remotes.origin.options]\n{options}'
    workspace = reopen(add=remote)
    store = open_store(url, azure.options)
    for path, data in FILES.items():
        obstore.put(store, f"lake/pets/{path}", data)
    take(workspace, f"{url}/lake/pets")
    for path, data in FILES.items():
        assert read(workspace, "pets", path) == data
    assert read(workspace, "pets", "day=1/large.bin", 1_000_000, 1_000_300) == LARGE[1_000_000:1_000_300]
    obstore.put(store, "lake/pets/a.csv", b"n\n2\n")
    with pytest.raises(CorruptData, match="was changed: its ETag is"):
        read(workspace, "pets", "a.csv")
