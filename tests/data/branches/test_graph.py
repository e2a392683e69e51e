import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.branches.graph import Node, ancestors, bases, meetings

# a - b - d - f      f follows d and c, g follows e and b: merged crosswise.
#  \       X
#   c - e - g         h has nothing in common with them.
PARENTS = {"a": "", "b": "a", "c": "a", "d": "b", "e": "c", "f": "dc", "g": "eb", "h": "", "i": "gf"}
GRAPH = {name: Node(number, tuple(follows)) for number, (name, follows) in enumerate(PARENTS.items(), 1)}


def test_ancestors():
    assert ancestors(GRAPH, ["f"]) == set("abcdf")
    assert ancestors(GRAPH, ["unknown"]) == set()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("d", "e", "a"), ("b", "d", "b"), ("d", "d", "d"), ("f", "g", "cb"), ("f", "h", ""), ("i", "f", "f")],
)
def test_bases(one, other, expected):
    assert bases(GRAPH, one, other) == bases(GRAPH, other, one) == list(expected)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Node]:
    """Any history in which numbers grow; each version follows up to two before it."""
    graph: dict[str, Node] = {}
    for number in range(1, draw(st.integers(1, 14)) + 1):
        names = sorted(graph, key=lambda name: graph[name].number)
        some = st.lists(st.sampled_from(names), max_size=2, unique=True) if names else st.just([])
        graph[f"n{number:02d}"] = Node(number, tuple(draw(some)))
    return graph


@given(graphs(), st.data())
def test_meetings_are_all_that_merges_of_heads_begin_with(
    graph: dict[str, Node], data: st.DataObject
) -> None:
    """Beside every pair by itself; also what several beginnings of a crosswise merge began with."""
    heads = data.draw(st.lists(st.sampled_from(sorted(graph)), unique=True, max_size=5))

    def needed(one: str, other: str) -> set[str]:
        best = bases(graph, one, other)
        return {*best, *(found for each in best[1:] for found in needed(best[0], each))}

    expected = {found for one, other in itertools.combinations(heads, 2) for found in needed(one, other)}
    found = meetings(graph, heads)
    assert expected - set(heads) <= found.keys()
    assert not found.keys() & set(heads)
    for commit, after in found.items():  # rather one too many, but none that two heads don't follow
        assert len(after) >= 2
        assert after == {head for head in heads if commit in ancestors(graph, [head])}


def test_meetings_of_one_line_are_none():
    assert meetings(GRAPH, ["f"]) == meetings(GRAPH, []) == meetings(GRAPH, ["f", "h"]) == {}
    assert meetings(GRAPH, ["d", "e"]) == {"a": {"d", "e"}}
    assert meetings(GRAPH, ["f", "g"]) == {name: {"f", "g"} for name in "abc"}  # a is what b and c began with
