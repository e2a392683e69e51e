"""Writing to branches: a version at a time, and never half of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from treadle.client import Client
from treadle.data import RefSettings
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, Refused


def versions(client: Client, dataset: str = "pets") -> list[str]:
    """The versions and how many files each has, oldest first."""
    return [f"v{one.number}:{one.count}" for one in reversed(client.data_log(dataset))]


def test_a_file_that_is_closed_is_a_version(fs: Any, other: Client) -> None:
    with fsspec.open("treadle://pets@main/day=1/a.txt", "w") as file:
        file.write("alpha\n")
        assert not fs.exists("pets/day=1/a.txt")
    assert fs.cat("pets/day=1/a.txt") == b"alpha\n"
    large = bytes(range(256)) * 8000
    with fs.open("pets/large", "wb") as file:
        for start in range(0, len(large), 100_000):
            file.write(large[start : start + 100_000])
    assert fs.cat("pets/large") == large
    with fs.open("pets/day=1/a.txt", "ab") as file:
        file.write(b"beta\n")
    assert fs.cat("pets@main/day=1/a.txt") == b"alpha\nbeta\n"
    assert versions(other) == ["v1:1", "v2:2", "v3:2"]
    assert other.data_version("pets").actor


def test_what_is_there_already_makes_no_version(fs: Any, other: Client) -> None:
    fs.pipe("pets/a", b"same")
    fs.pipe("pets/a", b"same")
    fs.touch("pets/a", truncate=False)
    assert versions(other) == ["v1:1"]
    with pytest.raises(FileExistsError):
        fs.open("pets/a", "xb")
    with fs.open("pets/b", "xb") as file:
        file.write(b"")
    assert fs.info("pets/b")["size"] == 0


def test_a_transaction_is_one_version(fs: Any, other: Client) -> None:
    fs.pipe("pets/old", b"old")
    with fs.transaction as transaction:
        transaction.message = "three at once"
        with fs.open("pets/a", "w") as file:
            file.write("a")
        with fsspec.open("treadle://pets/b.gz", "w", compression="gzip") as file:
            file.write("b" * 1000)
        fs.mv("pets/old", "pets/new")
        fs.pipe("pets/gone", b"")
        fs.rm("pets/gone")
        assert fs.find("pets") == ["pets/old"]
        assert versions(other) == ["v1:1"]
    assert fs.find("pets") == ["pets/a", "pets/b.gz", "pets/new"]
    assert versions(other) == ["v1:1", "v2:3"]
    assert other.data_version("pets").message == "three at once"
    with fs.open("pets/b.gz", "rt", compression="gzip") as file:
        assert file.read() == "b" * 1000


def test_an_error_drops_all(fs: Any, other: Client) -> None:
    fs.pipe("pets/a", b"a")

    def fail(file: Any = None, text: str | bytes = "") -> None:
        if file is None:
            fs.pipe("pets/b", b"b")
            fs.rm("pets/a")
        else:
            file.write(text)
        raise RuntimeError

    with pytest.raises(RuntimeError), fs.transaction:
        fail()
    for mode, text in (("w", "half"), ("wb", b"half")):
        with pytest.raises(RuntimeError), fs.open("pets/half", mode) as file:
            fail(file, text)
    left = fs.open("pets/left", "wb")
    left.write(b"left")
    del left  # nobody closed it
    fs.pipe("pets/c", b"c")  # and the file system goes on
    assert fs.find("pets") == ["pets/a", "pets/c"]
    assert versions(other) == ["v1:1", "v2:2"]


def test_while_an_error_is_handled_files_are_written(fs: Any) -> None:
    try:
        int("no number")
    except ValueError:
        with fs.open("pets/report", "w") as file:
            file.write("it failed")
    assert fs.cat("pets/report") == b"it failed"


def test_copies_move_no_bytes(afar: Any, other: Client) -> None:
    afar.pipe({"pets/d/one": b"1" * 5000, "pets/d/two": b"2" * 5000})
    afar.counted.bytes, asked = 0, len(afar.counted.asked)
    afar.cp("pets/d", "pets/e", recursive=True)
    afar.mv("pets/e/one", "pets/first")
    other.create_data_ref("pets", "branch", "exp")
    afar.cp("pets@v1/d/two", "pets@exp/second")
    assert afar.counted.bytes == 0
    assert not [one for one in afar.counted.asked[asked:] if "contents" in one or "blobs" in one]
    assert afar.find("pets@exp") == [
        f"pets@exp/{name}" for name in ("d/one", "d/two", "e/two", "first", "second")
    ]
    assert afar.cat("pets@exp/first") == b"1" * 5000
    assert versions(other) == ["v1:2", "v2:4", "v3:4", "v4:5"]
    afar.cp("pets@exp/first", "dogs/first")  # another dataset gets its own
    assert afar.cat("dogs/first") == b"1" * 5000


def test_removing(fs: Any, other: Client) -> None:
    fs.pipe({f"pets/{name}": b"x" for name in ("d/a", "d/b", "c.csv", "e.csv", "f")})
    with pytest.raises(IsADirectoryError):
        fs.rm("pets/d")
    with pytest.raises(FileNotFoundError):
        fs.rm("pets/nope")
    assert versions(other) == ["v1:5"]
    fs.rm("pets/d", recursive=True)
    fs.rm("pets/*.csv")
    assert fs.find("pets") == ["pets/f"]
    fs.rm_file("pets/f")
    assert fs.find("pets") == []
    assert versions(other) == ["v1:5", "v2:3", "v3:1", "v4:0"]


def test_folders_of_files_come_as_one_version(fs: Any, other: Client, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a").write_bytes(b"a")
    (tmp_path / "in" / "deep" / "b").write_bytes(b"b" * 2_000_000)
    fs.put(str(tmp_path / "in"), "treadle://pets/", recursive=True)
    assert versions(other) == ["v1:2"]
    assert fs.cat("pets/in/deep/b") == b"b" * 2_000_000


def test_versions_never_change(fs: Any, other: Client) -> None:
    fs.pipe("pets/a", b"a")
    for change in (lambda p: fs.pipe(p, b"b"), fs.rm, lambda p: fs.cp("pets/a", p)):
        for ref in ("v1", "latest"):
            with pytest.raises(Refused, match="never changes"):
                change(f"pets@{ref}/a")
    assert versions(other) == ["v1:1"]


def test_protected_and_unknown_branches_refuse(fs: Any, other: Client) -> None:
    fs.pipe("pets/a", b"a")
    other.create_data_ref("pets", "tag", "best")
    for ref in ("mian", "best"):
        with pytest.raises((FileNotFoundError, NotFound), match="branch"):
            fs.pipe(f"pets@{ref}/a", b"b")
    other.protect_data("pets", "main", RefSettings(protected=True, approvals=1))
    for change in (
        lambda: fs.pipe("pets/a", b"b"),
        lambda: fs.rm("pets/a"),
        lambda: fs.mv("pets/a", "pets/b"),
    ):
        with pytest.raises(Conflict, match="protected"):
            change()
    assert (versions(other), fs.cat("pets/a")) == (["v1:1"], b"a")


def test_others_go_on_meanwhile(fs: Any, here: Path, other: Client) -> None:
    fs.pipe({"pets/mine": b"1", "pets/theirs": b"1"})
    there = fsspec.filesystem("treadle", root=str(here), skip_instance_cache=True)
    there.pipe("pets/theirs", b"2")
    fs.pipe("pets/mine", b"2")  # another path: both are kept
    assert (fs.cat("pets/mine"), fs.cat("pets/theirs")) == (b"2", b"2")
    there.invalidate_cache()
    there.pipe("pets/mine", b"3")
    with pytest.raises(Conflict, match="'mine' was changed in pets@v4"):
        fs.pipe("pets/mine", b"4")
    fs.invalidate_cache()
    fs.pipe("pets/mine", fs.cat("pets/mine") + b"4")
    assert fs.cat("pets/mine") == b"34"


def test_a_transaction_is_of_one_branch(fs: Any, other: Client) -> None:
    fs.pipe("pets/a", b"a")
    with pytest.raises(InvalidInput, match="one branch"), fs.transaction:
        fs.pipe("pets/b", b"b") or fs.pipe("dogs/b", b"b")
    assert (versions(other), other.datasets()[0].dataset) == (["v1:1"], "pets")


def test_a_file_is_no_folder(fs: Any, other: Client) -> None:
    fs.pipe("pets/a", b"a")
    with pytest.raises(InvalidInput, match="is a file and"):
        fs.pipe("pets/a/b", b"b")
    with pytest.raises(InvalidInput, match="names no file"):
        fs.open("treadle://pets@main", "wb")
    assert versions(other) == ["v1:1"]
