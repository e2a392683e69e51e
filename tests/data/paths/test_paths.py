"""Versions by path: links, pages of listings, and changes that others don't lose."""

from __future__ import annotations

import threading

import pytest

from branching import commit, contents
from treadle.data import Branches, ChangePaths, CopyPath, DataPaths, Entry, Mode, Pack
from treadle.data.paths.rules import led_to
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.types import Change
from treadle.kernel.errors import Conflict, InvalidInput, NotFound


def put(branches: Branches, path: str, data: bytes, mode: Mode = Mode.FILE) -> ChangePaths:
    """A change that puts one file."""
    with PackWriter(branches._ws.blobs) as writer:
        entry = Entry(path, len(data), writer.put(data), mode)
        return ChangePaths(put=(entry,), packs=writer.finish().packs)


def link(branches: Branches, path: str, target: str) -> None:
    with PackWriter(branches._ws.blobs) as writer:
        entry = Entry(path, len(target), writer.put(target.encode()), Mode.LINK)
        written = writer.finish()
    branches.commit("pets", "main", [Change(path, entry)], actor="anna", written=written)


@pytest.mark.parametrize(
    ("at", "target", "led"),
    [
        ("a", "b", "b"),
        ("d/a", "b", "d/b"),
        ("d/a", "../b", "b"),
        ("d/e/a", ".././f//b", "d/f/b"),
        ("d/a", "..", ""),
        ("a", "../b", None),
        ("d/a", "../../b", None),
        ("a", "/etc/passwd", None),
    ],
)
def test_links_lead_within_the_dataset(at: str, target: str, led: str | None) -> None:
    assert led_to(at, target) == led


def test_links_are_followed(paths: DataPaths, branches: Branches) -> None:
    commit(branches, {"v2/a": "alpha", "v2/deep/b": "beta"})
    for path, target in (("latest", "v2"), ("v2/same", "a"), ("hop", "latest/same"), ("none", "v2/z")):
        link(branches, path, target)
    found = paths.entry("pets", "hop")
    assert (found.size, found.target, found.digest) == (5, "latest/same", paths.entry("pets", "v2/a").digest)
    assert b"".join(paths.file("pets", "latest/deep/b").read()) == b"beta"
    assert [one.path for one in paths.page("pets", "latest").entries] == [
        "latest/a", "latest/deep", "latest/same",
    ]  # fmt: skip
    assert [(one.path, one.kind, one.size) for one in paths.page("pets", "").entries] == [
        ("hop", "file", 5), ("latest", "folder", 0), ("none", "file", 4), ("v2", "folder", 0),
    ]  # fmt: skip
    for path in ("none", "latest/z", "latest/a/b"):
        with pytest.raises(NotFound):
            paths.entry("pets", path)


def test_links_in_a_circle_and_out_of_the_dataset(paths: DataPaths, branches: Branches) -> None:
    for path, target in (("a", "b"), ("b", "a"), ("out", "../secret")):
        link(branches, path, target)
    with pytest.raises(InvalidInput, match="circle"):
        paths.entry("pets", "a")
    with pytest.raises(NotFound, match="outside"):
        paths.entry("pets", "out")
    assert len(paths.page("pets", "").entries) == 3


def test_a_listing_comes_in_pages(paths: DataPaths, branches: Branches) -> None:
    commit(branches, {f"d{n % 3}/{n:03}": str(n) for n in range(50)})
    link(branches, "alias", "d1")
    for folder, deep in (("", False), ("", True), ("d1", True), ("alias", True)):
        whole = paths.page("pets", folder, deep=deep).entries
        found, after = [], ""
        while page := paths.page("pets", folder, deep=deep, after=after, limit=4):
            found += page.entries
            if not (after := page.after):
                break
        assert tuple(found) == whole
    with pytest.raises(InvalidInput, match="is a file"):
        paths.page("pets", "d0/000")


def test_removals_copies_and_files_in_one_version(paths: DataPaths, branches: Branches) -> None:
    commit(branches, {"d/a": "1", "d/b": "2", "c": "3"})
    asked = put(branches, "c", b"new")
    asked = ChangePaths(
        put=asked.put,
        packs=asked.packs,
        remove=("d/",),
        copies=(CopyPath(source="d/", target="e/"), CopyPath(source="c", target="e/c")),
    )
    assert paths.change("pets", asked).number == 2
    assert contents(branches, "pets") == {"c": "new", "e/a": "1", "e/b": "2", "e/c": "3"}
    assert paths.change("pets", ChangePaths(copies=(CopyPath(source="d/", target="d/", at="v1"),))).count == 6
    for wrong in (
        ChangePaths(),
        ChangePaths(remove=("nope",)),
        ChangePaths(copies=(CopyPath(source="c", target="x/"),)),
        ChangePaths(copies=(CopyPath(source="nope/", target="x/"),)),
        ChangePaths(put=(Entry("x", 1, "0" * 64),)),
        ChangePaths(put=(Entry("x", 1, "zz"),)),
        ChangePaths(put=(Entry("../x", 0, asked.put[0].digest),)),
    ):
        with pytest.raises((InvalidInput, NotFound)):
            paths.change("pets", wrong)
    assert branches.resolve("pets").number == 3


def test_what_others_changed_since_is_refused_or_kept(paths: DataPaths, branches: Branches) -> None:
    seen = commit(branches, {"a": "1", "d/b": "1"}).commit_id
    commit(branches, {"d/b": "2"})
    mine = put(branches, "a", b"mine")
    for path in ("d/b", "d/"):
        with pytest.raises(Conflict, match=r"'d/b' was changed in pets@v2, after pets@v1"):
            paths.change("pets", ChangePaths(base=seen, remove=(path,)))
    assert paths.change("pets", ChangePaths(base=seen, put=mine.put, packs=mine.packs)).number == 3
    assert contents(branches, "pets") == {"a": "mine", "d/b": "2"}


def test_many_writers_at_once_lose_nothing(paths: DataPaths, branches: Branches) -> None:
    asked = [put(branches, f"part-{n}", str(n).encode()) for n in range(8)]
    errors = []

    def write(one: ChangePaths) -> None:
        try:
            paths.change("pets", one)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=write, args=(one,)) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert contents(branches, "pets") == {f"part-{n}": str(n) for n in range(8)}
    assert branches.resolve("pets").number == 8


@pytest.mark.parametrize("digest", ["", "\0", "../" * 20, "g" * 64, "A" * 64, "0" * 63])
def test_what_is_no_digest_is_refused_before_it_names_a_file(
    paths: DataPaths, branches: Branches, digest: str
) -> None:
    for asked in (
        ChangePaths(packs=(Pack(digest, 1),)),
        ChangePaths(put=(Entry("a", 1, digest, Mode.FILE),)),
    ):
        with pytest.raises(InvalidInput, match="64 hexadecimal characters"):
            paths.change("pets", asked)
