"""What needs versions of data: branches, tags, merges, reviews, pointers, pins; and what other rooms say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa

from treadle.data import store as versions
from treadle.data.branches import store as refs
from treadle.data.branches.graph import Node, ancestors, meetings
from treadle.data.branches.types import DEFAULT_BRANCH, Ref
from treadle.data.retention.types import VersionUse
from treadle.data.reviews import store as reviews
from treadle.data.tables.pinning import PINS
from treadle.data.tables.rules import pin_of
from treadle.data.types import DatasetVersion
from treadle.data.work.pointer import data_path, find_pointers, read_pointer
from treadle.kernel.keeping import Keeper
from treadle.kernel.workspace import Workspace

MOST = 100
"""So many uses of a version are told at most."""

ActiveRuns: TypeAlias = Callable[[sa.Connection, Iterable[str]], set[str]]
"""Says which of some runs are there and not deleted."""


class _Line(NamedTuple):
    """A dataset's history: how versions follow each other, of what content, and which aren't deleted."""

    graph: Mapping[str, Node]
    commits: Mapping[int, str]
    contents: Mapping[int, str]
    live: frozenset[int]


class Uses:
    """What needs versions of data.

    Args:
        workspace: Whose.
        keepers: The rooms that are asked; all of them, or what one needs could be deleted.
        active: Says which runs count.
    """

    def __init__(self, workspace: Workspace, keepers: Sequence[Keeper], active: ActiveRuns) -> None:
        self._ws, self._keepers, self._active = workspace, keepers, active

    def pointed(self, dataset: str) -> dict[str, str]:
        """The commits that pointers in the project's folder name, and the data that each stands for.

        Raises:
            InvalidInput: If a pointer can't be read, so that nobody knows what it names.
        """
        found = {}
        for place in find_pointers(self._ws.root):
            pointer = read_pointer(place)
            if pointer.dataset == dataset:
                found[pointer.commit] = data_path(place).relative_to(self._ws.root).as_posix()
        return found

    def of(
        self,
        connection: sa.Connection,
        dataset: str,
        asked: Sequence[DatasetVersion],
        pointed: Mapping[str, str],
        *,
        going: Collection[int] = (),
        whole: bool = False,
    ) -> dict[int, tuple[VersionUse, ...]]:
        """What needs some versions of a dataset, by number; those that nothing needs are left out.

        Args:
            connection: Where the rows are.
            dataset: The dataset.
            asked: The versions.
            pointed: As :meth:`pointed` says.
            going: Those that are being deleted in this transaction: what stands at them counts.
            whole: Whether its branches and tags go as well, and need nothing.
        """
        # Read before the history: of every commit at which something stands, the history then tells.
        standing = [
            *refs.refs_of(connection, dataset, "branch"),
            *refs.refs_of(connection, dataset, "tag"),
        ]
        line = _line(connection, dataset, going)
        standing = [ref for ref in standing if ref.number in line.live]
        found: dict[int, dict[str, VersionUse]] = defaultdict(dict)
        wanted = {version.number: version for version in asked}
        for number, use in self._all(connection, dataset, wanted, standing, line, pointed, whole=whole):
            if number in wanted and len(found[number]) < MOST:
                found[number].setdefault(use.fix, use)  # what ends one use ends the others of the same
        return {number: tuple(uses.values()) for number, uses in found.items()}

    def _all(
        self,
        connection: sa.Connection,
        dataset: str,
        wanted: Mapping[int, DatasetVersion],
        standing: Sequence[Ref],
        line: _Line,
        pointed: Mapping[str, str],
        *,
        whole: bool,
    ) -> Iterator[tuple[int, VersionUse]]:
        yield from _reviewed(connection, dataset, standing)
        if whole:
            yield from _protected(standing)
        else:
            yield from _stood_at(dataset, standing)
            yield from _pinned(dataset, standing, wanted, line)
            yield from _met(dataset, standing, line)
        for version in wanted.values():
            if (path := pointed.get(version.commit_id)) is not None:
                fix = f"treadle data checkout {path} --at VERSION, or remove {path}.treadle"
                yield version.number, VersionUse(f"the pointer {path}.treadle names it", fix)
        yield from self._made(connection, wanted.values())
        yield from self._other_rooms(connection, dataset, wanted, line)

    def _made(
        self, connection: sa.Connection, asked: Iterable[DatasetVersion]
    ) -> Iterator[tuple[int, VersionUse]]:
        made = [(one.number, source.id) for one in asked for source in one.origin if source.kind == "run"]
        active = self._active(connection, [run for _, run in made]) if made else set()
        for number, run in made:
            if run in active:
                yield number, VersionUse(f"run {run} made it", f"treadle runs delete {run}")

    def _other_rooms(
        self, connection: sa.Connection, dataset: str, wanted: Mapping[int, DatasetVersion], line: _Line
    ) -> Iterator[tuple[int, VersionUse]]:
        alike: dict[str, list[int]] = defaultdict(list)
        for number, version in wanted.items():
            alike[version.digest].append(number)
        for keeper in self._keepers:
            for use in keeper.uses(connection, dataset):
                told = VersionUse(use.by, use.fix)
                for number in alike.get(use.digest, ()):
                    # A number that isn't of this content was given elsewhere: then the content counts.
                    if use.number == number or line.contents.get(use.number) != use.digest:
                        yield number, told


def _line(connection: sa.Connection, dataset: str, going: Collection[int]) -> _Line:
    known = versions.known(connection, dataset)
    rows = versions.lineage(connection, dataset)  # after it: what is made meanwhile is at least in this
    return _Line(
        {commit: Node(number, parents) for number, commit, parents in rows},
        {number: commit for number, commit, _ in rows},
        {number: digest for number, digest, _ in known},
        frozenset(number for number, _, live in known if live) | frozenset(going),
    )


def _stood_at(dataset: str, standing: Iterable[Ref]) -> Iterator[tuple[int, VersionUse]]:
    for ref in standing:
        fix = f"treadle data {ref.kind} -d {dataset}@{ref.name}"
        if (ref.kind, ref.name) == ("branch", DEFAULT_BRANCH):
            fix = f"commit on main first, or delete the whole dataset: treadle data delete {dataset}"
        if ref.number is not None:
            yield ref.number, VersionUse(f"{ref.kind} {ref.name} stands at it", fix)


def _protected(standing: Iterable[Ref]) -> Iterator[tuple[int, VersionUse]]:
    for ref in standing:
        if ref.number is not None and ref.settings.protected:
            fix = f"treadle data protect {ref.dataset}@{ref.name} --off"
            yield ref.number, VersionUse(f"branch {ref.name} is protected", fix)


def _pinned(
    dataset: str, standing: Iterable[Ref], wanted: Mapping[int, DatasetVersion], line: _Line
) -> Iterator[tuple[int, VersionUse]]:
    """Earlier versions of a Delta table that somebody asked for, so that their files stay in the table."""
    heads = [line.commits[ref.number] for ref in standing if ref.name == PINS and ref.number]
    held = ancestors(line.graph, heads)
    for number, version in wanted.items():
        pin = pin_of(version)
        if pin is not None and version.commit_id in held:
            by = f"it keeps the files of version {pin[1]} in the table, as {dataset}@delta:{pin[1]}"
            yield number, VersionUse(by, f"give up all such: treadle data branch -d {dataset}@{PINS}")


def _met(dataset: str, standing: Sequence[Ref], line: _Line) -> Iterator[tuple[int, VersionUse]]:
    """What merges begin with: without its contents nobody could tell which side changed what."""
    heads: dict[str, Ref] = {}
    for ref in standing:
        if ref.number:
            heads.setdefault(line.commits[ref.number], ref)
    for commit, after in meetings(line.graph, heads).items():
        names = sorted(heads[head].name for head in after)
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        other = next(heads[head] for head in sorted(after) if heads[head].name != DEFAULT_BRANCH)
        fix = f"merge what is left of {other.name}, then: treadle data {other.kind} -d {dataset}@{other.name}"
        yield line.graph[commit].number, VersionUse(f"merges of {shown} begin with it", fix)


def _reviewed(
    connection: sa.Connection, dataset: str, standing: Iterable[Ref]
) -> Iterator[tuple[int, VersionUse]]:
    heads = {ref.name: ref.number for ref in standing if ref.kind == "branch"}
    for review in reviews.newest_first(connection, dataset, "open"):
        for branch, what in ((review.source, "source"), (review.target, "target")):
            number = heads.get(branch)
            if number is not None:
                by = f"it is the {what} of the open review {review.ref}"
                yield number, VersionUse(by, f"treadle data review close {review.ref}")
