"""Versions of what lies in a folder: everything that can lie there comes back, the rest is refused whole."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.work.conftest import Place
from servers import fill
from treadle.data import AddPath, Checkout, WorkingTree
from treadle.data.work import storing
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound, StorageFull
from treadle.kernel.workspace import Workspace

LONG = "ß" * 127 + "x"  # 255 bytes


def again(pets: Place) -> None:
    """Removes the data and brings it back: it is as it was."""
    before = pets.seen()
    shutil.rmtree(pets.folder)
    pets.checkout()
    assert pets.seen() == before
    assert pets.status().clean


def test_everything_that_can_lie_in_a_folder_comes_back(pets: Place) -> None:
    pets.write(a=b"1", empty=b"", large=os.urandom(1_200_000), deep__er__still=b"2")
    pets.write({LONG: b"3", "new\nline": b"4", "  spaces ": b"5", "#;'\"\\$(x)": b"6"})
    pets.write({"日本/é": b"7", "-rf": b"8"})
    (pets.folder / "run.sh").write_bytes(b"true")
    (pets.folder / "run.sh").chmod(0o755)
    (pets.folder / "nothing" / "here").mkdir(parents=True)
    (pets.folder / "link").symlink_to("deep/er/still")
    (pets.folder / "deep" / "up").symlink_to("../a")
    (pets.folder / "dangling").symlink_to("gone")
    (pets.folder / "folder").symlink_to("deep")
    version = pets.add()
    assert (version.ref, version.count) == ("pets@v1", 16)
    again(pets)


def test_one_file_is_data_too(pets: Place) -> None:
    file = pets.workspace.root / "rows.csv"
    file.write_bytes(b"n\n1\n")
    version = pets.tree.add(AddPath(path="rows.csv", name="rows"))
    assert (version.dataset, version.count, version.bytes) == ("rows", 1, 4)
    file.unlink()
    assert not pets.tree.status(["rows.csv"])[0].present
    pets.tree.checkout(Checkout(paths=("rows.csv",)))
    assert file.read_bytes() == b"n\n1\n"


def test_an_empty_folder_is_a_version(pets: Place) -> None:
    assert pets.add().count == 0
    pets.write(a=b"1")
    assert pets.changes() == [("a", "added")]


def test_what_is_unchanged_makes_no_version_and_is_not_read(
    pets: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets.write(a=b"1", b=b"2")
    first = pets.add()
    for path in pets.folder.iterdir():
        os.utime(path, (1e9, 1e9))
    assert pets.add() == first  # the times changed: read, and found to be the same
    with monkeypatch.context() as patched:
        patched.setattr(storing, "_read", lambda *_: pytest.fail("a file was read that looks unchanged"))
        assert pets.add() == first
        assert pets.status().clean


def test_a_change_that_keeps_size_and_time_is_seen_by_the_time_of_change(pets: Place) -> None:
    pets.write(a=b"1")
    pets.add()
    before = (pets.folder / "a").stat()
    pets.write(a=b"2")
    os.utime(pets.folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert pets.changes() == [("a", "modified")]
    assert pets.add().number == 2


def test_the_same_bytes_are_kept_once_and_what_changed_costs_what_changed(pets: Place) -> None:
    pets.write(**{f"d__{number}": os.urandom(10_000) for number in range(100)})
    pets.add()
    before = pets.packs()
    shutil.copytree(pets.folder / "d", pets.folder / "copy")
    pets.add()
    assert pets.packs() - before < 20_000
    before = pets.packs()
    pets.write(d__1=os.urandom(10_000))
    pets.add()
    assert pets.packs() - before < 30_000


def test_only_what_changed_in_a_large_file_is_kept_again(pets: Place) -> None:
    data = bytearray(os.urandom(12 << 20))
    pets.write(model=bytes(data))
    pets.add()
    before = pets.packs()
    data[5_000_000:5_000_100] = bytes(100)
    pets.write(model=bytes(data))
    pets.add()
    assert pets.packs() - before < 3 << 20
    again(pets)
    pets.checkout(ref="v1")
    assert (pets.folder / "model").read_bytes() != bytes(data)


@pytest.mark.parametrize("chunking", ["on", "off", "auto"])
def test_chunks_and_wholes_are_the_same_version(pets: Place, chunking: str) -> None:
    pets.write(model=os.urandom(3 << 20))
    first = pets.add()
    assert pets.add(chunking=chunking).digest == first.digest
    pets.write(model=os.urandom(3 << 20), small=b"x")
    pets.add(chunking=chunking)
    again(pets)


def test_large_files_can_be_linked_and_are_read_only_then(pets: Place) -> None:
    pets.write(model=os.urandom(2 << 20), small=b"x")
    pets.add(link=True)
    assert (pets.folder / "model").stat().st_nlink == 2
    assert not (pets.folder / "model").stat().st_mode & 0o222
    assert (pets.folder / "small").stat().st_mode & 0o200
    again(pets)
    shutil.rmtree(pets.folder)
    pets.checkout(link="hardlink")
    assert not (pets.folder / "model").stat().st_mode & 0o222
    assert pets.status().clean


# ── what can't be kept ───────────────────────────────────────────────────


def refuse(pets: Place, error: type[Exception], told: str) -> None:
    """Nothing is made of it, and nothing is half there."""
    with pytest.raises(error, match=told):
        pets.add()
    assert not pets.pointer.exists()
    assert pets.tree.status() == []


def test_links_that_lead_out_are_refused(pets: Place) -> None:
    pets.write(a=b"1")
    for target in ("/etc/passwd", "../outside", "deep/../../outside"):
        (pets.folder / "link").symlink_to(target)
        refuse(pets, InvalidInput, "outside of the data")
        (pets.folder / "link").unlink()


def test_names_that_are_not_utf_8_are_refused(pets: Place) -> None:
    Path(os.fsdecode(os.fsencode(pets.folder) + b"/\xff.bin")).write_bytes(b"1")
    refuse(pets, InvalidInput, "not UTF-8")


def test_what_is_no_file_is_refused(pets: Place) -> None:
    os.mkfifo(pets.folder / "pipe")
    refuse(pets, InvalidInput, "neither a file, a folder nor a link")
    (pets.folder / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(pets.folder / "socket"))  # a short name
        refuse(pets, InvalidInput, "neither a file, a folder nor a link")


def test_a_file_that_changes_while_it_is_read_is_refused(
    pets: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets.write(a=b"1", large=os.urandom(2 << 20))
    read = storing._read

    def late(path: str, size: int, mtime: int) -> bytes:
        Path(path).write_bytes(b"another")
        return read(path, size, mtime)

    with monkeypatch.context() as patched:
        patched.setattr(storing, "_read", late)
        refuse(pets, CorruptData, "changed while it was read")
    put = type(pets.workspace.blobs).put_file

    def growing(self: object, path: Path) -> str:
        digest = put(self, path)  # type: ignore[arg-type]
        with path.open("ab") as file:
            file.write(b"more")
        return digest

    with monkeypatch.context() as patched:
        patched.setattr(type(pets.workspace.blobs), "put_file", growing)
        refuse(pets, CorruptData, "changed while it was read")
    assert pets.add().count == 2


@pytest.mark.parametrize(
    ("path", "error", "told"),
    [
        ("gone", NotFound, "no such file or folder"),
        ("../outside", InvalidInput, "outside of the project"),
        ("/etc", InvalidInput, "outside of the project"),
        (".", InvalidInput, "outside of the project"),
        (".treadle/blobs", InvalidInput, "belongs to Treadle itself"),
        ("a\0b", InvalidInput, "has a NUL"),
    ],
)
def test_places_that_are_no_data(pets: Place, path: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        pets.tree.add(AddPath(path=path))


def test_a_folder_that_cannot_be_read(pets: Place) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (pets.folder / "locked").mkdir(mode=0)
    refuse(pets, PermissionError, "locked")


def test_a_full_disk_makes_no_version_and_room_lets_it_go_on(full_disk: Path, project: Path) -> None:
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n[store]\nblobs = "{full_disk / "blobs"}"\n')
    workspace = Workspace.open(project)
    place = Place(workspace)
    place.write(**{f"f{number}": os.urandom(50_000) for number in range(10)}, large=os.urandom(1 << 20))
    filler = fill(full_disk, leave=200_000)
    with pytest.raises(StorageFull):
        place.add()
    assert not place.pointer.exists()
    assert place.tree.status() == []
    filler.unlink()
    assert place.add().count == 11
    again(place)
    workspace.close()


# ── branches ─────────────────────────────────────────────────────────────


def test_a_branch_that_went_on_elsewhere_is_not_run_over(pets: Place) -> None:
    pets.write(a=b"1")
    pets.add()
    old = pets.pointer.read_bytes()
    pets.write(a=b"2")
    pets.add()
    pets.pointer.write_bytes(old)
    pets.write(a=b"3")
    with pytest.raises(Conflict, match=r"stands at pets@v2, and the data here is pets@v1"):
        pets.add()
    assert pets.pointer.read_bytes() == old
    version = pets.add(branch="mine")
    assert (version.number, version.branch) == (3, "mine")


def test_git_does_not_keep_the_data_itself(pets: Place) -> None:
    root = pets.workspace.root
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitignore").write_text("*.log")
    for name in ("pets", "odd [name]*!", "#hash"):
        (root / name).mkdir(exist_ok=True)
        (root / name / "a").write_bytes(b"1")
        pets.tree.add(AddPath(path=name, name="x" + str(len(name))))
    pets.add(name="x4")
    assert (root / ".gitignore").read_text().splitlines()[:2] == ["*.log", "/pets"]
    told = subprocess.run(
        ["git", "status", "--porcelain", "-uall", "-z"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    assert {one[3:] for one in told.split("\0") if one} >= {
        "pets.treadle",
        "odd [name]*!.treadle",
        "#hash.treadle",
    }
    assert "pets/a" not in told
    assert "[name]*!/a" not in told
    assert "#hash/a" not in told


_part = "[ab\n é]{1,3}"
_names = st.from_regex(f"{_part}(/{_part}){{0,2}}", fullmatch=True)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.dictionaries(_names, st.binary(max_size=4), max_size=6), min_size=1, max_size=3))
def test_whatever_lies_there_comes_back(pets: Place, contents: list[dict[str, bytes]]) -> None:
    """Any folders one after the other: each version is what lay there."""
    made: list[tuple[int, dict[str, object]]] = []
    for files in contents:
        shutil.rmtree(pets.folder, ignore_errors=True)
        pets.folder.mkdir()
        for name, data in files.items():
            path = pets.folder / name
            if not any(one.is_file() for one in path.parents if one != pets.folder) and not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        version = pets.add()
        made.append((version.number, pets.seen()))
    for number, seen in made:
        pets.checkout(ref=f"v{number}")
        assert pets.seen() == seen
        assert pets.status().clean
    pets.checkout(ref="main")


def test_two_that_add_at_once_make_one_after_the_other(pets: Place) -> None:
    pets.write(a=b"1")

    def add(number: int) -> int | str:
        try:
            return WorkingTree(pets.workspace).add(AddPath(path="pets", message=str(number))).number
        except Exception as error:  # noqa: BLE001 - what is told is looked at
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(add, range(8)))
    assert {one for one in found if isinstance(one, int)} == {1}
    told = [one for one in found if isinstance(one, str)]
    assert all("another `treadle data`" in one for one in told), told
    assert pets.status().clean
