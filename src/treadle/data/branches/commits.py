"""Commits: written beside their contents, and then into the metadata store in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from treadle.data import store as versions
from treadle.data.branches import store
from treadle.data.branches.gathering import gathered, touched
from treadle.data.branches.types import DEFAULT_BRANCH, FORMAT, Commit, Dataset, Ref
from treadle.data.rules import check_live
from treadle.data.storage.contents import Contents
from treadle.data.storage.packs import Pack
from treadle.data.storage.writing import Written
from treadle.data.tree.pages import Root
from treadle.data.tree.trees import read_root
from treadle.data.types import Column, DatasetVersion, FileEntry, Source
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that shall be made of what is stored already.

    Attributes:
        dataset: The dataset.
        branch: The branch that moves.
        tree: The digest of the tree's root page.
        written: The packs that were written for it.
        expected: The number at which the branch must stand; None where it has none yet.
        parents: Numbers of the versions that it follows; ``expected`` when left out.
        also: Packs of other versions that it needs, such as a merge's second parent.
        message: Why.
        actor: Who.
        digest: What identifies the content; the tree's digest when empty.
        rows: How many rows it has, where it is a table.
        bytes: How many bytes it has, where they lie elsewhere and the tree lists none.
        columns: The table's columns.
        files: The table's files.
        origin: What it was made of, or by.
        at: When it was made where it comes from; now when None.
        reviewed: Whether a review allows it, so that a protected branch may move.
        needs: Numbers of versions that it doesn't follow and has contents of.
        changed: How many paths differ from the first version that it follows; None where nobody counted.
    """

    dataset: str
    branch: str
    tree: str
    written: Written
    expected: int | None
    actor: str
    parents: tuple[int, ...] | None = None
    also: Written = Written()
    message: str = ""
    digest: str = ""
    rows: int = 0
    bytes: int = 0
    columns: tuple[Column, ...] = ()
    files: tuple[FileEntry, ...] = ()
    origin: tuple[Source, ...] = ()
    at: datetime | None = None
    reviewed: bool = False
    needs: tuple[int, ...] = ()
    changed: int | None = None


def read_commit(workspace: Workspace, commit_id: str) -> Commit:
    """A commit out of the blob store.

    Raises:
        NotFound: If it isn't kept here.
        CorruptData: If it can't be read, or a newer Treadle wrote it.
    """
    return decode_commit(workspace.blobs.get(commit_id), commit_id)


def decode_commit(data: bytes, commit_id: str) -> Commit:
    """A commit out of its bytes; raises as :func:`read_commit`."""
    where = f"commit {commit_id[:12]}"
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found > FORMAT:
            raise CorruptData(
                f"the version has format {found}; this Treadle reads up to {FORMAT}",
                where=where,
                fix="upgrade Treadle (pip install -U 'treadle[platform]')",
            )
        return msgspec.json.decode(data, type=Commit)
    except msgspec.MsgspecError as error:
        raise CorruptData(
            f"it is no commit: {error}", where=where, fix="`treadle data verify` tells more"
        ) from error


class _Format(msgspec.Struct, frozen=True):
    format: int


def packs_of(commits: Iterable[Commit]) -> Written:
    """The packs of some commits, each once, the newest first."""
    contents: dict[str, Pack] = {}
    pages: dict[str, Pack] = {}
    for commit in commits:
        contents.update((pack.digest, pack) for pack in reversed(commit.packs))
        pages.update((pack.digest, pack) for pack in reversed(commit.pages))
    return Written(tuple(contents.values()), tuple(pages.values()))


def write_version(
    workspace: Workspace,
    new: NewVersion,
    before: Callable[[Commit, str], None] | None = None,
    within: Callable[[sa.Connection, DatasetVersion], None] | None = None,
) -> DatasetVersion:
    """Writes a version down and moves its branch, both or neither.

    Args:
        workspace: Where.
        new: The version.
        before: Called once with the commit and its identifier, before anything moves; refuses by raising.
        within: Called in the transaction that moves the branch, after it; refuses by raising.

    Raises:
        Conflict: If the branch doesn't stand where it was expected, or is protected.
        InvalidInput: If a tag has the name of a branch that isn't there yet.
        Deleted: If a version was deleted meanwhile that it follows or has contents of.
        StorageFull: If no space is left; the branch stands where it stood.
        StorageError: If a store can't be written.
    """
    at = workspace.clock.now()
    while True:
        with workspace.database.read() as connection:
            _check_head(connection, new)
            number = versions.next_number(connection, new.dataset)
            follows = new.parents if new.parents is not None else tuple(filter(None, [new.expected]))
            parents = [versions.by_number(connection, new.dataset, one) for one in follows]
        try:
            commit, commit_id = _commit(workspace, new, number, [one for one in parents if one], new.at or at)
        except NotFound:  # perhaps what it is made of was deleted and collected just now
            with workspace.database.read() as connection:
                check_live(*versions.by_numbers(connection, new.dataset, {*follows, *new.needs}))
            raise
        if before is not None:
            before(commit, commit_id)
            before = None
        version = version_of(commit, commit_id, new.files)
        try:
            with workspace.database.write() as connection:
                store.hold_dataset(connection, Dataset(name=new.dataset, created_at=at, actor=new.actor))
                check_live(*versions.hold(connection, new.dataset, {*follows, *new.needs}))
                _move(connection, new, number, at)
                versions.insert(connection, version)
                record(connection, _made(version))
                if within is not None:
                    within(connection, version)
        except IntegrityError:  # somebody took the number first
            continue
        return version


def _check_head(connection: sa.Connection, new: NewVersion) -> Ref | None:
    found = store.find_ref(connection, new.dataset, "branch", new.branch)
    head = found.number if found else None
    if head != new.expected:
        raise moved(new.dataset, new.branch, new.expected, head)
    return found


def moved(dataset: str, branch: str, expected: int | None, head: int | None) -> Conflict:
    """The error for a branch that doesn't stand where it was expected."""
    stood = f"v{expected}" if expected else "no version"
    stands = f"v{head}" if head else "no version"
    return Conflict(
        f"branch {branch!r} of {dataset!r} stands at {stands}, not at {stood}: it moved meanwhile",
        where=f"{dataset}@{branch}",
        fix="take its changes first (`treadle data pull`, `treadle data merge`), or use another branch",
    )


def _move(connection: sa.Connection, new: NewVersion, number: int, at: datetime) -> None:
    ref = Ref(
        dataset=new.dataset, kind="branch", name=new.branch, number=number, changed_at=at, actor=new.actor
    )
    found = _check_head(connection, new)
    if found is not None and not new.reviewed:
        check_unprotected(found)
    if found is None:
        other = store.taken(connection, ref)
        if other == "tag":
            raise InvalidInput(
                f"{new.dataset!r} has a tag {new.branch!r}", where=new.dataset, fix="commit on another branch"
            )
        done = other is None and store.insert_ref(connection, ref)
    else:
        done = store.move_ref(connection, ref, new.expected, at, new.actor)
    if not done:
        raise moved(new.dataset, new.branch, new.expected, None)


def check_unprotected(branch: Ref, source: str = "BRANCH") -> None:
    """Refuses to move a protected branch without a review.

    Args:
        branch: The branch.
        source: The branch that was to be merged, if one was.

    Raises:
        Conflict: If it is protected; says how to open a review.
    """
    if branch.settings.protected:
        raise Conflict(
            f"branch {branch.name!r} of {branch.dataset!r} is protected: it moves by reviews",
            where=f"{branch.dataset}@{branch.name}",
            fix=f"{'commit on another branch, then ' if source == 'BRANCH' else ''}open a review: "
            f"treadle data review open {branch.dataset}@{source} --into {branch.name} --title TEXT",
        )


def candidate(workspace: Workspace, new: NewVersion, at: datetime) -> DatasetVersion:
    """A version as it would be, stored but on no branch; numbered 0. The same one of the same at any time.

    Args:
        workspace: Where.
        new: The version.
        at: When it is said to be made.

    Raises:
        StorageFull: If no space is left.
        StorageError: If a store can't be written.
    """
    with workspace.database.read() as connection:
        follows = [versions.by_number(connection, new.dataset, one) for one in new.parents or ()]
    commit, commit_id = _commit(workspace, new, 0, [one for one in follows if one], at)
    return version_of(commit, commit_id, new.files)


def _commit(
    workspace: Workspace, new: NewVersion, number: int, parents: Sequence[DatasetVersion], at: datetime
) -> tuple[Commit, str]:
    commits = [read_commit(workspace, one.commit_id) for one in parents if one.commit_id]
    before = packs_of(commits)
    packs = _once(new.written.packs, new.also.packs, before.packs)
    pages = _once(new.written.pages, new.also.pages, before.pages)
    contents = Contents(
        workspace.readable, packs, pages, workspace.state / "cache" / "packs", workspace.buckets
    )
    root: Root = read_root(new.tree, contents)
    stale = max((one.stale for one in commits), default=0)
    if commits:
        lay = touched(read_root(commits[0].tree, contents), root)
        stale += lay if new.changed is None else min(lay, new.changed)
    if not set(new.also.packs) <= set(before.packs):  # of other versions: perhaps little of them is needed
        stale = max(stale, root.count)
    with workspace.database.read() as connection:
        rewrite = versions.any_freed(connection, new.dataset)
    kept = gathered(contents, new.tree, root, Written(packs, pages), stale, rewrite=rewrite)
    commit = Commit(
        dataset=new.dataset,
        number=number,
        tree=new.tree,
        digest=new.digest or new.tree,
        pages=kept.written.pages,
        packs=kept.written.packs,
        stale=kept.stale,
        parents=tuple(one.commit_id for one in parents),
        branch=new.branch,
        message=new.message,
        actor=new.actor,
        at=at,
        count=root.count,
        bytes=new.bytes or root.size,
        rows=new.rows,
        columns=new.columns,
        origin=new.origin,
    )
    return commit, workspace.blobs.put(msgspec.json.encode(commit))


def _once(*groups: tuple[Pack, ...]) -> tuple[Pack, ...]:
    return tuple({pack.digest: pack for group in groups for pack in group}.values())


def version_of(commit: Commit, commit_id: str, files: tuple[FileEntry, ...] = ()) -> DatasetVersion:
    """A commit as the version that it is."""
    return DatasetVersion(
        dataset=commit.dataset,
        number=commit.number,
        digest=commit.digest,
        created_at=commit.at,
        rows=commit.rows,
        bytes=commit.bytes,
        columns=commit.columns,
        files=files,
        actor=commit.actor,
        commit_id=commit_id,
        tree=commit.tree,
        count=commit.count,
        branch=commit.branch,
        parents=commit.parents,
        message=commit.message,
        origin=commit.origin,
    )


def _made(version: DatasetVersion) -> Event:
    count = version.count or len(version.files)
    paths = f"{count:,} {'file' if count == 1 else 'files'}"
    what = f"{version.rows:,} rows in {paths}" if version.rows else paths
    where = "" if version.branch == DEFAULT_BRANCH else f" on branch {version.branch}"
    return Event(
        id=f"data:{version.ref}",
        at=version.created_at,
        recorded_at=datetime.now(UTC),
        subject=f"data:{version.dataset}",
        kind="versioned",
        actor=version.actor,
        message=f"{version.ref} was made{where}: {what}",
        facts={"digest": version.digest, "commit": version.commit_id},
    )
