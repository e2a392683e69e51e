"""The unmodified ``lakefs-spec`` against a real server, alone and under pandas and Polars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lakefs
import pandas as pd
import polars as pl
import pytest
from lakefs_spec import LakeFSFileSystem

from mlflow_parts import TrackingServer


@pytest.fixture
def options(server: TrackingServer) -> dict[str, Any]:
    return {"host": server.url, "username": "ada", "password": "any"}


@pytest.fixture
def fs(options: dict[str, Any]) -> LakeFSFileSystem:
    return LakeFSFileSystem(**options, skip_instance_cache=True)


def names(repo: lakefs.Repository, found: list[str]) -> list[str]:
    return sorted(one.removeprefix(f"{repo.id}/main/") for one in found)


def test_files_are_written_read_found_and_removed(
    fs: LakeFSFileSystem, repo: lakefs.Repository, tmp_path: Path
) -> None:
    root = f"lakefs://{repo.id}/main"
    with fs.open(f"{root}/a/one.txt", "w") as file:
        file.write("one\ntwo\n")
    fs.pipe(f"{root}/a/b/two.bin", b"\0\1\2\3")
    fs.touch(f"{root}/empty")
    with fs.open(f"{root}/a/one.txt", "r") as file:
        assert list(file) == ["one\n", "two\n"]
    assert (fs.cat(f"{root}/a/b/two.bin"), fs.tail(f"{root}/a/b/two.bin", 2)) == (b"\0\1\2\3", b"\2\3")
    assert names(repo, fs.ls(f"{root}/", detail=False)) == ["a/", "empty"]
    assert names(repo, fs.glob(f"{root}/a/**/*.bin")) == ["a/b/two.bin"]
    assert names(repo, fs.find(f"{root}/")) == ["a/b/two.bin", "a/one.txt", "empty"]
    assert (fs.exists(f"{root}/a"), fs.isdir(f"{root}/a"), fs.exists(f"{root}/c")) == (True, True, False)
    assert fs.info(f"{root}/a/one.txt")["size"] == 8

    here = tmp_path / "here"
    here.write_bytes(b"from here")
    fs.put_file(str(here), f"{root}/put")
    fs.put_file(str(here), f"{root}/put")  # the checksums are the same: nothing is sent
    fs.get_file(f"{root}/put", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"from here"
    fs.cp_file(f"{root}/put", f"{root}/copy")
    fs.get(f"{root}/a/", str(tmp_path / "folder"), recursive=True)
    assert (tmp_path / "folder" / "b" / "two.bin").read_bytes() == b"\0\1\2\3"
    fs.rm(f"{root}/a/", recursive=True)
    assert names(repo, fs.find(f"{root}/", refresh=True)) == ["copy", "empty", "put"]
    with pytest.raises(FileNotFoundError):
        fs.cat(f"{root}/a/one.txt")
    with pytest.raises(OSError, match="empty part"):
        fs.pipe(f"{root}/x//y", b"")


def test_a_branch_is_made_by_writing_to_it(fs: LakeFSFileSystem, repo: lakefs.Repository) -> None:
    fs.pipe(f"lakefs://{repo.id}/exp/a", b"1")
    assert [one.id for one in repo.branches()] == ["exp", "main"]
    assert not fs.exists(f"lakefs://{repo.id}/main/a")


def test_transactions_merge_what_they_committed(fs: LakeFSFileSystem, repo: lakefs.Repository) -> None:
    with fs.transaction(repo.id, "main") as tx:
        fs.pipe(f"lakefs://{repo.id}/{tx.branch.id}/a", b"1")
        tx.commit("In a transaction", metadata={"by": "ada"})
        tag = tx.tag(tx.branch, "made")
    assert fs.cat(f"lakefs://{repo.id}/main/a") == b"1"
    assert tag.get_commit().metadata == {"by": "ada"}
    assert [one.id for one in repo.branches()] == ["main"]
    with fs.transaction(repo.id, "main", automerge=False) as tx:
        assert tx.rev_parse("made").message == "In a transaction"
        tx.revert("main", "made")
    assert not repo.branch("main").object("a").exists()


def test_pandas_and_polars_read_and_write(
    options: dict[str, Any], fs: LakeFSFileSystem, repo: lakefs.Repository
) -> None:
    root = f"lakefs://{repo.id}/main"
    frame = pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"]})
    frame.to_csv(f"{root}/frame.csv", index=False, storage_options=options)
    frame.to_parquet(f"{root}/frame.parquet", storage_options=options)
    repo.branch("main").commit("frames")
    again = pd.read_csv(f"{root}/frame.csv", storage_options=options)
    assert again.equals(frame)
    assert pd.read_parquet(f"{root}/frame.parquet", storage_options=options).equals(frame)
    with fs.open(f"{root}/frame.parquet", "rb") as file:
        assert pl.read_parquet(file)["name"].to_list() == ["a", "b", "c"]
    with fs.open(f"{root}/polars.parquet", "wb") as file:
        pl.DataFrame({"x": [1.5, None]}).write_parquet(file)
    with fs.open(f"{root}/polars.parquet", "rb") as file:
        assert pl.read_parquet(file)["x"].to_list() == [1.5, None]
