"""What a version needs: its commit, packs, blobs that are in no pack, and bases of recipes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from treadle.data.branches.commits import decode_commit
from treadle.data.branches.types import Commit
from treadle.data.storage.contents import EMPTY, Contents
from treadle.data.storage.packs import Kind, PackIndex, prefixes
from treadle.data.tree.pages import decode_leaf
from treadle.data.tree.trees import read_root
from treadle.data.types import DatasetVersion
from treadle.kernel.blobs import BlobStore
from treadle.kernel.errors import NotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Need(msgspec.Struct, frozen=True):
    """A blob that a version needs.

    Attributes:
        digest: Which.
        what: What people call it.
        size: In bytes; None where the version doesn't say.
    """

    digest: str
    what: str
    size: int | None = None


def tables(version: DatasetVersion) -> Iterator[Need]:
    """The blobs by which a version's tables are read: rows as Parquet beside CSV, other files as they are."""
    if any(source.kind == "table" for source in version.origin):
        return  # its files lie in the table itself
    for file in version.files:
        if file.parquet:
            yield Need(file.parquet, f"{file.path} as Parquet")
        else:
            yield Need(file.digest, file.path, file.size)


def packs_of(commit: Commit) -> Iterator[Need]:
    """The packs that a version names."""
    ref = f"{commit.dataset}@v{commit.number}"
    for pack in commit.pages:
        yield Need(pack.digest, f"a pack of pages of {ref}", pack.size)
    for pack in commit.packs:
        yield Need(pack.digest, f"a pack of {ref}", pack.size)


class _Pack:
    """What lies in a pack, by digest, and the recipes among it."""

    def __init__(self, index: PackIndex) -> None:
        self._index = index
        self._keys = prefixes(index.digests)

    def has(self, wanted: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of some digests it has."""
        import numpy as np

        if not len(self._index):
            return np.zeros(len(wanted), dtype=bool)
        at = np.minimum(np.searchsorted(self._keys, prefixes(wanted)), len(self._index) - 1)
        found: NDArray[np.bool_] = (self._index.digests[at] == wanted).all(axis=1)
        return found

    def recipes(self) -> list[str]:
        """The digests of files that are made of chunks."""
        return [self._index.hex(row) for row in (self._index.kinds == Kind.RECIPE).nonzero()[0].tolist()]


class Walk:
    """Walks versions; what they share is looked at once.

    Args:
        blobs: Where they are.
        cache: Where the ends of packs of a bucket are kept.
        strict: Whether a pack that isn't there is an error; else what it has counts as blobs.
    """

    def __init__(self, blobs: BlobStore, cache: Path | None = None, *, strict: bool = False) -> None:
        self._blobs, self._cache, self._strict = blobs, cache, strict
        self._packs: dict[str, _Pack | None] = {}
        self._told: set[str] = set()
        self._leaves: dict[str, frozenset[str]] = {}
        """Of each leaf that was looked at, the packs that have what isn't a blob."""

    def needed(self, commit_id: str) -> Iterator[Need]:
        """Everything that a version needs, its commit first.

        Raises:
            NotFound: If its commit or a page isn't there.
            CorruptData: If one of them can't be read.
        """
        data = self._blobs.get(commit_id)
        commit = decode_commit(data, commit_id)
        yield Need(commit_id, f"the commit of {commit.dataset}@v{commit.number}", len(data))
        yield from packs_of(commit)
        yield from self.contents(commit)

    def contents(self, commit: Commit) -> Iterator[Need]:
        """What a version has that lies in none of its packs; raises as :meth:`needed`."""
        contents = Contents(self._blobs, commit.packs, commit.pages, self._cache)
        packs = {pack.digest: self._pack(commit, pack.digest) for pack in commit.packs}
        here = {name: pack for name, pack in packs.items() if pack is not None}
        for name, index in here.items():
            if name not in self._told:
                self._told.add(name)
                yield from self._bases(commit, index)
        yield from self._large(commit, contents, here)

    def _pack(self, commit: Commit, digest: str) -> _Pack | None:
        if digest not in self._packs:
            of = [pack for pack in commit.packs if pack.digest == digest]
            try:
                index = Contents(self._blobs, of, (), self._cache).indexes.all()[0]
                self._packs[digest] = _Pack(index)
            except NotFound:
                if self._strict:
                    raise
                self._packs[digest] = None
        return self._packs[digest]

    def _bases(self, commit: Commit, pack: _Pack) -> Iterator[Need]:
        recipes = pack.recipes()
        if not recipes:
            return
        contents = Contents(self._blobs, commit.packs, commit.pages, self._cache)
        for digest in recipes:
            recipe = contents.recipe(digest)
            for base in recipe.bases if recipe is not None else ():
                yield Need(base, f"what content {digest[:12]} of {commit.dataset} is made of")

    def _large(self, commit: Commit, contents: Contents, packs: dict[str, _Pack]) -> Iterator[Need]:
        import numpy as np

        names, likely = list(packs), 0
        for leaf in read_root(commit.tree, contents).digests:
            known = self._leaves.get(leaf)
            if known is not None and known <= packs.keys():
                continue
            listed = decode_leaf(contents.page(leaf), leaf)
            rows = np.arange(len(listed))
            used = set()
            # What follows each other in a tree was packed one after another: go on where the last was found.
            for name in names[likely:] + names[:likely]:
                found = packs[name].has(listed.digests[rows])
                if found.any():
                    used.add(name)
                    rows, likely = rows[~found], names.index(name)
                if not len(rows):
                    break
            self._leaves[leaf] = frozenset(used)
            told = set()
            for row in rows.tolist():
                digest = listed.digests[row].tobytes().hex()
                if digest != EMPTY and digest not in told:
                    told.add(digest)
                    yield Need(digest, listed.paths[row], int(listed.sizes[row]))
