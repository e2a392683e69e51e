"""How versions follow each other, and where two lines of them last met. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias


class Node(NamedTuple):
    """A version in the graph.

    Attributes:
        number: Its number; greater than those of its parents.
        parents: The commits that it follows.
    """

    number: int
    parents: tuple[str, ...]


Graph: TypeAlias = Mapping[str, Node]


def ancestors(graph: Graph, commits: Iterable[str]) -> set[str]:
    """Some commits and all that they follow, as far as they are known."""
    found: set[str] = set()
    waiting = list(commits)
    while waiting:
        commit = waiting.pop()
        if commit not in found and commit in graph:
            found.add(commit)
            waiting.extend(graph[commit].parents)
    return found


def bases(graph: Graph, one: str, other: str) -> list[str]:
    """The best common ancestors of two commits, the newest first.

    Those that no other common ancestor follows: none where the histories have nothing in
    common, several where lines were merged crosswise.
    """
    common = ancestors(graph, [one]) & ancestors(graph, [other])
    best: list[str] = []
    covered: set[str] = set()
    for commit in sorted(common, key=lambda each: -graph[each].number):
        if commit not in covered:
            best.append(commit)
            covered |= ancestors(graph, [commit])
    return best
