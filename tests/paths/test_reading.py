"""Versions as a file system: the same in this process and from a server."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import fsspec
import pytest

from treadle.client import Client
from treadle.data import AddPath
from treadle.kernel.errors import CorruptData
from treadle.paths.cache import BLOCK

FILES = {"a.txt": b"alpha", "empty": b"", "day=1/x.csv": b"n\n1\n", "day=1/deep/y": b"y" * 3000, "ü ä": b"u"}


@pytest.fixture
def pets(here: Path, other: Client) -> Path:
    """A dataset ``pets`` with a folder and odd names, a link, and an empty folder."""
    for path, data in FILES.items():
        (here / "pets" / path).parent.mkdir(parents=True, exist_ok=True)
        (here / "pets" / path).write_bytes(data)
    (here / "pets" / "nothing").mkdir()
    (here / "pets" / "latest").symlink_to("day=1")
    (here / "pets" / "day=1" / "same").symlink_to("../a.txt")
    other.add_path(AddPath(path="pets"))
    return here / "pets"


def test_what_there_is(fs: Any, pets: Path) -> None:
    assert fs.ls("treadle://", detail=False) == ["pets"]
    assert fs.ls("treadle://pets@v1", detail=False) == [
        f"pets@v1/{name}" for name in ("a.txt", "day=1", "empty", "latest", "nothing", "ü ä")
    ]
    assert fs.find("pets") == sorted(f"pets/{name}" for name in (*FILES, "day=1/same"))
    assert {name for name in fs.find("pets", withdirs=True) if fs.isdir(name)} == {
        "pets", "pets/day=1", "pets/day=1/deep", "pets/latest", "pets/nothing",
    }  # fmt: skip
    assert fs.glob("treadle://pets@main/**/*.csv") == ["pets@main/day=1/x.csv"]
    assert fs.glob("pets/day=*/x.csv") == ["pets/day=1/x.csv"]
    assert [len(files) for _, _, files in fs.walk("pets@v1/day=1")] == [2, 1]
    assert fs.du("pets@v1/day=1") == 4 + 3000 + 5


def test_info_tells_digest_and_version(fs: Any, pets: Path, other: Client) -> None:
    info = fs.info("treadle://pets@main/a.txt")
    assert (info["name"], info["size"], info["type"], info["version"]) == (
        "pets@main/a.txt", 5, "file", "pets@v1",
    )  # fmt: skip
    assert fs.ukey("pets/day=1/same") == info["digest"] == fs.checksum("pets@v1/a.txt")
    assert fs.info("pets@v1/day=1")["type"] == "directory"
    assert fs.info("pets")["type"] == fs.info("pets/nothing")["type"] == "directory"
    assert fs.created("pets/a.txt") == other.data_version("pets").created_at


def test_bytes_whole_and_in_part(fs: Any, pets: Path, tmp_path: Path) -> None:
    for path, data in FILES.items():
        assert fs.cat(f"treadle://pets@v1/{path}") == data
    assert fs.cat_file("pets/day=1/deep/y", 10, 20) == b"y" * 10
    assert fs.cat_file("pets/a.txt", -3) == b"pha"
    assert fs.cat_ranges(["pets/a.txt", "pets/a.txt"], [0, 3], [2, 99]) == [b"al", b"ha"]
    with fs.open("pets/a.txt") as file:
        file.seek(1)
        assert (file.read(2), file.tell(), file.read()) == (b"lp", 3, b"ha")
    with fsspec.open("treadle://pets/day=1/x.csv", "rt") as text:
        assert text.readlines() == ["n\n", "1\n"]
    assert fs.cat("pets/latest/same") == b"alpha"
    fs.get("pets@v1/day=1", str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out" / "deep" / "y").read_bytes() == b"y" * 3000


def test_what_is_not_there(fs: Any, pets: Path) -> None:
    for path in ("pets/nope", "pets@v9/a.txt", "pets@nope/a.txt", "nope/a", "pets/a.txt/b", "pets/nothing/x"):
        assert not fs.exists(path)
        for ask in (fs.info, fs.cat_file, fs.ls, fs.open):
            with pytest.raises(FileNotFoundError):
                ask(path)


def test_a_folder_has_no_bytes(fs: Any, pets: Path) -> None:
    for ask in (fs.cat_file, fs.open):
        with pytest.raises(IsADirectoryError, match="folder"):
            ask("pets/day=1")


def test_a_branch_is_looked_up_once(fs: Any, pets: Path, other: Client) -> None:
    assert fs.cat("pets@main/a.txt") == b"alpha"
    with fs.open("pets@main/a.txt") as opened:
        (pets / "a.txt").write_bytes(b"another")
        other.add_path(AddPath(path="pets"))
        assert opened.read() == b"alpha"
    assert (fs.cat("pets@main/a.txt"), fs.version("pets@main").number) == (b"alpha", 1)
    assert fs.cat("pets@v2/a.txt") == b"another"
    sent = pickle.loads(pickle.dumps(fs))
    assert (sent.cat("pets@main/a.txt"), sent is fs) == (b"alpha", False)
    fs.invalidate_cache("pets@main/a.txt")
    assert fs.cat("pets@main/a.txt") == b"another"
    assert sent.cat("pets@main/a.txt") == b"alpha"


def test_what_is_sent_reads_where_its_sender_did(
    fs: Any, pets: Path, other: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pickle.dumps(fs)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(sent).cat("pets@v1/a.txt") == b"alpha"


def test_a_server_is_sent_along(
    afar: Any, other: Client, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pickle.dumps(afar)
    monkeypatch.delenv("TREADLE_URL")
    assert pickle.loads(sent).cat("pets@v1/a.txt") == b"alpha"


def test_branches_with_slashes(fs: Any, pets: Path, other: Client) -> None:
    other.create_data_ref("pets", "branch", "exp/new")
    (pets / "a.txt").write_bytes(b"new")
    other.add_path(AddPath(path="pets", branch="exp/new"))
    assert fs.cat("treadle://pets@exp/new/a.txt") == fs.cat("treadle://pets@exp%2Fnew/a.txt") == b"new"
    assert fs.ls("pets@exp/new/day=1", detail=False)[0] == "pets@exp%2Fnew/day=1/deep"
    other.create_data_ref("pets", "tag", "exp/new/old", "v1")
    fs.invalidate_cache()
    assert fs.cat("pets@exp/new/old/a.txt") == b"alpha"
    assert fs.cat("pets@exp/new/a.txt") == b"new"


def test_files_are_read_by_ranges_and_only_once(afar: Any, here: Path, other: Client) -> None:
    data = bytes(range(256)) * (20 * BLOCK // 256)
    (here / "big").mkdir()
    (here / "big" / "one").write_bytes(data)
    other.add_path(AddPath(path="big"))
    with afar.open("big/one") as file:
        file.seek(10 * BLOCK + 5)
        assert file.read(100) == data[10 * BLOCK + 5 : 10 * BLOCK + 105]
        assert afar.counted.bytes == BLOCK
        file.seek(3 * BLOCK - 1)
        file.read(2)
        assert afar.counted.bytes == 3 * BLOCK
        file.seek(10 * BLOCK)
        file.read(BLOCK)
        assert afar.counted.bytes == 3 * BLOCK
    again = pickle.loads(pickle.dumps(afar))
    asked = len(afar.counted.asked)
    assert again.cat_file("big/one", 2 * BLOCK, 4 * BLOCK) == data[2 * BLOCK : 4 * BLOCK]
    assert not [one for one in afar.counted.asked[asked:] if "/files/" in one]
    with again.open("big/one") as file:  # one who reads on gets more by each request
        read = b"".join(iter(lambda: file.read(BLOCK // 4), b""))
    assert read == data
    requests = [one for one in afar.counted.asked[asked:] if "/files/" in one]
    assert len(requests) < 10
    assert afar.counted.bytes == len(data)


def test_no_cache_where_none_is_wanted(afar: Any, tmp_path: Path) -> None:
    afar.pipe("one/a", b"a" * 100)
    plain = fsspec.filesystem("treadle", cache_size=0, skip_instance_cache=True)
    assert plain.cat("one/a") == b"a" * 100
    assert not list((tmp_path / "cache").rglob("*"))
    assert afar.cat("one/a") == b"a" * 100
    assert [path.stat().st_size for path in (tmp_path / "cache").rglob("*-0")] == [100]


def test_what_comes_wrong_is_never_taken_for_right(afar: Any, here: Path, other: Client) -> None:
    (here / "one").write_bytes(b"right")
    other.add_path(AddPath(path="one"))
    real = afar.counted._counted
    afar.counted._counted = lambda pieces: (piece.replace(b"right", b"wrong") for piece in real(pieces))
    for ask in (lambda: afar.cat("one/one"), lambda: afar.get_file("one/one", str(here / "out"))):
        with pytest.raises(CorruptData, match="isn't what was stored"):
            ask()
    assert not (here / "out").exists()
    afar.counted._counted = real
    assert afar.cat("one/one") == b"right"
