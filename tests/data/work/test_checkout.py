"""Bringing data back: what is right stays, what is in no version is never lost, damage is never written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from data.work.conftest import Place
from servers import fill
from treadle.data import AddPath, Branches, Checkout, WorkingTree
from treadle.data.work import trees
from treadle.data.work.placing import PARTIAL
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound, StorageFull
from treadle.kernel.workspace import Workspace


@pytest.fixture
def two(pets: Place) -> Place:
    """Two versions; the second lies there."""
    pets.write(same=b"same", changed=b"1", gone=b"gone", folder__a=b"a")
    pets.add()
    (pets.folder / "gone").unlink()
    shutil.rmtree(pets.folder / "folder")
    pets.write(changed=b"2", new=b"new", folder=b"a file now")
    pets.add()
    return pets


def test_only_what_differs_is_touched(two: Place) -> None:
    inode = (two.folder / "same").stat().st_ino
    assert two.checkout() == (0, 0, 4)
    assert two.checkout(ref="v1") == (3, 2, 1)
    assert two.seen() == {
        "same": (b"same", False),
        "changed": (b"1", False),
        "gone": (b"gone", False),
        "folder/a": (b"a", False),
    }
    assert (two.folder / "same").stat().st_ino == inode
    assert "version = 1\n" in two.pointer.read_text()
    assert two.checkout(ref="main") == (3, 2, 1)
    assert two.status().clean


def test_another_version_moves_the_pointer_and_a_branch_is_followed(two: Place) -> None:
    Branches(two.workspace).create_ref("pets", "branch", "exp/new", "v1", "ada")
    two.checkout(ref="exp/new")
    assert 'branch = "exp/new"' in two.pointer.read_text()
    two.write(changed=b"3")
    assert two.add().branch == "exp/new"


def test_a_version_gets_a_place_and_lies_there_as_if_it_had_been_added(two: Place) -> None:
    """As what was taken in from DVC or lakeFS, or fetched, has none."""
    tree, root = two.tree, two.workspace.root
    (root / ".git").mkdir()
    [done] = tree.checkout(Checkout(ref="pets@v1", to="data/cats"))
    assert (done.path, done.ref, done.written) == ("data/cats", "pets@v1", 4)
    assert (root / "data/cats/folder/a").read_bytes() == b"a"
    assert "/cats" in (root / "data/.gitignore").read_text()
    [found] = tree.status(["data/cats"])
    assert (found.ref, found.branch, found.clean) == ("pets@v1", "main", True)
    [again] = tree.checkout(Checkout(ref="pets@v1", to="data/cats"))  # perhaps it was cut off
    assert (again.written, again.kept) == (0, 4)
    assert tree.checkout(Checkout(paths=("data/cats",), ref="main"))[0].ref == "pets@v2"


def test_a_version_of_one_file_is_that_file_or_a_folder_with_it(workspace: Workspace) -> None:
    tree, root = WorkingTree(workspace), workspace.root
    (root / "tool").write_bytes(b"hello")
    tree.add(AddPath(path="tool"))
    tree.checkout(Checkout(ref="tool@main", to="bin/tool"))
    tree.checkout(Checkout(ref="tool@main", to="folder/tool/"))
    tree.checkout(Checkout(ref="tool@main", to="other"))
    places = ("bin/tool", "folder/tool/tool", "other/tool")
    assert [(root / one).read_bytes() for one in places] == [b"hello"] * 3
    assert all(one.clean for one in tree.status())


def test_what_lies_where_a_version_shall_lie_stays(two: Place) -> None:
    root = two.workspace.root
    (root / "mine").write_bytes(b"mine")
    (root / "ours").mkdir()
    (root / "ours/file").write_bytes(b"ours")
    for path, says in (
        ("mine", "something lies there already"),
        ("ours", "something lies there already"),
        ("pets", "pets@v2 lies there"),
    ):
        with pytest.raises(Conflict, match=says):
            two.tree.checkout(Checkout(ref="pets@v1", to=path))
    with pytest.raises(InvalidInput, match="outside of the project"):
        two.tree.checkout(Checkout(ref="pets@v1", to="../x"))
    with pytest.raises(NotFound):
        two.tree.checkout(Checkout(ref="pets@v9", to="x"))
    assert not (root / "x.treadle").exists()
    assert ((root / "mine").read_bytes(), (root / "ours/file").read_bytes()) == (b"mine", b"ours")
    (root / "empty").mkdir()
    assert two.tree.checkout(Checkout(ref="pets@v1", to="empty"))[0].written == 4


@pytest.mark.parametrize("change", ["changed", "folder"])
def test_changes_that_are_in_no_version_are_never_lost(two: Place, change: str) -> None:
    two.write(**{change: b"mine"})
    two.write(untracked=b"mine too")
    before = two.seen()
    with pytest.raises(Conflict, match=rf"would be lost: {change}"):
        two.checkout(ref="v1")
    assert two.seen() == before
    two.checkout(ref="v1", force=True)
    assert two.seen()["changed"] == (b"1", False)
    assert two.seen()["untracked"] == (b"mine too", False)  # in nobody's way


def test_a_changed_file_that_the_other_version_does_not_have_stays(two: Place) -> None:
    two.write(new=b"mine")
    two.checkout(ref="v1")
    assert two.seen()["new"] == (b"mine", False)
    assert two.changes() == [("new", "added")]


def test_nothing_counts_as_lost_that_the_version_here_has(two: Place) -> None:
    """Also where nothing is known of the files any more, as after a clone."""
    shutil.rmtree(two.workspace.root / ".treadle" / "cache")
    two.checkout(ref="v1")
    assert two.status().clean


def test_a_new_file_where_a_folder_shall_be(two: Place) -> None:
    two.checkout(ref="v1")
    shutil.rmtree(two.folder / "folder")
    two.write(folder=b"mine")
    with pytest.raises(Conflict, match="would be lost: folder"):
        two.checkout()
    two.checkout(force=True)
    assert two.seen()["folder/a"] == (b"a", False)


def test_what_already_holds_the_right_bytes_is_no_conflict(two: Place) -> None:
    shutil.rmtree(two.workspace.root / ".treadle" / "cache")  # nothing is known of what lies there
    assert two.checkout() == (0, 0, 4)
    two.write(changed=b"1")
    assert two.checkout(ref="v1")[0] == 2  # `changed` was right already


def test_permissions_come_back(pets: Place) -> None:
    pets.write(run=b"true")
    pets.add()
    (pets.folder / "run").chmod(0o755)
    assert pets.changes() == [("run", "modified")]
    assert pets.add().number == 2
    pets.checkout(ref="v1")
    assert not (pets.folder / "run").stat().st_mode & 0o111
    pets.checkout(ref="v2")
    assert (pets.folder / "run").stat().st_mode & 0o100


def test_links_become_files_and_folders_become_links(pets: Place) -> None:
    pets.write(a=b"1", d__b=b"2")
    (pets.folder / "link").symlink_to("a")
    pets.add()
    (pets.folder / "link").unlink()
    shutil.rmtree(pets.folder / "d")
    pets.write(link=b"a file")
    (pets.folder / "d").symlink_to("a")
    pets.add()
    second = pets.seen()
    pets.checkout(ref="v1")
    assert pets.seen() == {"a": (b"1", False), "d/b": (b"2", False), "link": "→ a"}
    pets.checkout(ref="v2")
    assert pets.seen() == second


def test_damage_is_never_written(pets: Place) -> None:
    pets.write(large=os.urandom(2 << 20), small=b"small")
    pets.add()
    store = pets.workspace.root / ".treadle" / "blobs"
    for path in store.rglob("*"):
        if path.is_file() and path.stat().st_size >= 2 << 20:
            path.chmod(0o644)
            path.write_bytes(b"\0" * path.stat().st_size)
    shutil.rmtree(pets.folder)
    with pytest.raises(CorruptData, match="what was stored"):
        pets.checkout()
    assert not (pets.folder / "large").exists()
    assert not list(pets.folder.rglob(f"*{PARTIAL}"))


def test_a_full_disk_is_told_and_what_is_there_is_whole(
    full_disk: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data lies on the small disk, the store does not."""
    (project / "pets").symlink_to(full_disk)  # stands for a mount
    workspace = Workspace.open(project)
    place = Place(workspace)
    data = full_disk / "data"
    monkeypatch.setattr(place, "folder", data)
    data.mkdir()
    for number in range(8):
        (data / f"f{number}").write_bytes(os.urandom(90_000))
    monkeypatch.setattr(place.tree, "_inside", lambda _: data)
    monkeypatch.setattr(place.tree, "_shown", lambda _: "pets")
    version = place.tree.add(AddPath(path="pets", name="pets"))
    seen = place.seen()
    shutil.rmtree(data)
    filler = fill(full_disk, leave=300_000)
    with pytest.raises(StorageFull):
        place.tree.checkout(Checkout(paths=("pets",)))
    for path in data.rglob("*"):
        assert (
            path.name.endswith(PARTIAL) or not path.is_file() or (path.read_bytes(), False) == seen[path.name]
        )
    filler.unlink()
    place.tree.checkout(Checkout(paths=("pets",)))
    assert place.seen() == seen
    assert version.count == 8
    workspace.close()


def test_names_that_differ_in_case_are_refused_where_they_are_one_file(
    pets: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets.write({"Photo": b"1", "photo": b"2", "\u00e9": b"3", "e\u0301": b"4"})
    pets.add()
    before = pets.seen()
    shutil.rmtree(pets.folder)
    with monkeypatch.context() as patched:
        patched.setattr(trees.differing, "folds_case", lambda *_: True)  # Linux's file systems don't
        with pytest.raises(InvalidInput, match="are one file on this file system"):
            pets.checkout()
    assert not pets.folder.exists()
    pets.checkout()
    assert pets.seen() == before


def test_what_a_killed_checkout_left_is_nobodys_data(pets: Place) -> None:
    pets.write(a=b"1")
    pets.add()
    pets.write(**{f"a{PARTIAL}": b"half"})
    assert pets.status().clean
    assert pets.add().number == 1


def test_one_path_is_needed_for_another_version(two: Place) -> None:
    (two.workspace.root / "more").mkdir()
    two.tree.add(AddPath(path="more"))
    with pytest.raises(InvalidInput, match="one path is needed"):
        two.tree.checkout(Checkout(ref="v1"))
    with pytest.raises(NotFound, match="no version was made of it yet"):
        two.tree.checkout(Checkout(paths=("treadle.toml",)))
    with pytest.raises(NotFound, match="has no version v9"):
        two.checkout(ref="v9")
    assert [one.ref for one in two.tree.checkout(Checkout())] == ["more@v1", "pets@v2"]
