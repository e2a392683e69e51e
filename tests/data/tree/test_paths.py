"""Many paths are as a list of them would be."""

from __future__ import annotations

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.tree.paths import Paths

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
