"""What paths name: datasets, versions, branches with slashes in their names, and files."""

from __future__ import annotations

import pytest

from treadle.kernel.errors import InvalidInput
from treadle.paths.places import Place, is_fixed, needs_names, read_place, strip

NAMES = {"main", "exp", "exp/new", "exp/new/er"}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("treadle://", ("", "", "")),
        ("treadle:///", ("", "", "")),
        ("treadle://flights", ("flights", "", "")),
        ("flights/a/b.csv", ("flights", "", "a/b.csv")),
        ("treadle://flights@v12/a b/ü.csv", ("flights", "v12", "a b/ü.csv")),
        ("flights@main/a@b/c", ("flights", "main", "a@b/c")),
        ("flights@exp/new", ("flights", "exp/new", "")),
        ("flights@exp/new/a.csv", ("flights", "exp/new", "a.csv")),
        ("flights@exp/new/er/a.csv", ("flights", "exp/new/er", "a.csv")),
        ("flights@exp/newer/a.csv", ("flights", "exp", "newer/a.csv")),
        ("flights@exp%2Fnewer/a.csv", ("flights", "exp/newer", "a.csv")),
        ("flights@other/a.csv", ("flights", "other", "a.csv")),
    ],
)
def test_paths_name(path: str, place: tuple[str, str, str]) -> None:
    assert read_place(path, NAMES) == place


@pytest.mark.parametrize("ref", ["", "v3", "main", "exp/new", "exp/new/er"])
@pytest.mark.parametrize("path", ["", "a", "a/b.csv", "er/b.csv"])
def test_what_is_written_is_read_again(ref: str, path: str) -> None:
    place = Place("flights", ref, path)
    assert read_place(place.of(path), NAMES) == place


def test_a_version_must_be_named_after_the_at() -> None:
    with pytest.raises(InvalidInput, match="names no version"):
        read_place("treadle://flights@/a.csv")


def test_names_are_needed_only_where_a_path_could_begin_in_a_branch() -> None:
    assert needs_names("treadle://flights@exp/new/a.csv") == "flights"
    fixed = ("flights@v3/a", "flights@latest/a", "flights@0123abc/a", "flights@exp", "flights/a", "f@a%2fb/c")
    assert [needs_names(path) for path in fixed] == [""] * len(fixed)


def test_what_never_changes() -> None:
    assert [is_fixed(ref) for ref in ("v1", "0123abc", "latest", "main", "v0", "exp/v1", "")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


def test_the_protocol_goes() -> None:
    assert strip("treadle://flights@v1/a/") == "flights@v1/a"
