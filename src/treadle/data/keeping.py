"""Which blobs dataset versions need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.data.branches.commits import read_commit
from treadle.data.branches.types import Commit
from treadle.data.staging.store import staged
from treadle.data.storage.contents import EMPTY, Contents
from treadle.data.storage.packs import Kind, PackIndex, prefixes, read_index
from treadle.data.storage.recipes import Recipe
from treadle.data.store import versions
from treadle.data.tree.pages import decode_leaf
from treadle.data.tree.trees import read_root
from treadle.kernel.keeping import Needed, digests
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class KeptByData:
    """Commits of versions, their packs, and the contents that are blobs of their own."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of all that versions and staged changes need.

        Raises:
            NotFound: If a version isn't whole, so that nobody can say what it needs.
            CorruptData: The same.
        """
        del without  # other rooms need them
        yield from digests(connection, versions.c.files)
        yield from digests(connection, staged.c.entry)
        walk = _Walk(workspace)
        query = sa.select(versions.c.commit_id).where(versions.c.commit_id != "").distinct()
        for commit_id in connection.execute(query).scalars().all():
            yield from walk.needed(commit_id)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """Nothing."""
        del connection
        return iter(())


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


class _Walk:
    """Walks versions; what they share is looked at once."""

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._packs: dict[str, _Pack] = {}
        self._told: set[str] = set()
        self._leaves: dict[str, frozenset[str]] = {}
        """Of each leaf that was looked at, the packs that have what isn't a blob."""

    def needed(self, commit_id: str) -> Iterator[str]:
        """Everything that a version needs."""
        commit = read_commit(self._ws, commit_id)
        yield commit_id
        for pack in (*commit.packs, *commit.pages):
            yield pack.digest
        contents = Contents(self._ws.blobs, commit.packs, commit.pages)
        packs = {pack.digest: self._pack(contents, pack.digest) for pack in commit.packs}
        for name, index in packs.items():
            if name not in self._told:
                self._told.add(name)
                yield from self._bases(contents, index)
        yield from self._blobs(commit, contents, packs)

    def _pack(self, contents: Contents, digest: str) -> _Pack:
        if digest not in self._packs:
            self._packs[digest] = _Pack(read_index(contents.blobs, digest))
        return self._packs[digest]

    @staticmethod
    def _bases(contents: Contents, pack: _Pack) -> Iterator[str]:
        for digest in pack.recipes():
            recipe: Recipe | None = contents.recipe(digest)
            if recipe is not None:
                yield from recipe.bases

    def _blobs(self, commit: Commit, contents: Contents, packs: dict[str, _Pack]) -> Iterator[str]:
        """What a version has that lies in none of its packs."""
        import numpy as np

        for leaf in read_root(commit.tree, contents).digests:
            known = self._leaves.get(leaf)
            if known is not None and known <= packs.keys():
                continue
            wanted = decode_leaf(contents.page(leaf), leaf).digests
            used = set()
            for name, pack in packs.items():
                found = pack.has(wanted)
                if found.any():
                    used.add(name)
                    wanted = wanted[~found]
                if not len(wanted):
                    break
            self._leaves[leaf] = frozenset(used)
            for row in np.unique(wanted, axis=0):
                digest = row.tobytes().hex()
                if digest != EMPTY:
                    yield digest
