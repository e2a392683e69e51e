"""Pushing: what a remote lacks of versions goes there, and then their names."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from treadle.data import store as versions
from treadle.data.branches import store
from treadle.data.branches.commits import decode_commit
from treadle.data.branches.graph import Graph, ancestors
from treadle.data.branches.merges import load_graph
from treadle.data.branches.service import Branches
from treadle.data.branches.types import RefKind
from treadle.data.needs import Walk, packs_of, tables
from treadle.data.remotes.naming import Wanted, heads, wanted
from treadle.data.remotes.pace import Pace, parse_rate
from treadle.data.remotes.remote import Remote
from treadle.data.remotes.transfer import Failed, Item, Moved, Mover
from treadle.data.remotes.types import Push, PushedVersions
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

_STILL_YOUNG = 20 * 60.0
_TOLD = 5


class _Line(NamedTuple):
    """A version to push, and what is told of it at the remote."""

    version: DatasetVersion
    kind: RefKind
    name: str


def push(workspace: Workspace, asked: Push) -> PushedVersions:
    """Pushes versions with all that they follow; each is listed when all of it is there.

    Of those that were deleted it is told that they were.

    Raises:
        NotFound: If there is no such version or remote.
        Deleted: If one that was named was deleted.
        InvalidInput: If the remote is the project's own blob store, or the limit is no rate.
        Conflict: If the remote's branch has versions that aren't here, or went another way.
        CorruptData: If something here is damaged; what depends on it isn't listed there.
        StorageFull: If the remote is full; what was sent is there for the next try.
        StorageError: If the remote fails again and again.
    """
    pace = Pace(parse_rate(asked.limit) if asked.limit else None)
    chosen = wanted(workspace, asked.refs) or heads(workspace)
    if not chosen:
        raise NotFound("no data has a version yet", fix="make one: treadle data add PATH")
    lines = [_line(workspace, one) for one in chosen]
    remote = Remote.open(workspace.config, workspace.root, asked.remote, make=True)
    _refuse_own(workspace, remote)
    graphs = {line.version.dataset: load_graph(workspace, line.version.dataset) for line in lines}
    for line in lines:
        if line.kind == "branch":
            _check_forward(remote, graphs[line.version.dataset], line)
    lacking, there = _lacking(workspace, remote, lines, graphs, asked.depth)
    new = [version for version in lacking if version.deleted_at is None]
    moved = _send(workspace, remote, new, pace)
    for version in lacking:
        if version.deleted_at is None:
            remote.add(version)
        else:
            remote.add_deleted(version)
    told = []
    for line in lines:
        remote.add_ref(line.version.dataset, line.kind, line.name, line.version.commit_id)
        told.append(f"{line.version.dataset}@{line.name}")
    return PushedVersions(
        remote=remote.name,
        url=remote.url,
        versions=tuple(version.ref for version in new),
        there=there,
        branches=tuple(dict.fromkeys(told)),
        blobs=moved.blobs,
        bytes=moved.bytes,
    )


def _refuse_own(workspace: Workspace, remote: Remote) -> None:
    own = workspace.config.store.blobs
    here, there = workspace.root / own, workspace.root / remote.url
    same = own.rstrip("/") == remote.url.rstrip("/")
    if same or ("://" not in own + remote.url and here.resolve() == there.resolve()):
        raise InvalidInput(
            f"remote {remote.name!r} is the project's own blob store: everything is there already",
            where=remote.url,
            fix="give the remote a place of its own, such as another prefix of the bucket",
        )


def _line(workspace: Workspace, one: Wanted) -> _Line:
    version = Branches(workspace).resolve(one.ref)
    kind, name = one.kind, one.name
    if kind is None:
        with workspace.database.read() as connection:
            for each in ("branch", "tag"):
                if store.find_ref(connection, version.dataset, "tag" if each == "tag" else "branch", name):
                    kind = "tag" if each == "tag" else "branch"
                    break
    if kind is None:  # a number or a commit: it was made on that branch
        kind, name = "branch", version.branch
    return _Line(version, kind, name)


def _check_forward(remote: Remote, graph: Graph, line: _Line) -> None:
    """Refuses to push to a branch that has at the remote what doesn't lead to this version, or from it."""
    dataset, commit = line.version.dataset, line.version.commit_id
    before = ancestors(graph, [commit])
    for pushed in remote.refs(dataset, "branch", line.name):
        if pushed.commit in before or commit in ancestors(graph, [pushed.commit]):
            continue
        known = pushed.commit in graph
        raise Conflict(
            f"branch {line.name!r} of {dataset!r} went another way at remote {remote.name!r}"
            if known
            else f"branch {line.name!r} of {dataset!r} has versions at remote {remote.name!r}"
            " that aren't here",
            where=f"{dataset}@{line.name}, commit {pushed.commit[:12]}",
            fix=f"treadle data merge {dataset}@{pushed.commit[:12]} --into {line.name}, and push again"
            if known
            else f"bring them (treadle data fetch {dataset}@{line.name}), merge, and push again",
        )


def _lacking(
    workspace: Workspace, remote: Remote, lines: Sequence[_Line], graphs: Mapping[str, Graph], depth: int
) -> tuple[list[DatasetVersion], int]:
    """The versions that aren't listed at a remote, deleted ones too, the oldest first, and how many are."""
    new: list[DatasetVersion] = []
    there = 0
    for dataset, graph in graphs.items():
        heads = [line.version.commit_id for line in lines if line.version.dataset == dataset]
        commits = generations(graph, heads, depth)
        listed = {one.commit for one in remote.listed(dataset)}
        there += len(commits & listed)
        numbers = [graph[commit].number for commit in commits - listed]
        with workspace.database.read() as connection:
            new += reversed(versions.by_numbers(connection, dataset, numbers))
    return new, there


def generations(graph: Graph, commits: Iterable[str], depth: int) -> set[str]:
    """Some commits and what they follow, so many generations in all; all of them when 0."""
    found: set[str] = set()
    now, left = set(commits), depth
    while now:
        found |= now
        left -= 1
        if not left:
            break
        now = {parent for one in now for parent in graph[one].parents if parent in graph} - found
    return found


def _send(workspace: Workspace, remote: Remote, new: Sequence[DatasetVersion], pace: Pace) -> Moved:
    walk = Walk(workspace.readable, workspace.state / "cache" / "packs", strict=True)
    mover = Mover(workspace.readable, remote.blobs, pace)
    commits: list[Item] = []
    items: list[Item] = []
    packs = _packs(workspace, new)
    began = time.monotonic()
    with _meanwhile(lambda: mover.move(packs), pace) as early:
        for version in new:
            for need in walk.needed(version.commit_id):
                found = Item(need.digest, _what(version, need.what), need.size)
                (commits if need.digest == version.commit_id else items).append(found)
            items += [Item(need.digest, _what(version, need.what), need.size) for need in tables(version)]
    sent = early.result()
    known = {item.digest for item in packs}
    others = mover.move([item for item in items if item.digest not in known])
    moved = _whole(_sum(sent, others), remote)
    while time.monotonic() - began > _STILL_YOUNG:
        # So long ago that a collector at work there might have taken what was there at the start.
        began = time.monotonic()
        _whole(mover.move(items), remote)
    return _sum(moved, _whole(mover.move(commits), remote))


def _packs(workspace: Workspace, new: Sequence[DatasetVersion]) -> list[Item]:
    """The packs of versions, which are known before all that the versions have is looked at."""
    commits = [decode_commit(workspace.readable.get(version.commit_id), version.commit_id) for version in new]
    return [Item(need.digest, need.what, need.size) for commit in commits for need in packs_of(commit)]


def _sum(one: Moved, two: Moved) -> Moved:
    return Moved(one.blobs + two.blobs, one.bytes + two.bytes, one.there + two.there, one.failed + two.failed)


@contextlib.contextmanager
def _meanwhile(send: Callable[[], Moved], pace: Pace) -> Iterator[Future[Moved]]:
    """Sends something while the block runs; what goes wrong with that is told after the block."""
    with ThreadPoolExecutor(1, thread_name_prefix="treadle-early") as pool:
        try:
            sending = pool.submit(send)
            yield sending
            wait([sending])
        except BaseException:
            pace.stop()
            raise


def _what(version: DatasetVersion, what: str) -> str:
    return what if version.ref in what else f"{what} of {version.ref}"


def _whole(moved: Moved, remote: Remote) -> Moved:
    if moved.failed:
        raise broken(moved.failed, "here", f"they aren't at remote {remote.name!r} either")
    return moved


def broken(failed: Sequence[Failed], where: str, also: str = "") -> CorruptData:
    """The error for blobs that are missing or damaged."""
    told = "; ".join(f"{one.item.what}: {_why(one)}" for one in failed[:_TOLD])
    more = f"; and {len(failed) - _TOLD:,} more" if len(failed) > _TOLD else ""
    side = " --remote" if where != "here" else ""
    return CorruptData(
        f"{len(failed):,} {'blob is' if len(failed) == 1 else 'blobs are'} damaged or missing {where}"
        f"{', and ' + also if also else ''}: {told}{more}",
        where=where,
        fix=f"treadle data verify{side} tells all of it, and with --repair mends what is whole elsewhere",
    )


def _why(failed: Failed) -> str:
    return "missing" if isinstance(failed.error, NotFound) else "damaged"
