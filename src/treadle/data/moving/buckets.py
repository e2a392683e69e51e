"""Versions of what lies in a bucket already: one listing, and no bytes are copied."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from treadle.data.branches.commits import NewVersion
from treadle.data.branches.rules import check_ref_name
from treadle.data.branches.service import Branches
from treadle.data.moving.types import ImportBucket
from treadle.data.storage.contents import EMPTY, Contents
from treadle.data.storage.packs import Kind, Pack
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.names import check_nesting, check_path
from treadle.data.tree.paths import Paths
from treadle.data.tree.trees import build
from treadle.data.tree.types import Entries, Mode
from treadle.data.types import DatasetVersion, Source
from treadle.kernel.buckets import BucketObject, split_url
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.names import check_name
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 4096


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
    tree, written = _kept(workspace, branches, head, f"{bucket}/{prefix}", asked.url)
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


def _kept(
    workspace: Workspace, branches: Branches, head: DatasetVersion | None, base: str, url: str
) -> tuple[str, Written]:
    """Keeps a tree of what lies below a URL; what was read for that isn't in memory any more then."""
    before = [head] if head else []
    pages = branches.contents(*before).page_indexes

    def known(digest: bytes) -> bool:
        return pages.find(digest) is not None

    # The index of what is kept goes with its contents, before the listing is sorted: both are large.
    entries, packs = _taken(workspace, base, url, branches.contents(*before))
    with PackWriter(workspace.blobs, known) as writer:
        tree = build([_sorted(entries)], writer)
        return tree, Written(packs, writer.finish().pages)


def _taken(workspace: Workspace, base: str, url: str, contents: Contents) -> tuple[Entries, tuple[Pack, ...]]:
    """What lies below a URL, in the order in which the bucket tells it, and the packs that say where."""
    import numpy as np

    paths = Paths()
    sizes, digests = array("Q"), bytearray()
    objects = workspace.buckets.listed(url)
    with PackWriter(workspace.blobs, distinct=True) as writer:  # each has its own URL
        while some := list(itertools.islice(objects, _BATCH)):
            for one in some:
                paths.append(_path(one.url, base))
            sizes.extend([one.size for one in some])
            digests += _keep(contents, writer, some)
        packs = writer.finish().packs
    if not paths:
        raise NotFound("nothing lies there", where=base.rstrip("/"), fix="look at what the bucket has")
    rows = np.frombuffer(digests, np.uint8).reshape(-1, 32)
    modes = np.full(len(paths), int(Mode.FILE), np.uint8)
    return Entries(paths, np.asarray(sizes, np.uint64), rows, modes), packs


def _keep(contents: Contents, writer: PackWriter, objects: Sequence[BucketObject]) -> bytes:
    """Keeps where objects lie, unless it is kept already; the digests of that, one after another."""
    import numpy as np
    from blake3 import blake3

    empty = bytes.fromhex(EMPTY)
    stored = [msgspec.json.encode(one) if one.size else b"" for one in objects]
    joined = b"".join([blake3(data).digest() if data else empty for data in stored])
    digests = np.frombuffer(joined, np.uint8).reshape(-1, 32)
    new = contents.indexes.missing(digests).nonzero()[0]
    some, sizes = [stored[row] for row in new.tolist()], [objects[row].size for row in new.tolist()]
    writer.put_many(digests[new], some, sizes, Kind.EXTERNAL)
    return joined


def _sorted(found: Entries) -> Entries:
    """Entries as a tree lists them.

    Raises:
        InvalidInput: If one would be both a file and a folder.
    """
    rows = ordered(found.paths, found.sizes)
    if rows is not None:
        paths = Paths(found.paths[row] for row in rows)
        found = Entries(paths, found.sizes[rows], found.digests[rows], found.modes[rows])
    check_nesting(found.paths)
    return found


def _path(url: str, base: str) -> str:
    path = url.removeprefix(base).lstrip("/") if url != base else url.rpartition("/")[2]
    try:
        return check_path(path)
    except InvalidInput as error:
        raise InvalidInput(
            error.message, where=url, fix="rename it, or take in a folder without it"
        ) from None


def ordered(paths: Sequence[str], sizes: NDArray[np.uint64]) -> NDArray[np.int64] | None:
    """The rows in the order of their paths, without empty objects that consoles make to show folders.

    None where that is all of them as they are, which is how most buckets list them.
    """
    import numpy as np

    empty = {paths[row] for row in np.flatnonzero(sizes == 0).tolist()}
    if not empty and all(one < two for one, two in itertools.pairwise(paths)):
        return None
    order = np.argsort(np.fromiter(paths, object, len(paths)), kind="stable")
    if not empty:
        return order
    folders = {folder for path in paths for folder in _folders(path) if folder in empty}
    return order[[paths[row] not in folders for row in order]]


def _folders(path: str) -> Iterator[str]:
    return (path[:at] for at, letter in enumerate(path) if letter == "/")
