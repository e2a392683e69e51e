"""Merges and reverts as new versions of a branch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from msgspec.structs import replace

from treadle.data.branches.commits import NewVersion, candidate, packs_of, read_commit, write_version
from treadle.data.branches.describing import described
from treadle.data.branches.forwarding import forward
from treadle.data.branches.hooks import run_hooks
from treadle.data.branches.merge_types import Merge, Merged, MergePlan, Revert
from treadle.data.branches.merges import (
    Base,
    Merger,
    Overlay,
    check_resolved,
    find_base,
    load_graph,
    made_plan,
    needed,
)
from treadle.data.branches.merging import Outcome, resolve
from treadle.data.branches.types import Commit
from treadle.data.rules import gone
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.trees import apply
from treadle.data.types import DatasetVersion, Source
from treadle.kernel.errors import Conflict, Deleted, InvalidInput
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    import sqlalchemy as sa

    from treadle.data.branches.service import Branches

_TRIES = 10


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review allows.

    Attributes:
        source: The version that is merged, wherever its branch stands by now.
        within: Called in the transaction that moves the target; refuses by raising.
    """

    source: DatasetVersion
    within: Callable[[sa.Connection, DatasetVersion], None]


@dataclass(frozen=True, slots=True)
class _Sides:
    """What is merged."""

    ours: DatasetVersion | None
    theirs: DatasetVersion
    base: Base
    contents: Contents
    pages: Overlay
    parents: Contents

    @property
    def nothing(self) -> bool:
        """Whether the target has all of the source already."""
        return self.ours is not None and self.base.commit == self.theirs.commit_id

    @property
    def follows(self) -> bool:
        """Whether the source follows where the target stands, which could just move on to it."""
        return self.ours is None or self.base.commit == self.ours.commit_id


def merge(
    workspace: Workspace, branches: Branches, dataset: str, asked: Merge, reviewed: Reviewed | None
) -> Merged:
    """See :meth:`treadle.data.branches.service.Branches.merge`."""
    for attempt in range(_TRIES):
        try:
            return _merge(workspace, branches, dataset, asked, reviewed)
        except _Moved as moved:  # somebody else moved the branch meanwhile: merge into what it has now
            if asked.expected is not None or attempt == _TRIES - 1:
                raise moved.error from None
    raise AssertionError


class _Moved(Exception):
    def __init__(self, error: Conflict) -> None:
        super().__init__(str(error))
        self.error = error


def plan(workspace: Workspace, branches: Branches, dataset: str, asked: Merge) -> MergePlan:
    """See :meth:`treadle.data.branches.service.Branches.plan_merge`."""
    return _join(workspace, dataset, asked, _sides(workspace, branches, dataset, asked), _Upto.PLAN).plan


def would_be(
    workspace: Workspace, branches: Branches, dataset: str, asked: Merge
) -> tuple[MergePlan, DatasetVersion | None]:
    """See :meth:`treadle.data.branches.service.Branches.would_be`."""
    sides = _sides(workspace, branches, dataset, asked)
    joined = _join(workspace, dataset, asked, sides, _Upto.CANDIDATE)
    if joined.new is None:
        return joined.plan, None
    new = _described(workspace, joined.new, joined.parents)
    return joined.plan, candidate(workspace, new, sides.theirs.created_at)


def _merge(
    workspace: Workspace, branches: Branches, dataset: str, asked: Merge, reviewed: Reviewed | None
) -> Merged:
    sides = _sides(workspace, branches, dataset, asked, reviewed.source if reviewed else None)
    if not sides.nothing:
        named = asked.source if branches.is_branch(dataset, asked.source) else "BRANCH"
        branches.check_open(dataset, asked.target, reviewed=reviewed is not None, source=named)
    if asked.fast_forward and sides.follows and not sides.nothing:
        return _forward(workspace, asked, sides, reviewed)
    joined = _join(workspace, dataset, asked, sides, _Upto.VERSION)
    if joined.new is None:
        assert sides.ours  # noqa: S101 - it has all of the source
        return Merged(version=sides.ours, plan=joined.plan, changed=False)
    new = replace(joined.new, reviewed=reviewed is not None)
    asked_first = _hooks(workspace, dataset, asked)

    def hooks(commit: Commit, commit_id: str) -> None:
        del commit
        asked_first(commit_id)

    version = _write(workspace, new, joined.parents, hooks, reviewed.within if reviewed else None)
    return Merged(version=version, plan=joined.plan, changed=True)


def _forward(workspace: Workspace, asked: Merge, sides: _Sides, reviewed: Reviewed | None) -> Merged:
    """Has the target stand where the source stands, asked as a merge is."""
    plan = _join(workspace, sides.theirs.dataset, asked, sides, _Upto.PLAN).plan
    _hooks(workspace, sides.theirs.dataset, asked)(sides.theirs.commit_id)
    refused: list[Conflict] = []

    def decide(connection: sa.Connection, version: DatasetVersion) -> None:
        try:
            if reviewed:
                reviewed.within(connection, version)
        except Conflict as error:
            refused.append(error)
            raise

    try:
        forward(
            workspace,
            asked.target,
            sides.theirs,
            sides.ours.number if sides.ours else None,
            asked.actor,
            message=asked.message,
            reviewed=reviewed is not None,
            within=decide,
        )
    except Conflict as error:
        if error in refused:
            raise
        raise _Moved(error) from error
    return Merged(version=sides.theirs, plan=plan, changed=True)


class _Upto(Enum):
    """How far a merge is made."""

    PLAN = 1
    CANDIDATE = 2
    """A version, unless something is left to decide."""
    VERSION = 3
    """A version; what is left to decide is refused."""


@dataclass(frozen=True, slots=True)
class _Joined:
    """What a merge comes to; no version if there is none to make."""

    plan: MergePlan
    parents: list[DatasetVersion]
    new: NewVersion | None = None


def _join(workspace: Workspace, dataset: str, asked: Merge, sides: _Sides, upto: _Upto) -> _Joined:
    ours, theirs = sides.ours, sides.theirs
    target = ours.ref if ours else ""
    parents = [one for one in (ours, theirs) if one]
    if sides.nothing:
        return _Joined(made_plan(theirs.ref, target, sides.base, Outcome(), ()), parents)
    # What only the base's packs have must be written again: the new version names its parents' packs.
    with PackWriter(workspace.blobs, _known(sides.parents)) as writer:
        merger = Merger(workspace, sides.contents, sides.pages, asked.key or _key(workspace, dataset))
        found = merger.merge(sides.base, ours.tree if ours else None, theirs.tree, writer)
        left = resolve(found, asked.resolve, asked.strategy)
        plan = made_plan(theirs.ref, target, sides.base, left, merger.conflicts(left))
        if upto is _Upto.PLAN or (upto is _Upto.CANDIDATE and left.clashes):
            return _Joined(plan, parents)
        check_resolved(asked, found, left, plan, theirs)
        tree = apply(ours.tree if ours else None, left.changes(), sides.pages, writer)
        written = writer.finish()
    new = NewVersion(
        dataset=dataset,
        branch=asked.target,
        tree=tree,
        written=written,
        also=packs_of(read_commit(workspace, one.commit_id) for one in parents),
        expected=ours.number if ours else None,
        parents=tuple(one.number for one in parents),
        message=asked.message or f"Merge {asked.source} into {asked.target}",
        actor=asked.actor,
        origin=(Source("version", theirs.ref, "merge"),),
        changed=len(left.taken),
    )
    return _Joined(plan, parents, new)


def _sides(
    workspace: Workspace,
    branches: Branches,
    dataset: str,
    asked: Merge,
    source: DatasetVersion | None = None,
) -> _Sides:
    theirs = source or branches.resolve(f"{dataset}@{asked.source}")
    ours = branches.head(dataset, asked.target)
    if ours is None:
        branches.ref(dataset, "branch", asked.target)
    if asked.expected is not None and (ours is None or ours.number != asked.expected):
        stands = ours.ref if ours else "no version"
        raise Conflict(
            f"branch {asked.target!r} stands at {stands}, not at v{asked.expected}: it moved meanwhile",
            where=f"{dataset}@{asked.target}",
            fix="look at what is new in it, then merge again",
        )
    looked = {theirs.commit_id: theirs} | ({ours.commit_id: ours} if ours else {})
    graph = load_graph(workspace, dataset)
    if ours is not None:
        for commit in {*needed(graph, ours.commit_id, theirs.commit_id)} - looked.keys():
            looked[commit] = _began_with(branches.resolve(f"{dataset}@{commit}", deleted=True), ours, theirs)
    contents = branches.contents(*looked.values())
    pages = Overlay(contents)
    trees = {commit: version.tree for commit, version in looked.items()}
    base = find_base(graph, ours.commit_id, theirs.commit_id, trees, pages) if ours else Base(None)
    parents = branches.contents(*(one for one in (ours, theirs) if one))
    return _Sides(ours, theirs, base, contents, pages, parents)


def _began_with(base: DatasetVersion, ours: DatasetVersion, theirs: DatasetVersion) -> DatasetVersion:
    """What two lines began with, if it can be read.

    Raises:
        Deleted: If it was deleted: without it nobody can tell which of them changed what.
    """
    if base.deleted_at is not None:
        error = gone(base)
        raise Deleted(
            f"{ours.ref} and {theirs.ref} both began with {base.ref}, and {error.message}",
            where=error.where,
            fix=f"{error.fix}; then merge again",
        )
    return base


def _known(contents: Contents) -> Callable[[bytes], bool]:
    return lambda digest: (
        contents.page_indexes.find(digest) is not None or contents.indexes.find(digest) is not None
    )


def _key(workspace: Workspace, dataset: str) -> str:
    config = workspace.config.data.get(dataset)
    return (config.key if config else None) or ""


def _hooks(workspace: Workspace, dataset: str, asked: Merge) -> Callable[[str], None]:
    config = workspace.config.data.get(dataset)
    commands = config.pre_merge if config else []

    def run(commit_id: str) -> None:
        told = {
            "TREADLE_DATASET": dataset,
            "TREADLE_SOURCE": asked.source,
            "TREADLE_TARGET": asked.target,
            "TREADLE_MERGED": commit_id,
        }
        run_hooks(commands, workspace.root, told)

    return run


def _described(workspace: Workspace, new: NewVersion, before: list[DatasetVersion]) -> NewVersion:
    packs = Written((*new.written.packs, *new.also.packs), (*new.written.pages, *new.also.pages))
    contents = Contents(
        workspace.readable, packs.packs, packs.pages, workspace.state / "cache" / "packs", workspace.buckets
    )
    return described(workspace, new, contents, before)


def _write(
    workspace: Workspace,
    new: NewVersion,
    before: list[DatasetVersion],
    hooks: Callable[[Commit, str], None] | None = None,
    within: Callable[[sa.Connection, DatasetVersion], None] | None = None,
) -> DatasetVersion:
    new = _described(workspace, new, before)
    refused: list[Conflict] = []

    def ask(commit: Commit, commit_id: str) -> None:
        try:
            if hooks:
                hooks(commit, commit_id)
        except Conflict as error:
            refused.append(error)
            raise

    def decide(connection: sa.Connection, version: DatasetVersion) -> None:
        try:
            if within:
                within(connection, version)
        except Conflict as error:
            refused.append(error)
            raise

    try:
        return write_version(workspace, new, ask, decide)
    except Conflict as error:
        if error in refused:
            raise
        raise _Moved(error) from error


def revert(workspace: Workspace, branches: Branches, dataset: str, asked: Revert) -> DatasetVersion:
    """See :meth:`treadle.data.branches.service.Branches.revert`."""
    try:
        return _revert(workspace, branches, dataset, asked)
    except _Moved as moved:
        raise moved.error from None


def _revert(workspace: Workspace, branches: Branches, dataset: str, asked: Revert) -> DatasetVersion:
    branches.check_open(dataset, asked.branch)
    version = branches.resolve(f"{dataset}@{asked.version}")
    head = branches.head(dataset, asked.branch)
    if head is None:
        raise InvalidInput(f"branch {asked.branch!r} has no version yet", where=f"{dataset}@{asked.branch}")
    follows = version.parents[:1] if not asked.restore else ()
    parent = branches.resolve(f"{dataset}@{follows[0]}") if follows else None
    looked = [one for one in (head, version, parent) if one]
    contents = branches.contents(*looked)
    if asked.restore:
        tree, written = version.tree, Written()
        message = asked.message or f"Restore {version.ref}"
    else:
        undone = Merge(
            source=asked.version, target=asked.branch, strategy=asked.strategy, expected=head.number
        )
        with PackWriter(workspace.blobs, _known(contents)) as writer:
            merger = Merger(workspace, contents, Overlay(contents), _key(workspace, dataset))
            base = Base(version.tree, commit=version.commit_id)
            found = merger.merge(base, head.tree, parent.tree if parent else None, writer)
            left = resolve(found, {}, asked.strategy)
            plan = made_plan(version.ref, head.ref, base, left, merger.conflicts(left))
            check_resolved(undone, found, left, plan, version)
            tree = apply(head.tree, left.changes(), contents, writer)
            written = writer.finish()
        message = asked.message or f"Revert {version.ref}"
    if tree == head.tree:
        raise Conflict(
            f"nothing would change: {head.ref} is like that already", where=f"{dataset}@{asked.branch}"
        )
    new = NewVersion(
        dataset=dataset,
        branch=asked.branch,
        tree=tree,
        written=written,
        also=packs_of(read_commit(workspace, one.commit_id) for one in looked),
        needs=tuple(one.number for one in looked),
        expected=head.number,
        message=message,
        actor=asked.actor,
        origin=(Source("version", version.ref, "restore" if asked.restore else "revert"),),
    )
    return _write(workspace, new, looked)
