"""Pointers: small files that people, Git and other Treadles may have had their hands on."""

from __future__ import annotations

import pytest

from data.work.conftest import Place
from treadle.data.work.pointer import find_pointers, read_pointer
from treadle.kernel.errors import InvalidInput, NotFound


@pytest.fixture
def made(pets: Place) -> Place:
    pets.write(a=b"1")
    pets.add()
    return pets


def test_it_says_what_lies_there_and_is_the_same_for_the_same(made: Place) -> None:
    text = made.pointer.read_text()
    found = read_pointer(made.pointer)
    assert (found.dataset, found.branch, found.version, found.files, found.bytes) == ("pets", "main", 1, 1, 1)
    assert text.startswith("# Which version of the data lies here.")
    inode = made.pointer.stat().st_ino
    made.add()
    assert (made.pointer.read_text(), made.pointer.stat().st_ino) == (text, inode)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("format = 1", "format = 2", r"the pointer has format 2; this Treadle reads 1"),
        ("version = 1", "version = 0", r"`int` >= 1.*\$\.version"),
        ("version = 1", "", r"missing required field `version`"),
        ("version = 1", "version = ", r"can't be read"),
        ('commit = "', 'commit = "x', r"\$\.commit"),
        ("files = 1", "files = 1\ncolour = 3", r"unknown field `colour`"),
        ("files = 1", "<<<<<<< HEAD\nfiles = 1\n=======\nfiles = 2\n>>>>>>> x", r"both sides of a merge"),
        ("files = 1", "files = 7", r"doesn't fit pets@v1, whose commit it names"),
        ("bytes = 1", "bytes = 7", r"doesn't fit pets@v1, whose commit it names"),
    ],
)
def test_one_that_was_edited_by_hand_is_refused_and_stays(made: Place, old: str, new: str, told: str) -> None:
    text = made.pointer.read_text()
    assert old in text
    made.pointer.write_text(text.replace(old, new))
    edited = made.pointer.read_bytes()
    for do in (made.status, made.checkout, made.add):
        with pytest.raises(InvalidInput, match=told):
            do()
    assert made.pointer.read_bytes() == edited
    assert made.seen() == {"a": (b"1", False)}
    made.pointer.write_text(text)
    assert made.status().clean


def test_a_number_of_another_clone_is_told_as_it_is_here(made: Place) -> None:
    made.pointer.write_text(made.pointer.read_text().replace("version = 1", "version = 7"))
    assert made.status().ref == "pets@v1"
    assert made.status().clean


def test_bytes_that_are_no_text_are_refused(made: Place) -> None:
    made.pointer.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not text in UTF-8"):
        made.status()


def test_a_commit_that_is_not_here_says_where_to_get_it(made: Place) -> None:
    text = made.pointer.read_text()
    commit = read_pointer(made.pointer).commit
    made.pointer.write_text(text.replace(commit, "0" * 64))
    with pytest.raises(NotFound, match="isn't known here"):
        made.checkout()
    with pytest.raises(NotFound, match="isn't known here"):
        made.status()


def test_pointers_are_found_where_people_keep_data(made: Place) -> None:
    root = made.workspace.root
    for name in (
        "sub/x.treadle",
        ".hidden/x.treadle",
        "venv/x.treadle",
        "pets/x.treadle",
        "node_modules/x.treadle",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
    (root / "venv" / "pyvenv.cfg").write_text("")
    (root / ".treadle").mkdir(exist_ok=True)
    found = [one.relative_to(root).as_posix() for one in find_pointers(root)]
    assert found == ["pets.treadle", "sub/x.treadle"]
