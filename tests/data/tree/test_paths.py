"""Many paths are as a list of them would be."""

from __future__ import annotations

import bisect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.tree import paths as module
from treadle.data.tree.paths import Paths, pick, places

NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9), max_size=30
)


@given(
    NAMES, st.integers(-40, 40) | st.none(), st.integers(-40, 40) | st.none(), st.sampled_from([1, 2, -1, 3])
)
def test_it_is_as_a_list(names, begin, end, step):
    paths = Paths(names)
    assert len(paths) == len(names)
    assert list(paths) == names
    assert paths == names
    assert paths == Paths(names)
    assert paths != [*names, "more"]
    assert paths[begin:end:step] == names[begin:end:step]
    for row in range(-len(names), len(names)):
        assert paths[row] == names[row]
    for name in names:
        assert bisect.bisect_left(Paths(sorted(names)), name) == bisect.bisect_left(sorted(names), name)


def test_what_is_not_there_or_no_text():
    paths = Paths(["one"])
    with pytest.raises(IndexError):
        paths[1]
    with pytest.raises(UnicodeEncodeError):
        paths.append("\udc80")
    assert paths == ["one"]
    assert list(Paths(str(n) for n in range(10_000))) == [str(n) for n in range(10_000)]


@given(st.lists(NAMES.filter(lambda names: "" not in names)))
def test_it_grows_by_many_as_one_by_one(pieces):
    grown, text = Paths(), [name for names in pieces for name in names]
    for names in pieces:
        grown.extend(names)
    assert grown == text
    assert Paths.of_text("\0".join(text).encode()) == text
    assert grown == Paths(text)


@given(NAMES, st.lists(st.integers(0, 29)))
def test_some_are_picked(names, rows):
    rows = np.array([row for row in rows if row < len(names)], np.int64)
    for paths in (names, Paths(names)):
        assert pick(paths, rows) == [names[row] for row in rows]
        assert pick(paths, np.arange(len(names))[3:7]) == names[3:7]


@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)), st.integers(1, 20))
def test_places_are_found_stretch_by_stretch(mine, theirs, block):
    paths, among = ([f"{number:02}" for number in sorted(some)] for some in (mine, theirs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        found = places(Paths(paths), Paths(among))
    assert found.tolist() == [among.index(path) if path in among else -1 for path in paths]
