"""Packs don't pile up: many small ones become one, and those that a version doesn't need are let go.

A version names the packs of those that it follows, so that a commit of one file reads none of the
others. What is changed or removed meanwhile stays in these packs. Once so much has changed that it is
worth a look at the whole tree, packs of which nothing is needed are named no more: that is what frees
them when older versions are deleted. Where versions were deleted, packs of which little is needed are
written anew as well; where none ever is, that would only keep the same contents twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from treadle.data.storage.contents import Contents
from treadle.data.storage.indexes import Indexes
from treadle.data.storage.packs import Kind, Pack, PackIndex, prefixes
from treadle.data.storage.recipes import OWN
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.pages import Root
from treadle.data.tree.trees import entries

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALL = 4 << 20
"""A pack of fewer bytes is small."""

MOST = 32
"""A version has at most so many small packs of a kind."""

WORTH = 4
"""A look at a tree of several leaves is worth it when a quarter of as many paths as it has were changed."""

AT_ONCE = 256 << 20
"""So many bytes of packs of which little is needed are written anew by one commit at most."""


class Gathered(NamedTuple):
    """The packs that a version names.

    Attributes:
        written: The packs.
        stale: How many paths were changed or removed, at most, since the packs were looked at.
    """

    written: Written
    stale: int


def gathered(
    contents: Contents, tree: str, root: Root, written: Written, stale: int, *, rewrite: bool
) -> Gathered:
    """The packs that a tree needs, with at most 32 small ones of contents, and of pages.

    Args:
        contents: Reads what is written.
        tree: The digest of its root page.
        root: That page.
        written: Its packs as they are.
        stale: How many paths were changed or removed, at most, since the packs were looked at.
        rewrite: Whether packs are written anew of which less than half is needed.

    Raises:
        StorageFull: If no space is left.
    """
    look = _Look(contents, tree, root)
    pages, packs = _piled(written.pages), _piled(written.packs)
    if stale and (stale * WORTH >= root.count or len(root) == 1):
        sparse = look.sparse(rewrite=rewrite)
        pages, packs = pages | sparse.pages, packs | sparse.packs
        stale = 0 if sparse.all else stale
    if pages or packs:
        with PackWriter(contents.blobs) as writer:
            look.copy_pages(pages, writer)
            look.copy_contents(packs, writer)
            made = writer.finish()
        written = Written(
            _replaced(written.packs, packs, made.packs), _replaced(written.pages, pages, made.pages)
        )
    return Gathered(written, stale)


def touched(before: Root, after: Root) -> int:
    """How many paths lie in leaves of one tree that another doesn't have: at least as many as differ."""
    kept = set(after.digests)
    return sum(int(n) for n, leaf in zip(before.counts, before.digests, strict=True) if leaf not in kept)


def _piled(packs: Iterable[Pack]) -> set[str]:
    small = {pack.digest for pack in packs if pack.size < SMALL}
    return small if len(small) > MOST else set()


def _replaced(packs: tuple[Pack, ...], gone: set[str], made: tuple[Pack, ...]) -> tuple[Pack, ...]:
    return (*made, *(pack for pack in packs if pack.digest not in gone))


class _Sparse(NamedTuple):
    """Packs of which nothing or little is needed; ``all`` says whether these are all of them."""

    pages: set[str]
    packs: set[str]
    all: bool


class _Look:
    """What a tree needs of its packs; looked at when it is first asked for."""

    def __init__(self, contents: Contents, tree: str, root: Root) -> None:
        self._contents, self._tree, self._root = contents, tree, root
        self._keys: NDArray[np.uint64] | None = None

    @property
    def keys(self) -> NDArray[np.uint64]:
        """How the digests of all needed contents and chunks begin, sorted."""
        if self._keys is None:
            import numpy as np

            listed = [prefixes(leaf.digests) for leaf in entries(self._tree, self._contents)]
            keys = np.sort(np.concatenate([np.empty(0, np.uint64), *listed]))
            chunks = []
            for index in self._contents.indexes.all():
                if not (index.kinds == Kind.RECIPE).any():
                    continue
                for row in np.flatnonzero(_among(index, keys) & (index.kinds == Kind.RECIPE)).tolist():
                    recipe = self._contents.recipe(index.hex(row))
                    if recipe is not None:
                        chunks.append(prefixes(recipe.digests[recipe.sources == OWN]))
            self._keys = np.sort(np.concatenate([keys, *chunks]))
        return self._keys

    def sparse(self, *, rewrite: bool) -> _Sparse:
        """Packs of which nothing is needed or, if these may be written anew, less than half."""
        import numpy as np

        pages = np.sort(prefixes(_digests([self._tree, *self._root.digests])))
        unread = {one.pack for one, size in _needed(self._contents.page_indexes, pages) if not size}
        needed = _needed(self._contents.indexes, self.keys)
        gone = {one.pack for one, size in needed if not size}
        shares = [(size / int(one.stored.sum()), size, one.pack) for one, size in needed if size and rewrite]
        total = 0
        for share, size, pack in sorted(shares):
            if share * 2 >= 1:
                break
            total += size
            if total > AT_ONCE:
                return _Sparse(unread, gone, all=False)
            gone.add(pack)
        return _Sparse(unread, gone, all=True)

    def copy_pages(self, packs: set[str], writer: PackWriter) -> None:
        """Writes what is needed of some packs of pages."""
        for page in [self._tree, *self._root.digests] if packs else ():
            place = self._contents.page_indexes.find(bytes.fromhex(page))
            if place is not None and place.pack in packs:
                writer.put_page(self._contents.page(page))

    def copy_contents(self, packs: set[str], writer: PackWriter) -> None:
        """Writes what is needed of some packs of contents."""
        import numpy as np

        contents = self._contents
        some = [index for index in contents.indexes.all() if index.pack in packs] if packs else []
        for index in some:
            needed = _among(index, self.keys)
            for row in np.flatnonzero(needed & (index.kinds == Kind.RECIPE)).tolist():
                digest = index.hex(row)
                recipe = contents.recipe(digest)
                if recipe is not None:
                    writer.put_recipe(bytes.fromhex(digest), recipe.encode(), int(index.lengths[row]))
            for row in np.flatnonzero(needed & (index.kinds == Kind.EXTERNAL)).tolist():
                one = contents.external(index.hex(row))
                if one is not None:
                    writer.put_external(one)
            rows = np.flatnonzero(needed & (index.kinds < Kind.RECIPE))
            for at, data in contents.many(index.digests[rows]):
                writer.put_as(index.digests[rows[at]].tobytes(), data)


def _needed(indexes: Indexes, keys: NDArray[np.uint64]) -> list[tuple[PackIndex, int]]:
    """Packs, and how many stored bytes of each are needed."""
    return [(one, int(one.stored[_among(one, keys)].sum())) for one in indexes.all()]


def _digests(names: list[str]) -> NDArray[np.uint8]:
    import numpy as np

    return np.frombuffer(bytes.fromhex("".join(names)), np.uint8).reshape(-1, 32)


def _among(index: PackIndex, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which contents of a pack are wanted: rather one too many, by the beginnings of their digests."""
    import numpy as np

    wanted = prefixes(index.digests)
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: NDArray[np.bool_] = keys[at] == wanted
    return found
