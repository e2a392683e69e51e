"""Bringing only some paths of a version: whole packs where much of them is needed, parts otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.branches.types import Commit
from treadle.data.needs import Need
from treadle.data.storage.contents import EMPTY, Contents
from treadle.data.storage.packs import Kind
from treadle.data.tree.pages import as_columns
from treadle.data.tree.trees import below as listed_below
from treadle.data.tree.trees import lookup
from treadle.kernel import progress
from treadle.kernel.blobs import BlobStore
from treadle.kernel.errors import NotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def bring_below(blobs: BlobStore, commit: Commit, path: str, cache: Path) -> Iterator[Need]:
    """Reads what is needed of packs into the cache; gives the blobs and packs that are needed whole.

    Args:
        blobs: Reads elsewhere what isn't here, and caches what was read.
        commit: The version.
        path: A path, or a folder of which all is wanted.
        cache: Where the ends of packs are kept.

    Raises:
        NotFound: If the version has nothing at that path.
        CorruptData: If what is read isn't what was put.
    """
    import numpy as np

    contents = Contents(blobs, commit.packs, commit.pages, cache)
    entry = lookup(commit.tree, path, contents)
    found = [entry] if entry else list(listed_below(commit.tree, f"{path}/", contents))
    if not found:
        raise NotFound(
            f"{commit.dataset}@v{commit.number} has nothing at {path!r}",
            fix=f"see what it has: treadle data ls {commit.dataset}@v{commit.number}",
        )
    wanted = as_columns(found)
    rows = np.flatnonzero(wanted.sizes > 0)
    digests = wanted.digests[rows]
    whole, some = _packs(contents, commit, digests)
    yield from whole
    if len(some):
        for _, data in contents.many(some):
            progress.tell(0, len(data))
    for row in rows[contents.indexes.missing(digests)].tolist():
        digest = wanted.digests[row].tobytes().hex()
        if digest != EMPTY:
            yield Need(digest, wanted.paths[row], int(wanted.sizes[row]))
    for row in rows.tolist():
        recipe = contents.recipe(wanted.digests[row].tobytes().hex())
        if recipe is not None:
            yield from (Need(base, f"what {wanted.paths[row]} is made of") for base in recipe.bases)


def _packs(
    contents: Contents, commit: Commit, digests: NDArray[np.uint8]
) -> tuple[list[Need], NDArray[np.uint8]]:
    """The packs of which half or more is needed, or recipes; and what is needed of the others."""
    import numpy as np

    needed: dict[str, int] = dict.fromkeys((pack.digest for pack in commit.packs), 0)
    rows: dict[str, list[int]] = {}
    for found in contents.indexes.find_many(digests):
        needed[found.pack] += int(found.stored.sum())
        rows[found.pack] = found.rows.tolist()
    whole = []
    indexes = {index.pack: index for index in contents.indexes.all()}
    for pack in commit.packs:
        index, much = indexes[pack.digest], needed[pack.digest]
        # Chunks of files lie where only their recipes tell.
        cut = much and (index.kinds == Kind.RECIPE).any()
        if much and (cut or much * 2 >= int(index.stored.sum())):
            whole.append(Need(pack.digest, "a pack", pack.size))
            rows.pop(pack.digest, None)
    some = sorted(row for each in rows.values() for row in each)
    return whole, digests[np.asarray(some, np.int64)]
