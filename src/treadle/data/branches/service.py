"""Datasets with their branches and tags, and the versions that people name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeAlias

from msgspec.structs import replace

from treadle.data import store as versions
from treadle.data.branches import rules, store
from treadle.data.branches.adopting import adopt
from treadle.data.branches.commits import (
    NewVersion,
    check_unprotected,
    packs_of,
    read_commit,
    write_version,
)
from treadle.data.branches.comparing import compare
from treadle.data.branches.comparing_types import DataDiff
from treadle.data.branches.describing import described
from treadle.data.branches.graph import ancestors, bases
from treadle.data.branches.joining import Reviewed, merge, plan, revert, would_be
from treadle.data.branches.merge_types import Merge, Merged, MergePlan, Revert
from treadle.data.branches.merges import load_graph
from treadle.data.branches.resolving import resolve
from treadle.data.branches.types import DEFAULT_BRANCH, Dataset, Ref, RefKind, RefSettings
from treadle.data.rules import check_live
from treadle.data.staging.store import drop_below
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.trees import apply, diff
from treadle.data.tree.types import Change, Difference
from treadle.data.types import DatasetVersion, Source
from treadle.kernel.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from treadle.kernel.events import record
from treadle.kernel.names import check_name, unknown
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace

Refs: TypeAlias = list[Ref]
Datasets: TypeAlias = list[Dataset]
Versions: TypeAlias = list[DatasetVersion]


class Branches:
    """The branches of data: named lines of versions, each of which moves by itself.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    # ── datasets ─────────────────────────────────────────────────────────

    def create_dataset(self, name: str, actor: str) -> Dataset:
        """Makes a dataset with an empty branch ``main``.

        Raises:
            InvalidInput: If the name can't be one.
            AlreadyExists: If there is one.
        """
        dataset = Dataset(name=check_name("dataset", name), created_at=self._ws.clock.now(), actor=actor)
        with self._ws.database.write() as connection:
            if not store.insert_dataset(connection, dataset) or versions.latest(connection, name):
                raise AlreadyExists(f"there is a dataset {name!r}", fix="choose another name")
            store.insert_ref(
                connection,
                Ref(
                    dataset=name,
                    kind="branch",
                    name=DEFAULT_BRANCH,
                    number=None,
                    changed_at=dataset.created_at,
                    actor=actor,
                ),
            )
        return dataset

    def datasets(self) -> Datasets:
        """Every dataset, by name."""
        with self._ws.database.read() as connection:
            return store.all_datasets(connection)

    # ── versions ─────────────────────────────────────────────────────────

    def resolve(self, ref: str, *, deleted: bool = False) -> DatasetVersion:
        """The version that a reference names: a number, a branch's head, a tag, a commit.

        Of a table also ``flights@delta:12`` and ``flights@2026-01-03T10:00:00Z``, which becomes a
        dataset version if it wasn't one, so that its files stay.

        Args:
            ref: The reference.
            deleted: Whether it may have been deleted: what is known of it is, what it had can't be read.

        Raises:
            InvalidInput: If it isn't written like a reference, or several commits begin like that.
            NotFound: If there is no such version.
            Deleted: If it was deleted.
        """
        return resolve(self._ws, ref, deleted=deleted)

    def head(self, dataset: str, branch: str) -> DatasetVersion | None:
        """The version at which a branch stands; None for a branch without one, or that isn't there yet."""
        with self._ws.database.read() as connection:
            ref = store.find_ref(connection, dataset, "branch", branch)
            if ref is not None:
                return versions.by_number(connection, dataset, ref.number) if ref.number else None
            old = branch == DEFAULT_BRANCH and versions.without_commit(connection, dataset)
        if old:
            adopt(self._ws, dataset)
            return self.head(dataset, branch)
        return None

    def log(self, ref: str, limit: int = 100, before: int | None = None) -> Versions:
        """A version and all that it follows, the newest first.

        Args:
            ref: Where to begin, as for :meth:`resolve`.
            limit: At most so many.
            before: Only versions with a smaller number: how to go on after the last.

        Raises:
            InvalidInput: If it isn't written like a reference.
            NotFound: If there is no such version.
        """
        version = self.resolve(ref, deleted=True)
        graph = load_graph(self._ws, version.dataset)
        numbers = sorted({graph[one].number for one in ancestors(graph, [version.commit_id])}, reverse=True)
        numbers = [number for number in numbers if before is None or number < before][:limit]
        with self._ws.database.read() as connection:
            return versions.by_numbers(connection, version.dataset, numbers)

    def base(self, one: str, other: str) -> DatasetVersion | None:
        """The newest version that two versions of a dataset both follow; None if there is none.

        Raises:
            InvalidInput: If a reference isn't written like one, or they are of two datasets.
            NotFound: If there is no such version.
        """
        first, second = (self.resolve(each, deleted=True) for each in (one, other))
        if first.dataset != second.dataset:
            raise InvalidInput(f"{one} and {other} are of two datasets", fix="name versions of one dataset")
        found = bases(load_graph(self._ws, first.dataset), first.commit_id, second.commit_id)
        return self.resolve(f"{first.dataset}@{found[0]}", deleted=True) if found else None

    def diff(self, before: str, after: str) -> Iterator[Difference]:
        """The paths at which two versions differ, sorted; reads only pages that aren't in both.

        Raises:
            InvalidInput: If a reference isn't written like one.
            NotFound: If there is no such version.
        """
        old, new = self.resolve(before), self.resolve(after)
        return diff(old.tree, new.tree, self.contents(old, new))

    def compare(self, before: str, after: str, *, limit: int = 1000, rows: bool = False) -> DataDiff:
        """How two versions differ, in numbers, by path and, where they are tables, by row.

        Args:
            before: The first.
            after: The second.
            limit: How many paths are told.
            rows: Whether tables are compared by row and described column by column.

        Raises:
            InvalidInput: If a reference isn't written like one.
            NotFound: If there is no such version.
            CorruptData: If a table can't be read.
        """
        old, new = self.resolve(before), self.resolve(after)
        return compare(self._ws, old, new, self.contents(old, new), limit=limit, rows=rows)

    # ── merges ───────────────────────────────────────────────────────────

    def plan_merge(self, dataset: str, asked: Merge) -> MergePlan:
        """What a merge would do, and what somebody would have to decide; changes nothing.

        Raises:
            NotFound: If the source or the target isn't there.
        """
        return plan(self._ws, self, dataset, asked)

    def would_be(self, dataset: str, asked: Merge) -> tuple[MergePlan, DatasetVersion | None]:
        """What a merge would do, and the version that it would make: stored, on no branch, numbered 0.

        None for the version if there is nothing to merge, or something is left to decide. What nobody
        merges is collected after a day.

        Raises:
            NotFound: If the source or the target isn't there.
            StorageFull: If no space is left; nothing was changed.
        """
        return would_be(self._ws, self, dataset, asked)

    def merge(self, dataset: str, asked: Merge, reviewed: Reviewed | None = None) -> Merged:
        """Merges a version into a branch: a new version with both as parents.

        Where fast-forwarding was asked for and the source follows the target, the target moves on to it.

        What only one side changed since both began is taken; what both changed alike is there
        already; tables with a key are merged by row. All of it or nothing.

        Args:
            dataset: The dataset.
            asked: What is merged, and how.
            reviewed: What a review allows, so that a protected branch may move.

        Raises:
            NotFound: If the source or the target isn't there.
            Conflict: If both sides changed the same and nobody decided; the branch is protected; a check
                refused it. The branch stands where it stood.
            StorageFull: If no space is left; nothing was changed.
        """
        return merge(self._ws, self, dataset, asked, reviewed)

    def revert(self, dataset: str, asked: Revert) -> DatasetVersion:
        """Takes the changes of a version back, or brings an older version back, as a new version.

        Raises:
            NotFound: If there is no such version or branch.
            Conflict: If later versions changed the same, nothing would change, or the branch is protected.
            StorageFull: If no space is left; nothing was changed.
        """
        return revert(self._ws, self, dataset, asked)

    def is_branch(self, dataset: str, name: str) -> bool:
        """Whether a dataset has a branch of that name."""
        with self._ws.database.read() as connection:
            return store.find_ref(connection, dataset, "branch", name) is not None

    def contents(self, *of: DatasetVersion) -> Contents:
        """What reads pages and contents of some versions.

        Raises:
            NotFound: If their commits aren't kept here.
            Deleted: If one was deleted.
            CorruptData: If a commit can't be read.
        """
        check_live(*of)
        return self._contents(packs_of(read_commit(self._ws, one.commit_id) for one in of if one.commit_id))

    def _contents(self, *of: Written) -> Contents:
        packs = [pack for one in of for pack in one.packs]
        pages = [pack for one in of for pack in one.pages]
        return Contents(self._ws.readable, packs, pages, self._ws.state / "cache" / "packs", self._ws.buckets)

    def commit(
        self,
        dataset: str,
        branch: str,
        changes: Iterable[Change],
        *,
        actor: str,
        message: str = "",
        written: Written = Written(),  # noqa: B008 - it is frozen
        origin: tuple[Source, ...] = (),
    ) -> DatasetVersion:
        """Makes a version of a branch's head with some changes, whose contents are stored already.

        Raises:
            InvalidInput: If a path can't be one.
            NotFound: If there is no such branch, or a path that shall go isn't there.
            Conflict: If the branch moved meanwhile; nothing was changed.
            StorageFull: If no space is left; nothing was changed.
        """
        head = self.head(dataset, branch)
        contents = self.contents(*filter(None, [head]))
        changes = list(changes)
        with PackWriter(self._ws.blobs) as writer:
            tree = apply(head.tree if head else None, changes, contents, writer)
            made = writer.finish()
        return self.commit_tree(
            NewVersion(
                dataset=dataset,
                branch=branch,
                tree=tree,
                written=Written((*written.packs, *made.packs), made.pages),
                expected=head.number if head else None,
                message=message,
                actor=actor,
                origin=origin,
                changed=len(changes),
            )
        )

    def commit_tree(self, new: NewVersion) -> DatasetVersion:
        """Makes a version of a tree that is stored already.

        Raises:
            InvalidInput: If a name can't be one.
            Conflict: If the branch doesn't stand where it was expected, or is protected.
            StorageFull: If no space is left; nothing was changed.
        """
        check_name("dataset", new.dataset)
        rules.check_ref_name("branch", new.branch)
        self.check_open(new.dataset, new.branch)
        head = self.head(new.dataset, new.branch)
        if head is not None and head.files and not new.files:
            pages = self._contents(packs_of([read_commit(self._ws, head.commit_id)]), new.written)
            new = described(self._ws, new, pages, [head])
        return write_version(self._ws, new)

    def check_open(
        self, dataset: str, branch: str, *, reviewed: bool = False, source: str = "BRANCH"
    ) -> None:
        """Refuses to move a protected branch without a review.

        Args:
            dataset: The dataset.
            branch: The branch.
            reviewed: Whether a review allows it.
            source: The branch that is to be merged, if one is.

        Raises:
            Conflict: If it is protected.
        """
        with self._ws.database.read() as connection:
            ref = store.find_ref(connection, dataset, "branch", branch)
        if ref is not None and not reviewed:
            check_unprotected(ref, source)

    # ── branches and tags ────────────────────────────────────────────────

    def refs(self, dataset: str, kind: RefKind) -> Refs:
        """The branches or the tags of a dataset, by name.

        Raises:
            NotFound: If there is no such dataset.
        """
        with self._ws.database.read() as connection:
            old = versions.without_commit(connection, dataset)
        if old:
            adopt(self._ws, dataset)
        with self._ws.database.read() as connection:
            found = store.refs_of(connection, dataset, kind)
            known = [] if found else [one.name for one in store.all_datasets(connection)]
        if not found and dataset not in known:
            raise unknown("dataset", dataset, known)
        return found

    def ref(self, dataset: str, kind: RefKind, name: str) -> Ref:
        """A branch or a tag.

        Raises:
            NotFound: If there is none.
        """
        with self._ws.database.read() as connection:
            found = store.find_ref(connection, dataset, kind, name)
            known = [one.name for one in store.refs_of(connection, dataset, kind)]
        if found is None and (kind, name) == ("branch", DEFAULT_BRANCH) and self.head(dataset, name):
            return self.ref(dataset, kind, name)  # versions of older Treadles have just got their branch
        if found is None and not known and kind == "branch":
            raise NotFound(
                f"{dataset!r} has no version yet", fix=f"make one: treadle data add PATH --name {dataset}"
            )
        if found is None:
            raise unknown(kind, name, known)
        return found

    def protect(self, dataset: str, branch: str, settings: RefSettings, actor: str) -> Ref:
        """Changes how a branch is protected.

        Raises:
            InvalidInput: If a branch can't be protected like that.
            NotFound: If there is no such branch.
        """
        rules.check_settings(settings)
        ref = self.ref(dataset, "branch", branch)
        how = "protected" if settings.protected else "open"
        at = self._ws.clock.now()
        with self._ws.database.write() as connection:
            if not store.set_settings(connection, ref, settings):
                raise unknown(
                    "branch", branch, [one.name for one in store.refs_of(connection, dataset, "branch")]
                )
            record(
                connection,
                Event(
                    id=self._ws.ids.new("event"),
                    at=at,
                    recorded_at=datetime.now(UTC),
                    subject=f"data:{dataset}",
                    kind=how,
                    actor=actor,
                    message=f"branch {branch} of {dataset} is {how} now",
                    facts={"branch": branch, "approvals": str(settings.approvals)},
                ),
            )
        return replace(ref, settings=settings)

    def create_ref(self, dataset: str, kind: RefKind, name: str, at: str, actor: str) -> Ref:
        """Makes a branch or a tag at a version; no bytes are copied.

        Args:
            dataset: The dataset.
            kind: Which of the two.
            name: Its name.
            at: The version, as a reference without the dataset: ``v3``, ``main``; the latest when empty.
            actor: Who makes it.

        Raises:
            InvalidInput: If the name can't be one.
            NotFound: If there is no such version.
            Deleted: If it was deleted.
            AlreadyExists: If there is one of that name.
        """
        rules.check_ref_name(kind, name)
        version = self.resolve(f"{dataset}@{at}" if at else dataset)
        ref = Ref(
            dataset=dataset,
            kind=kind,
            name=name,
            number=version.number,
            changed_at=self._ws.clock.now(),
            actor=actor,
        )
        with self._ws.database.write() as connection:
            check_live(*versions.hold(connection, dataset, [version.number]))
            if (taken := store.taken(connection, ref)) is not None:
                raise AlreadyExists(f"{dataset!r} has a {taken} {name!r}", fix="choose another name")
            store.insert_ref(connection, ref)
        return ref

    def delete_ref(self, dataset: str, kind: RefKind, name: str) -> None:
        """Removes a branch or a tag; its versions stay.

        Raises:
            NotFound: If there is none.
            Conflict: If it is the branch ``main``, or protected.
        """
        with self._ws.database.write() as connection:
            ref = store.find_ref(connection, dataset, kind, name, lock=True)
            if ref is None:
                raise unknown(kind, name, [one.name for one in store.refs_of(connection, dataset, kind)])
            if ref.settings.protected or (kind, name) == ("branch", DEFAULT_BRANCH):
                raise Conflict(f"{kind} {name!r} of {dataset!r} can't be removed: it is protected")
            store.delete_ref(connection, dataset, kind, name)
            if kind == "branch":
                drop_below(connection, dataset, name)  # what was staged on it goes with it
