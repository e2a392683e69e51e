"""Packs don't pile up: what a version needs of many small packs is gathered into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from treadle.data.storage.contents import Contents
from treadle.data.storage.packs import Kind, Pack, PackIndex, prefixes
from treadle.data.storage.recipes import OWN
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.trees import entries, read_root

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALL = 4 << 20
"""A pack of fewer bytes is small."""

MOST = 32
"""A version has at most so many small packs of a kind."""


def gathered(contents: Contents, tree: str, written: Written) -> Written:
    """The packs that a tree needs, with at most 32 small ones of contents, and of pages.

    Args:
        contents: Reads what is written.
        tree: The digest of its root page.
        written: Its packs as they are.

    Raises:
        StorageFull: If no space is left.
    """
    pages, packs = _small(written.pages), _small(written.packs)
    if len(pages) <= MOST and len(packs) <= MOST:
        return written
    with PackWriter(contents.blobs) as writer:
        if len(pages) > MOST:
            _pages(contents, tree, pages, writer)
        if len(packs) > MOST:
            _contents(contents, tree, packs, writer)
        made = writer.finish()
    return Written(
        _replaced(written.packs, packs, made.packs) if len(packs) > MOST else written.packs,
        _replaced(written.pages, pages, made.pages) if len(pages) > MOST else written.pages,
    )


def _small(packs: Sequence[Pack]) -> set[str]:
    return {pack.digest for pack in packs if pack.size < SMALL}


def _replaced(packs: Sequence[Pack], gone: set[str], made: tuple[Pack, ...]) -> tuple[Pack, ...]:
    return (*made, *(pack for pack in packs if pack.digest not in gone))


def _pages(contents: Contents, tree: str, packs: set[str], writer: PackWriter) -> None:
    for page in [tree, *read_root(tree, contents).digests]:
        place = contents.page_indexes.find(bytes.fromhex(page))
        if place is not None and place.pack in packs:
            writer.put_page(contents.page(page))


def _contents(contents: Contents, tree: str, packs: set[str], writer: PackWriter) -> None:
    import numpy as np

    listed = np.concatenate(
        [leaf.digests for leaf in entries(tree, contents)] or [np.empty((0, 32), np.uint8)]
    )
    small = [index for index in contents.indexes.all() if index.pack in packs]
    keys = np.sort(prefixes(listed))
    chunks = []
    for index in small:
        for row in np.flatnonzero(_among(index, keys) & (index.kinds == Kind.RECIPE)).tolist():
            digest = index.hex(row)
            recipe = contents.recipe(digest)
            if recipe is not None:
                writer.put_recipe(bytes.fromhex(digest), recipe.encode(), int(index.lengths[row]))
                chunks.append(recipe.digests[recipe.sources == OWN])
        for row in np.flatnonzero(_among(index, keys) & (index.kinds == Kind.EXTERNAL)).tolist():
            one = contents.external(index.hex(row))
            if one is not None:
                writer.put_external(one)
    if chunks:
        keys = np.sort(np.concatenate([keys, *map(prefixes, chunks)]))
    for index in small:
        rows = np.flatnonzero(_among(index, keys) & (index.kinds < Kind.RECIPE))
        for at, data in contents.many(index.digests[rows]):
            writer.put_as(index.digests[rows[at]].tobytes(), data)


def _among(index: PackIndex, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which contents of a pack are wanted: rather one too many, by the beginnings of their digests."""
    import numpy as np

    wanted = prefixes(index.digests)
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: NDArray[np.bool_] = keys[at] == wanted
    return found
