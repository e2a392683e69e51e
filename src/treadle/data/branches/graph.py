"""How versions follow each other, and where two lines of them last met. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def meetings(graph: Graph, heads: Iterable[str]) -> dict[str, set[str]]:
    """The commits that merges of some commits with each other begin with: rather one too many.

    Of lines that were merged crosswise, also what their several beginnings began with. It takes one
    pass over the graph, however many heads there are: a commit is such a beginning if two heads or
    more follow it, and no version after it is followed by all of these.

    Returns:
        Each such commit that is no head itself, and the heads that follow it.
    """
    ends = set(heads) & graph.keys()
    known = set(ends)
    found: dict[str, set[str]] = {}
    while new := {commit: after for commit, after in _meetings(graph, known) if commit not in known}:
        found.update((commit, after & ends) for commit, after in new.items())
        known.update(new)
    return found


def _meetings(graph: Graph, heads: set[str]) -> Iterator[tuple[str, set[str]]]:
    names = sorted(heads)
    followed = {commit: 1 << bit for bit, commit in enumerate(names)}
    """By whom each commit is followed, as bits."""
    most: dict[str, int] = {}
    """Of each commit, what the version after it has that is followed by most."""
    for commit in sorted(graph, key=lambda each: -graph[each].number):
        mine = followed.get(commit, 0)
        if mine.bit_count() > 1 and most.get(commit, 0) != mine:
            yield commit, {name for bit, name in enumerate(names) if mine >> bit & 1}
        for parent in graph[commit].parents:
            followed[parent] = followed.get(parent, 0) | mine
            if mine.bit_count() > most.get(parent, 0).bit_count():
                most[parent] = mine
