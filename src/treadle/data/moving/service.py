"""Versions taken in from other tools, and given to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from treadle.data import store as versions
from treadle.data.branches.commits import NewVersion
from treadle.data.branches.rules import check_ref_name
from treadle.data.branches.service import Branches
from treadle.data.moving import frames
from treadle.data.moving.buckets import take_bucket
from treadle.data.moving.types import ImportBucket, ImportVersion, SentContents
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.names import check_nesting, check_path
from treadle.data.tree.pages import as_columns
from treadle.data.tree.trees import build, entries
from treadle.data.tree.types import Entries, Entry
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.files import storage_errors
from treadle.kernel.ids import digest_bytes
from treadle.kernel.names import check_name
from treadle.kernel.workspace import Workspace

_PIECE = 1 << 20


class Moving:
    """Takes versions in from other tools, and gives them.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._branches = Branches(workspace)

    def keep(self, sent: Path, dataset: str, branch: str) -> SentContents:
        """Keeps small contents; those that a branch's head has already are not kept again.

        Args:
            sent: A file of contents, each in a frame.
            dataset: For which dataset.
            branch: For which branch.

        Raises:
            InvalidInput: If the file is cut off.
            StorageFull: If no space is left; nothing is visible.
        """
        check_name("dataset", dataset)
        head = self._branches.head(dataset, branch)
        contents = self._branches.contents(*filter(None, [head]))
        with PackWriter(self._ws.blobs, lambda one: contents.indexes.find(one) is not None) as writer:
            with storage_errors(str(sent)), sent.open("rb") as file:
                digests = tuple(writer.put(data) for data in frames.unframed(file))
            return SentContents(digests, writer.finish().packs)

    def take(self, new: ImportVersion) -> DatasetVersion:
        """Makes a version of what was sent: everything or nothing, and only once.

        Raises:
            InvalidInput: If a path or name can't be one, or the listing can't be read.
            NotFound: If a content or a pack isn't kept here.
            Conflict: If the branch moved meanwhile, or is protected; nothing was changed.
            StorageFull: If no space is left; nothing was changed.
        """
        check_name("dataset", new.dataset)
        check_ref_name("branch", new.branch)
        for digest in (new.listing, *(pack.digest for pack in new.packs)):
            _check_digest(digest)
        with self._ws.database.read() as connection:
            for version in versions.newest_first(connection, new.dataset):
                if new.identity in version.origin and version.deleted_at is None:
                    return version
        listed = _columns(self._ws.blobs.get(new.listing))
        head = self._branches.head(new.dataset, new.branch)
        for pack in new.packs:
            if not self._ws.blobs.claim(pack.digest):
                raise NotFound(f"pack {pack.digest[:12]} isn't kept here", fix="send its contents again")
        before = self._branches.contents(*filter(None, [head]))
        cache = self._ws.state / "cache" / "packs"
        self._check(listed, [Contents(self._ws.blobs, new.packs, (), cache), before])
        with PackWriter(self._ws.blobs, _pages_of(before)) as writer:
            tree = build([listed], writer)
            made = writer.finish()
        return self._branches.commit_tree(
            NewVersion(
                dataset=new.dataset,
                branch=new.branch,
                tree=tree,
                written=Written(new.packs, made.pages),
                expected=head.number if head else None,
                message=new.message,
                actor=new.actor,
                origin=(new.identity, *new.origin),
                at=new.at,
            )
        )

    def take_bucket(self, asked: ImportBucket) -> DatasetVersion:
        """Makes a version of what lies in a bucket; no bytes are copied.

        Raises:
            As :func:`treadle.data.moving.buckets.take_bucket`.
        """
        return take_bucket(self._ws, self._branches, asked)

    def archive(self, ref: str) -> Iterator[bytes]:
        """A version, then all that it has: each entry followed by its bytes, in pieces of any size.

        Raises:
            InvalidInput: If it isn't written like a reference.
            NotFound: If there is no such version, or a content isn't kept here.
            Conflict: If an older Treadle made the version.
            CorruptData: If what is kept isn't what was put.
        """
        version = self._branches.resolve(ref)
        if not version.tree:
            raise Conflict(
                f"{version.ref} was made by an older Treadle", fix=f"add it again: treadle data add {ref}"
            )
        return _archive(version, self._branches.contents(version))

    def _check(self, listed: Entries, places: list[Contents]) -> None:
        """Refuses what names contents that aren't here; large ones are kept for the next hour from now on."""
        import numpy as np

        rows = np.flatnonzero(listed.sizes > 0)
        for place in places:
            if len(rows):
                rows = rows[place.indexes.missing(listed.digests[rows])]
        for row in rows.tolist():
            digest = listed.digests[row].tobytes().hex()
            if not self._ws.blobs.claim(digest):
                raise NotFound(
                    f"the content of {listed.paths[row]!r} ({digest[:12]}) isn't kept here",
                    fix="send it again",
                )


def _columns(raw: bytes) -> Entries:
    try:
        listed = sorted(msgspec.json.decode(raw, type=list[Entry]), key=lambda one: one.path)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the listing can't be read: {error}") from None
    for one in listed:
        check_path(one.path)
        _check_digest(one.digest)
        if one.size < 0 or (one.size == 0) != (one.digest == _EMPTY):
            raise InvalidInput("the size doesn't fit the digest", where=one.path)
    check_nesting([one.path for one in listed])
    return as_columns(listed)


def _check_digest(digest: str) -> None:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidInput("a digest is 64 hexadecimal characters", where=digest[:80])


def _pages_of(contents: Contents) -> Callable[[bytes], bool]:
    return lambda digest: contents.page_indexes.find(digest) is not None


def _archive(version: DatasetVersion, contents: Contents) -> Iterator[bytes]:
    waiting = bytearray(frames.head(msgspec.structs.replace(version, files=())))
    for entry in _each(version.tree, contents):
        waiting += frames.head(entry)
        for piece in contents.stream(entry.digest, entry.size):
            waiting += piece
            if len(waiting) >= _PIECE:
                yield bytes(waiting)
                waiting.clear()
    yield bytes(waiting) + frames.END


def _each(tree: str, contents: Contents) -> Iterator[Entry]:
    from treadle.data.tree.pages import entry_at

    for leaf in entries(tree, contents):
        for row in range(len(leaf)):
            yield entry_at(leaf, row)


_EMPTY = digest_bytes(b"")
