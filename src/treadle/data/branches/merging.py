"""Three-way merges by path. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from treadle.data.tree.types import Change, Difference, Entry


@dataclass(slots=True)
class Clash:
    """A path that both sides changed, each in its own way.

    Attributes:
        path: Which.
        base: What both began with.
        ours: What the target has there.
        theirs: What the source has there.
        instead: Paths of the target that would be below this file, or are files where this has a folder.
    """

    path: str
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None
    instead: tuple[str, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What a merge comes to.

    Attributes:
        taken: What the target takes from the source; None where a path goes.
        clashes: What somebody has to decide, by path.
        added: Those that are taken and that the target doesn't have.
    """

    taken: dict[str, Entry | None] = field(default_factory=dict)
    clashes: dict[str, Clash] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)

    def changes(self) -> list[Change]:
        """What is taken, as changes of the target's tree."""
        return [Change(path, entry) for path, entry in self.taken.items()]


def three_way(
    ours: Iterable[Difference], theirs: Iterable[Difference], undecided: AbstractSet[str] = frozenset()
) -> Outcome:
    """Takes what only the source changed; what both changed alike is there already.

    Args:
        ours: How the target differs from what both began with.
        theirs: How the source differs from it.
        undecided: Paths of which nobody can tell what both began with.
    """
    mine = {one.path: one for one in ours}
    found = Outcome()
    for one in theirs:
        other = mine.get(one.path)
        here = other.after if other else one.before
        if here == one.after:
            continue
        if other is None and one.path not in undecided:
            found.taken[one.path] = one.after
            if one.before is None:
                found.added.add(one.path)
        else:
            found.clashes[one.path] = Clash(one.path, one.before, here, one.after)
    for path in (
        undecided & mine.keys() - found.clashes.keys()
    ):  # the source has what the base was taken to be
        one = mine[path]
        if one.before != one.after:
            found.clashes[path] = Clash(path, None, one.after, one.before)
    ours_new = [path for path, one in mine.items() if one.after and (not one.before or path in found.clashes)]
    for path, instead in list(_nested(found.added, ours_new)):
        found.clashes[path] = Clash(path, None, None, found.taken.pop(path), instead)
    return found


def _nested(theirs: AbstractSet[str], ours: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Paths of the source that are a folder where the target has a file, or the other way round."""
    files = set(ours)
    folders: dict[str, list[str]] = {}
    for path in ours if theirs else ():
        for folder in _folders(path):
            folders.setdefault(folder, []).append(path)
    for path in sorted(theirs):
        if instead := (*folders.get(path, ()), *(one for one in _folders(path) if one in files)):
            yield path, instead


def _folders(path: str) -> Iterator[str]:
    return (path[:at] for at, letter in enumerate(path) if letter == "/")


def resolve(found: Outcome, sides: Mapping[str, str], overall: str = "") -> Outcome:
    """Decides clashes.

    Args:
        found: A merge.
        sides: ``ours`` or ``theirs`` by path; of a folder (``images/``), for all below it.
        overall: The same for all other paths; they stay undecided when empty.
    """
    left = Outcome(dict(found.taken), added=found.added & found.taken.keys())
    for path, clash in found.clashes.items():
        folder = max(
            (one for one in sides if one.endswith("/") and path.startswith(one)), key=len, default=""
        )
        side = sides.get(path) or sides.get(folder) or overall
        if not side:
            left.clashes[path] = clash
        elif side == "theirs":
            left.taken[path] = clash.theirs
            if clash.ours is None:
                left.added.add(path)
            left.taken.update(dict.fromkeys(clash.instead))
    return left


def kind(before: Entry | None, after: Entry | None) -> str:
    """What was done to a path, in a word."""
    if after is None:
        return "deleted" if before else "absent"
    if before is None:
        return "added"
    return "unchanged" if before == after else "modified"
