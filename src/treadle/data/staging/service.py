"""Objects that are written to a branch one by one, and become a version with a commit."""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import sqlalchemy as sa

from treadle.data import store as versions
from treadle.data.branches import store as refs
from treadle.data.branches.commits import NewVersion, packs_of, read_commit
from treadle.data.branches.service import Branches
from treadle.data.rules import check_live
from treadle.data.staging import store
from treadle.data.staging.rules import effective, list_sorted, real_changes
from treadle.data.staging.types import About, Found, Staged
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.finding import Finder
from treadle.data.tree.names import check_path
from treadle.data.tree.trees import apply, below, diff, lookup
from treadle.data.tree.types import Change, Difference, Entry
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import AlreadyExists, Conflict, NotFound
from treadle.kernel.workspace import Workspace

Founds: TypeAlias = list[Found]
Changes: TypeAlias = list[Difference]

_SMALL = 1 << 20  # what is smaller goes into a pack when it is committed
_TRIES = 10
_OPEN, _KNOWN = 32, 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Staging:
    """Branches as somebody sees them who writes object by object: the head, and what is staged on it.

    What is staged is seen here only; everybody else sees versions.

    Args:
        workspace: Where everything is kept.
        branches: The branches.
    """

    def __init__(self, workspace: Workspace, branches: Branches) -> None:
        self._ws = workspace
        self._branches = branches
        self._contents: OrderedDict[str, Contents] = OrderedDict()
        self._versions: OrderedDict[tuple[str, str], DatasetVersion] = OrderedDict()

    # ── reading ──────────────────────────────────────────────────────────

    def contents(self, version: DatasetVersion | None) -> Contents:
        """What reads pages and contents of a version, and all that is staged.

        Raises:
            Deleted: If the version was deleted.
        """
        if version is not None:
            check_live(version)
        key = version.commit_id if version else ""
        found = self._contents.get(key)
        if found is None:
            found = self._branches.contents(*filter(None, [version]))
            self._contents[key] = found
            while len(self._contents) > _OPEN:
                self._contents.popitem(last=False)
        return found

    def version(self, dataset: str, commit_id: str) -> DatasetVersion:
        """The version of a whole commit identifier, deleted or not; kept for the next time.

        Raises:
            NotFound: If there is none.
        """
        key = (dataset, commit_id)
        found = self._versions.get(key)
        if found is not None:  # all that can change of it is that it is deleted, or restored
            with self._ws.database.read() as connection:
                changed = versions.is_deleted(connection, found) == (found.deleted_at is None)
        if found is None or changed:
            found = self._branches.resolve(f"{dataset}@{commit_id}", deleted=True)
            self._versions[key] = found
            while len(self._versions) > _KNOWN:
                self._versions.popitem(last=False)
        return found

    def find(self, version: DatasetVersion | None, branch: str, dataset: str, path: str) -> Entry | None:
        """What lies at a path of a version, or of a branch with what is staged on it.

        Args:
            version: The version, or the branch's head.
            branch: The branch, if staged changes count; empty otherwise.
            dataset: The dataset.
            path: Which.
        """
        if branch:
            with self._ws.database.read() as connection:
                staged = store.find(connection, dataset, branch, path)
            if staged is not None:
                return staged.entry
        return lookup(version.tree, path, self.contents(version)) if version else None

    def listing(
        self,
        version: DatasetVersion | None,
        branch: str,
        dataset: str,
        prefix: str,
        *,
        after: str = "",
        limit: int = 1000,
        delimiter: str = "",
    ) -> Founds:
        """What lies below a prefix, as a store lists it; of versions and branches as :meth:`find`."""

        def entries(begin: str) -> Iterator[Entry]:
            committed = iter(())  # type: Iterator[Entry]
            if version is not None:
                committed = below(version.tree, prefix, self.contents(version), begin)
            if not branch:
                return committed
            staged = store.below(self._ws.database, dataset, branch, prefix, begin)
            return effective(committed, staged)

        return list_sorted(entries, prefix, after=after, limit=limit, delimiter=delimiter)

    def about(self, dataset: str, objects: Sequence[Entry]) -> Mapping[tuple[str, str], About]:
        """What was told of objects, by path and digest; nothing is known of most."""
        with self._ws.database.read() as connection:
            return store.told(connection, dataset, [(one.path, one.digest) for one in objects])

    def about_commits(self, dataset: str, commits: Sequence[str]) -> Mapping[str, About]:
        """What was told of commits, by identifier."""
        with self._ws.database.read() as connection:
            return store.told_commits(connection, dataset, commits)

    def changes(self, dataset: str, branch: str, prefix: str = "", after: str = "") -> Iterator[Difference]:
        """What is staged on a branch and differs from its head, sorted by path."""
        head = self._branches.head(dataset, branch)
        staged = store.below(self._ws.database, dataset, branch, prefix, after)
        return real_changes(staged, self._looker(head))

    # ── writing ──────────────────────────────────────────────────────────

    def put(self, dataset: str, branch: str, entry: Entry, about: About, *, new: bool = False) -> None:
        """Stages an object whose bytes the blob store has.

        Args:
            dataset: The dataset.
            branch: The branch.
            entry: The object.
            about: What is told of it.
            new: Whether nothing may lie there.

        Raises:
            InvalidInput: If the path can't be one.
            NotFound: If there is no such branch.
            Conflict: If the branch is protected.
            AlreadyExists: If something lies there and nothing may.
        """
        check_path(entry.path)
        self._check_writable(dataset, branch)
        staged = Staged(entry.path, entry, self._now())
        while True:
            head = self._branches.head(dataset, branch) if new else None
            there = lookup(head.tree, entry.path, self.contents(head)) if head else None
            with contextlib.suppress(_Moved), self._ws.database.write() as connection:
                if new:
                    before = store.find(connection, dataset, branch, entry.path)
                    taken = before.entry if before else there
                    if taken or not store.put_new(connection, dataset, branch, staged):
                        raise AlreadyExists(f"there is an object {entry.path!r}", where=f"{dataset}@{branch}")
                    _check_stands(connection, dataset, branch, head)
                else:
                    store.put(connection, dataset, branch, staged)
                store.tell(connection, dataset, entry.path, entry.digest, about)
                return

    def remove(self, dataset: str, branch: str, paths: Sequence[str]) -> None:
        """Stages that objects go; those that aren't there are passed over.

        Raises:
            NotFound: If there is no such branch.
            Conflict: If the branch is protected.
        """
        self._check_writable(dataset, branch)
        every, at = sorted(set(paths)), self._now()
        while True:
            head = self._branches.head(dataset, branch)
            look = self._looker(head)
            here = {path for path in every if look(path)}
            with contextlib.suppress(_Moved), self._ws.database.write() as connection:
                for path in every:
                    gone = Staged(path, None, at)
                    if path in here:
                        store.put(connection, dataset, branch, gone)
                    else:  # also of what is only staged: a commit may have read it by now
                        store.replace(connection, dataset, branch, gone)
                _check_stands(connection, dataset, branch, head)
                return

    def reset(self, dataset: str, branch: str, *, path: str = "", prefix: str = "") -> None:
        """Forgets what is staged: at a path, below a prefix, or everything.

        Raises:
            NotFound: If there is no such branch.
        """
        self._branches.ref(dataset, "branch", branch)
        with self._ws.database.write() as connection:
            if path:
                store.drop(connection, dataset, branch, path)
            else:
                store.drop_below(connection, dataset, branch, prefix)

    def copy(
        self, dataset: str, source: tuple[DatasetVersion | None, Entry], branch: str, path: str
    ) -> Entry:
        """Stages an object that lies elsewhere in the dataset, with what was told of it.

        Args:
            dataset: The dataset.
            source: The version in which it lies, or on whose branch it is staged, and the object.
            branch: The branch that gets it.
            path: Where it lies then.

        Raises:
            As :meth:`put`.
        """
        version, entry = source
        copy = Entry(check_path(path), entry.size, entry.digest, entry.mode)
        self._check_writable(dataset, branch)
        if not self._ws.blobs.claim(entry.digest):  # it lies in a pack that the branch may not have
            with self._ws.blobs.upload() as upload:
                for piece in self.contents(version).stream(entry.digest, entry.size):
                    upload.write(piece)
                # What lies in a bucket is known by another digest until it is read.
                copy = Entry(copy.path, copy.size, upload.finish(), copy.mode)
        told = self.about(dataset, [entry]).get((entry.path, entry.digest), About())
        now = self._ws.clock.now()
        about = About(
            checksum=told.checksum, content_type=told.content_type, written_at=now, values=told.values
        )
        self.put(dataset, branch, copy, about)
        return copy

    def commit(
        self,
        dataset: str,
        branch: str,
        *,
        message: str,
        actor: str,
        values: Mapping[str, str] | None = None,
        empty: bool = False,
        at: datetime | None = None,
    ) -> DatasetVersion | None:
        """Makes a version of what is staged; small objects are packed.

        What is staged meanwhile stays for the next one.

        Args:
            dataset: The dataset.
            branch: The branch.
            message: Why.
            actor: Who.
            values: What the user notes of the commit.
            empty: Whether a version is made even if nothing changed.
            at: When, by the client's word; now when None.

        Returns:
            The version; None if nothing changed.

        Raises:
            InvalidInput: If a path would be both a file and a folder.
            NotFound: If there is no such branch.
            Conflict: If the branch is protected, or others move it all the time.
            StorageFull: If no space is left; nothing was changed.
        """
        self._check_writable(dataset, branch)
        for attempt in itertools.count():
            staged = list(store.below(self._ws.database, dataset, branch, ""))
            head = self._branches.head(dataset, branch)
            found = list(real_changes(staged, self._looker(head)))
            if not found and not empty:
                return None
            changes = [Change(one.path, one.after) for one in found]
            try:
                version = self._write(dataset, branch, head, changes, message, actor, at=at)
            except Conflict:
                self._branches.check_open(dataset, branch)
                if attempt >= _TRIES or self._branches.head(dataset, branch) == head:
                    raise
                continue
            with self._ws.database.write() as connection:
                store.drop_same(connection, dataset, branch, staged)
                if values:
                    store.tell(connection, dataset, "", version.commit_id, About(values=dict(values)))
            return version
        raise AssertionError

    def note(self, dataset: str, commit_id: str, values: Mapping[str, str]) -> None:
        """Notes of a commit what the user says."""
        with self._ws.database.write() as connection:
            store.tell(connection, dataset, "", commit_id, About(values=dict(values)))

    def pick(
        self,
        dataset: str,
        branch: str,
        version: DatasetVersion,
        parent: int,
        actor: str,
        *,
        message: str = "",
    ) -> DatasetVersion:
        """Makes a version of a branch's head with the changes that another version made to its parent.

        Args:
            dataset: The dataset.
            branch: The branch.
            version: Whose changes.
            parent: Which of its parents they are changes to, counted from 1.
            actor: Who.
            message: Why; what the other version says when empty.

        Raises:
            NotFound: If there is no such branch or parent.
            Conflict: If the branch is protected, something is staged on it, it changed the same paths
                otherwise, or has all of the changes.
        """
        self._check_writable(dataset, branch)
        self.check_clean(dataset, branch)
        head = self._branches.head(dataset, branch)
        if len(version.parents) < parent:
            raise NotFound(f"{version.ref} has no parent {parent}")
        before = self._branches.resolve(f"{dataset}@{version.parents[parent - 1]}")
        contents = self._branches.contents(*filter(None, [head, version, before]))
        look = Finder(head.tree, contents).find if head else lambda _: None
        changes = []
        for one in diff(before.tree, version.tree, contents):
            here = look(one.path)
            if here == one.after:
                continue
            if here != one.before:
                raise Conflict(
                    f"{one.path!r} was changed on {branch!r} too",
                    where=f"{dataset}@{branch}",
                    fix="nothing was picked; merge instead, and decide there",
                )
            changes.append(Change(one.path, one.after))
        if not changes:
            raise Conflict("nothing would change: the branch has all of it", where=f"{dataset}@{branch}")
        also = packs_of([read_commit(self._ws, version.commit_id)])
        needs = (version.number,)
        return self._write(
            dataset, branch, head, changes, message or version.message, actor, also=also, needs=needs
        )

    def check_clean(self, dataset: str, branch: str) -> None:
        """Refuses to go on while something is staged on a branch.

        Raises:
            Conflict: If something is.
        """
        if next(self.changes(dataset, branch), None) is not None:
            raise Conflict(
                f"branch {branch!r} has uncommitted changes",
                where=f"{dataset}@{branch}",
                fix="commit or reset them first",
            )

    # ── within ───────────────────────────────────────────────────────────

    def _looker(self, head: DatasetVersion | None) -> Callable[[str], Entry | None]:
        """What lies at a path of a version."""
        if head is None:
            return lambda _: None
        return Finder(head.tree, self.contents(head)).find

    def _write(
        self,
        dataset: str,
        branch: str,
        head: DatasetVersion | None,
        changes: Sequence[Change],
        message: str,
        actor: str,
        *,
        also: Written = Written(),  # noqa: B008 - it is frozen
        needs: tuple[int, ...] = (),
        at: datetime | None = None,
    ) -> DatasetVersion:
        contents = self.contents(head)
        with PackWriter(self._ws.blobs, _known(contents)) as writer:
            for change in changes:
                new = change.entry
                if new and 0 < new.size < _SMALL and not also.packs and self._ws.blobs.has(new.digest):
                    writer.put(self._ws.blobs.get(new.digest))
            tree = apply(head.tree if head else None, changes, contents, writer)
            written = writer.finish()
        return self._branches.commit_tree(
            NewVersion(
                dataset=dataset,
                branch=branch,
                tree=tree,
                written=written,
                also=also,
                needs=needs,
                changed=len(changes),
                expected=head.number if head else None,
                message=message,
                actor=actor,
                at=at,
            )
        )

    def _check_writable(self, dataset: str, branch: str) -> None:
        self._branches.ref(dataset, "branch", branch)
        self._branches.check_open(dataset, branch)

    def _now(self) -> int:
        return round((self._ws.clock.now() - _EPOCH).total_seconds() * 1_000_000)


class _Moved(Exception):
    """The branch doesn't stand any more where it was looked at."""


def _check_stands(connection: sa.Connection, dataset: str, branch: str, head: DatasetVersion | None) -> None:
    """Looked at last: what was staged before is in the head only once that has moved.

    Raises:
        _Moved: If the branch stands elsewhere than at its head.
    """
    found = refs.find_ref(connection, dataset, "branch", branch)
    if found is not None and found.number != (head.number if head else None):
        raise _Moved


def _known(contents: Contents) -> Callable[[bytes], bool]:
    return lambda digest: (
        contents.indexes.find(digest) is not None or contents.page_indexes.find(digest) is not None
    )
