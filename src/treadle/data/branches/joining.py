"""Merges and reverts as new versions of a branch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.data.branches.commits import NewVersion, packs_of, read_commit, write_version
from treadle.data.branches.describing import described
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
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.trees import apply
from treadle.data.types import DatasetVersion, Source
from treadle.kernel.errors import Conflict, InvalidInput
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    from treadle.data.branches.service import Branches

_TRIES = 10


@dataclass(frozen=True, slots=True)
class _Sides:
    """What is merged."""

    ours: DatasetVersion | None
    theirs: DatasetVersion
    base: Base
    contents: Contents
    pages: Overlay


def merge(
    workspace: Workspace, branches: Branches, dataset: str, asked: Merge, *, reviewed: bool, plan: bool
) -> Merged | MergePlan:
    """See :meth:`treadle.data.branches.service.Branches.merge`."""
    for attempt in range(_TRIES):
        try:
            return _merge(workspace, branches, dataset, asked, reviewed=reviewed, only_plan=plan)
        except _Moved as moved:  # somebody else moved the branch meanwhile: merge into what it has now
            if asked.expected is not None or attempt == _TRIES - 1:
                raise moved.error from None
    raise AssertionError


class _Moved(Exception):
    def __init__(self, error: Conflict) -> None:
        super().__init__(str(error))
        self.error = error


def _merge(
    workspace: Workspace, branches: Branches, dataset: str, asked: Merge, *, reviewed: bool, only_plan: bool
) -> Merged | MergePlan:
    sides = _sides(workspace, branches, dataset, asked)
    ours, theirs = sides.ours, sides.theirs
    target = ours.ref if ours else ""
    if ours and sides.base.commit == theirs.commit_id:
        nothing = made_plan(theirs.ref, target, sides.base, Outcome(), ())
        return nothing if only_plan else Merged(version=ours, plan=nothing, changed=False)
    if not only_plan:
        branches.check_open(dataset, asked.target, reviewed=reviewed)
    parents = [one for one in (ours, theirs) if one]
    # What only the base's packs have must be written again: the new version names its parents' packs.
    with PackWriter(workspace.blobs, _known(branches.contents(*parents))) as writer:
        merger = Merger(workspace, sides.contents, sides.pages, asked.key or _key(workspace, dataset))
        found = merger.merge(sides.base, ours.tree if ours else None, theirs.tree, writer)
        left = resolve(found, asked.resolve, asked.strategy)
        plan = made_plan(theirs.ref, target, sides.base, left, merger.conflicts(left))
        if only_plan:
            return plan
        check_resolved(asked, found, left, plan, theirs)
        tree = apply(ours.tree if ours else None, left.changes(), sides.pages, writer)
        written = writer.finish()
    also = packs_of(read_commit(workspace, one.commit_id) for one in parents)
    new = NewVersion(
        dataset=dataset,
        branch=asked.target,
        tree=tree,
        written=written,
        also=also,
        expected=ours.number if ours else None,
        parents=tuple(one.number for one in parents),
        message=asked.message or f"Merge {asked.source} into {asked.target}",
        actor=asked.actor,
        origin=(Source("version", theirs.ref, "merge"),),
    )
    version = _write(workspace, new, parents, _hooks(workspace, dataset, asked))
    return Merged(version=version, plan=plan, changed=True)


def _sides(workspace: Workspace, branches: Branches, dataset: str, asked: Merge) -> _Sides:
    theirs = branches.resolve(f"{dataset}@{asked.source}")
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
            looked[commit] = branches.resolve(f"{dataset}@{commit}")
    contents = branches.contents(*looked.values())
    pages = Overlay(contents)
    trees = {commit: version.tree for commit, version in looked.items()}
    base = find_base(graph, ours.commit_id, theirs.commit_id, trees, pages) if ours else Base(None)
    return _Sides(ours, theirs, base, contents, pages)


def _known(contents: Contents) -> Callable[[bytes], bool]:
    return lambda digest: (
        contents.page_indexes.find(digest) is not None or contents.indexes.find(digest) is not None
    )


def _key(workspace: Workspace, dataset: str) -> str:
    config = workspace.config.data.get(dataset)
    return (config.key if config else None) or ""


def _hooks(workspace: Workspace, dataset: str, asked: Merge) -> Callable[[Commit, str], None]:
    config = workspace.config.data.get(dataset)
    commands = config.pre_merge if config else []

    def run(commit: Commit, commit_id: str) -> None:
        del commit
        told = {
            "TREADLE_DATASET": dataset,
            "TREADLE_SOURCE": asked.source,
            "TREADLE_TARGET": asked.target,
            "TREADLE_MERGED": commit_id,
        }
        run_hooks(commands, workspace.root, told)

    return run


def _write(
    workspace: Workspace,
    new: NewVersion,
    before: list[DatasetVersion],
    hooks: Callable[[Commit, str], None] | None = None,
) -> DatasetVersion:
    packs = Written((*new.written.packs, *new.also.packs), (*new.written.pages, *new.also.pages))
    contents = Contents(
        workspace.readable, packs.packs, packs.pages, workspace.state / "cache" / "packs", workspace.buckets
    )
    new = described(workspace, new, contents, before)
    refused: list[Conflict] = []

    def ask(commit: Commit, commit_id: str) -> None:
        try:
            if hooks:
                hooks(commit, commit_id)
        except Conflict as error:
            refused.append(error)
            raise

    try:
        return write_version(workspace, new, ask)
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
    parent = branches.resolve(f"{dataset}@{version.parents[0]}") if version.parents else None
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
        expected=head.number,
        message=message,
        actor=asked.actor,
        origin=(Source("version", version.ref, "restore" if asked.restore else "revert"),),
    )
    return _write(workspace, new, looked)
