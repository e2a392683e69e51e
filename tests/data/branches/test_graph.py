import pytest

from treadle.data.branches.graph import Node, ancestors, bases

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
