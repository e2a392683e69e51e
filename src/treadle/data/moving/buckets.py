"""Versions of what lies in a bucket already: one listing, and no bytes are copied."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from treadle.data.branches.commits import NewVersion
from treadle.data.branches.rules import check_ref_name
from treadle.data.branches.service import Branches
from treadle.data.moving.types import ImportBucket
from treadle.data.storage.contents import EMPTY
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.names import check_nesting, check_path
from treadle.data.tree.trees import build
from treadle.data.tree.types import Entries, Mode
from treadle.data.types import DatasetVersion, Source
from treadle.kernel.buckets import BucketObject, split_url
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.names import check_name
from treadle.kernel.workspace import Workspace


def take_bucket(workspace: Workspace, branches: Branches, asked: ImportBucket) -> DatasetVersion:
    """Makes a version whose files are the objects below a URL, as they are now; no bytes are copied.

    The version has these files and no others. If that is what the branch has, no version is made.

    Args:
        workspace: Where it is made.
        branches: Its branches.
        asked: What shall be taken in.

    Raises:
        InvalidInput: If the URL or a name can't be one, a key can't be a path, or the bucket tells no ETags.
        NotFound: If nothing lies there.
        Conflict: If the branch moved meanwhile, is protected, or holds a table.
        StorageError: If the bucket or a store fails.
    """
    check_name("dataset", asked.dataset)
    check_ref_name("branch", asked.branch)
    bucket, prefix = split_url(asked.url)
    branches.check_open(asked.dataset, asked.branch)
    head = branches.head(asked.dataset, asked.branch)
    if head and head.files:
        raise Conflict(
            f"{head.ref} is a version of a table, which keeps its own files",
            where=f"{asked.dataset}@{asked.branch}",
            fix="take the bucket in under another name",
        )
    contents = branches.contents(*filter(None, [head]))

    def known(digest: bytes) -> bool:
        return (contents.indexes.find(digest) or contents.page_indexes.find(digest)) is not None

    with PackWriter(workspace.blobs, known) as writer:
        entries = _entries(workspace.buckets.listed(asked.url), f"{bucket}/{prefix}", writer)
        tree = build([entries], writer)
        written = writer.finish()
    if head and head.tree == tree:
        return head
    return branches.commit_tree(
        NewVersion(
            dataset=asked.dataset,
            branch=asked.branch,
            tree=tree,
            written=written,
            expected=head.number if head else None,
            message=asked.message,
            actor=asked.actor,
            origin=(Source("import", f"{bucket}/{prefix}".rstrip("/"), "no bytes copied"),),
        )
    )


def _entries(objects: Iterable[BucketObject], url: str, writer: PackWriter) -> Entries:
    """What a tree lists of some objects, sorted; keeps where each lies."""
    import numpy as np

    paths, sizes, digests = [], array("Q"), bytearray()
    for one in objects:
        paths.append(_path(one.url, url))
        sizes.append(one.size)
        digests += bytes.fromhex(writer.put_external(one) if one.size else EMPTY)
    if not paths:
        raise NotFound("nothing lies there", where=url.rstrip("/"), fix="look at what the bucket has")
    rows = ordered(paths, sizes)
    listed = [paths[row] for row in rows]
    check_nesting(listed)
    return Entries(
        listed,
        np.array(sizes, "<u8")[rows],
        np.frombuffer(bytes(digests), np.uint8).reshape(-1, 32)[rows],
        np.full(len(rows), int(Mode.FILE), np.uint8),
    )


def _path(url: str, base: str) -> str:
    path = url.removeprefix(base).lstrip("/") if url != base else url.rpartition("/")[2]
    try:
        return check_path(path)
    except InvalidInput as error:
        raise InvalidInput(
            error.message, where=url, fix="rename it, or take in a folder without it"
        ) from None


def ordered(paths: Sequence[str], sizes: Sequence[int]) -> list[int]:
    """The rows in the order of their paths, without empty objects that consoles make to show folders."""
    order = sorted(range(len(paths)), key=paths.__getitem__)
    empty = {path for path, size in zip(paths, sizes, strict=True) if not size}
    if not empty:
        return order
    folders = {folder for path in paths for folder in _folders(path) if folder in empty}
    return [row for row in order if paths[row] not in folders]


def _folders(path: str) -> Iterator[str]:
    return (path[:at] for at, letter in enumerate(path) if letter == "/")
