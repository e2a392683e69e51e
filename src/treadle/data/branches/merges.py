"""Merging one line of versions into another, and taking a version's changes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from treadle.data import store as versions
from treadle.data.branches import graph as graphs
from treadle.data.branches.graph import Graph, Node
from treadle.data.branches.merge_types import Merge, MergePlan, PathConflict
from treadle.data.branches.merging import Clash, Outcome, kind, three_way
from treadle.data.branches.tables import Unmergeable, is_table, merge_tables
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.trees import apply, diff
from treadle.data.tree.types import Entry, Mode
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import Conflict
from treadle.kernel.files import staging
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace

WHOLE = 1 << 20
_SHOWN = 5
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Base:
    """What two lines of versions began with.

    Attributes:
        tree: Its tree; None if they have nothing in common.
        undecided: Paths of which nobody can tell, where lines were merged crosswise.
        commit: The newest commit that it was made of; empty if there is none.
    """

    tree: str | None
    undecided: frozenset[str] = frozenset()
    commit: str = ""


class Overlay:
    """Pages in memory above others: what is made only to be compared with."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._made: dict[str, bytes] = {}

    def put_page(self, data: bytes) -> str:
        """Keeps a page in memory; returns its digest."""
        digest = digest_bytes(data)
        self._made[digest] = data
        return digest

    def page(self, digest: str) -> bytes:
        """The bytes of a page; raises what contents raise."""
        return self._made.get(digest) or self._contents.page(digest)


class Merger:
    """Makes the tree of a merge of one dataset.

    Args:
        workspace: Where everything is kept.
        contents: Reads all that is merged, and what it began with.
        pages: The same for pages, and what was made of them.
        key: The columns that name a row of a table; tables aren't merged by rows when empty.
    """

    def __init__(self, workspace: Workspace, contents: Contents, pages: Overlay, key: str) -> None:
        self._ws, self._contents, self._pages = workspace, contents, pages
        self._keys = [one.strip() for one in key.split(",") if one.strip()]
        self._conflicts: dict[str, PathConflict] = {}

    def merge(self, base: Base, ours: str | None, theirs: str | None, writer: PackWriter) -> Outcome:
        """What the target takes, and what somebody has to decide; merged tables are kept by then."""
        found = three_way(
            diff(base.tree, ours, self._pages), diff(base.tree, theirs, self._pages), base.undecided
        )
        return self._merge_rows(found, writer) if self._keys else found

    def _merge_rows(self, found: Outcome, writer: PackWriter) -> Outcome:
        for path, clash in list(found.clashes.items()):
            if not is_table(path) or not clash.ours or not clash.theirs:
                continue
            with staging(self._ws.state / "tmp") as folder:
                merged = self._table(folder, clash, writer)
            if merged is not None:
                found.taken[path] = merged
                del found.clashes[path]
        return found

    def _table(self, folder: Path, clash: Clash, writer: PackWriter) -> Entry | None:
        ending = Path(clash.path).suffix
        places: list[Path | None] = []
        for name, entry in (("base", clash.base), ("ours", clash.ours), ("theirs", clash.theirs)):
            places.append(folder / f"{name}{ending}" if entry else None)
            if entry is not None:
                self._contents.fetch(entry.digest, entry.size, folder / f"{name}{ending}")
        base, ours, theirs = places
        assert ours  # noqa: S101 - both are files
        assert theirs  # noqa: S101
        target = folder / f"merged{ending}"
        try:
            rows = merge_tables(self._ws.engine, base, ours, theirs, self._keys, target)
        except Unmergeable as why:
            self._conflicts[clash.path] = _told(clash, why=str(why))
            return None
        if rows:
            self._conflicts[clash.path] = _told(clash, rows=tuple(rows))
            return None
        size = target.stat().st_size
        digest = writer.put(target.read_bytes()) if size < WHOLE else self._ws.blobs.put_file(target)
        return Entry(clash.path, size, digest, Mode(clash.ours.mode if clash.ours else 0))

    def conflicts(self, found: Outcome) -> tuple[PathConflict, ...]:
        """What somebody has to decide, by path."""
        return tuple(
            self._conflicts.get(path) or _told(clash) for path, clash in sorted(found.clashes.items())
        )


def _told(clash: Clash, why: str = "", rows: tuple = ()) -> PathConflict:  # type: ignore[type-arg]
    if clash.instead:
        why = f"it is a file on one side and a folder on the other, beside {clash.instead[0]}"
    return PathConflict(
        path=clash.path,
        ours=kind(clash.base, clash.ours),
        theirs=kind(clash.base, clash.theirs),
        why=why,
        rows=rows,
    )


def load_graph(workspace: Workspace, dataset: str) -> dict[str, Node]:
    """How the versions of a dataset follow each other."""
    with workspace.database.read() as connection:
        return graph_of(connection, dataset)


def graph_of(connection: sa.Connection, dataset: str) -> dict[str, Node]:
    """As :func:`load_graph`, in a transaction."""
    rows = versions.lineage(connection, dataset)
    return {commit: Node(number, parents) for number, commit, parents in rows}


def find_base(graph: Graph, one: str, other: str, trees: dict[str, str], pages: Overlay) -> Base:
    """What two commits began with.

    Where lines were merged crosswise there are several best common ancestors; what they have in
    common is merged by path, as Git does by line.

    Args:
        graph: How versions follow each other.
        one: A commit.
        other: The other.
        trees: The trees of commits.
        pages: Gives pages, and keeps those of what is merged only to be compared with.
    """
    best = graphs.bases(graph, one, other)
    if not best:
        return Base(None)
    tree: str = trees[best[0]]
    undecided: set[str] = set()
    for commit in best[1:]:
        began = find_base(graph, best[0], commit, trees, pages)
        found = three_way(
            diff(began.tree, tree, pages), diff(began.tree, trees[commit], pages), began.undecided
        )
        undecided |= {*found.clashes, *began.undecided}
        tree = apply(tree, found.changes(), pages, pages)
    return Base(tree, frozenset(undecided), best[0])


def needed(graph: Graph, one: str, other: str) -> Iterator[str]:
    """The commits whose trees :func:`find_base` looks at."""
    best = graphs.bases(graph, one, other)
    yield from best
    for commit in best[1:]:
        yield from needed(graph, best[0], commit)


def check_resolved(
    asked: Merge, found: Outcome, left: Outcome, plan: MergePlan, source: DatasetVersion
) -> None:
    """Refuses a merge in which something is left to decide.

    Raises:
        Conflict: Naming the first paths, and what to do.
    """
    if wrong := [path for path in asked.resolve if not path.endswith("/") and path not in found.clashes]:
        raise Conflict(f"there is no conflict at {wrong[0]!r} to resolve", fix="merge without it")
    if not left.clashes:
        return
    shown = "; ".join(map(say_conflict, plan.conflicts[:_SHOWN]))
    more = f"; and {len(plan.conflicts) - _SHOWN:,} more" if len(plan.conflicts) > _SHOWN else ""
    raise Conflict(
        f"{len(plan.conflicts):,} {'path' if len(plan.conflicts) == 1 else 'paths'} changed on both sides: "
        f"{shown}{more}",
        where=f"{source.dataset}@{asked.target}",
        fix="nothing was merged; choose: --ours PATH, --theirs PATH, or --strategy ours|theirs for all",
    )


def say_conflict(one: PathConflict) -> str:
    """A conflict in a phrase."""
    said = f"{one.path} ({one.ours} in the target, {one.theirs} in the source"
    if one.why:
        said += f"; {one.why}"
    for row in one.rows[:2]:
        what = f"row {row.key}, {row.column}: " if row.column else f"row {row.key}: "
        said += f"; {what}{row.base!r} became {row.ours!r} and {row.theirs!r}"
    return said + ")"


def made_plan(
    source: str, target: str, base: Base, found: Outcome, conflicts: Sequence[PathConflict]
) -> MergePlan:
    """What a merge does, counted.

    Args:
        source: What is merged.
        target: Where the branch stands.
        base: What both began with.
        found: What the target takes.
        conflicts: What is left to decide.
    """
    gone = sum(entry is None for entry in found.taken.values())
    return MergePlan(
        source=source,
        target=target,
        base=base.commit,
        added=len(found.added),
        modified=len(found.taken) - gone - len(found.added),
        deleted=gone,
        conflicts=tuple(conflicts[:_MANY]),
    )
