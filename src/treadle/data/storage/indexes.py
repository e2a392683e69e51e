"""Looking contents up in the indexes of many packs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from treadle.data.storage.packs import (
    Kind,
    Pack,
    PackIndex,
    Place,
    decode_index,
    encode_end,
    prefixes,
    read_index,
)
from treadle.kernel.blobs import BlobStore
from treadle.kernel.errors import CorruptData
from treadle.kernel.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AT_ONCE = 16
_held: WeakValueDictionary[str, PackIndex] = WeakValueDictionary()
"""The indexes that somebody holds: of a million files they have 55 MB, which nobody needs twice."""


class Indexes:
    """The indexes of some packs, read when they are first needed.

    Args:
        blobs: Where the packs are.
        packs: Which.
        cache: Where indexes of a bucket's packs are kept; nowhere when None.
    """

    def __init__(self, blobs: BlobStore, packs: Sequence[Pack], cache: Path | None) -> None:
        self._blobs, self._cache = blobs, cache
        self._packs = tuple(pack.digest for pack in packs)

    def all(self) -> list[PackIndex]:
        """Every pack's index.

        Raises:
            NotFound: If a pack isn't kept here.
            CorruptData: If a pack can't be read.
        """
        return self._loaded

    def find(self, digest: bytes) -> Place | None:
        """Where a content lies, if it is in one of the packs; raises as :meth:`all`."""
        import numpy as np

        begin = np.uint64(int.from_bytes(digest[:8], "big"))
        for index, keys in zip(self.all(), self._keys, strict=True):
            row = int(np.searchsorted(keys, begin))
            while row < len(index) and keys[row] == begin:
                if index.digests[row].tobytes() == digest:
                    return index.place(row)
                row += 1
        return None

    def find_many(self, digests: NDArray[np.uint8]) -> list[tuple[int, Place]]:
        """Where contents lie that are in a pack as they are, in the order of packs and offsets.

        Args:
            digests: Which; uint8 of shape (n, 32).

        Returns:
            Rows of ``digests`` and places; raises as :meth:`all`.
        """
        import numpy as np

        wanted = prefixes(digests)
        missing = np.ones(len(digests), dtype=bool)
        found: list[tuple[int, Place]] = []
        for index, keys in zip(self.all(), self._keys, strict=True):
            rows = missing.nonzero()[0]
            if not len(rows) or not len(index):
                continue
            at = np.minimum(np.searchsorted(keys, wanted[rows]), len(index) - 1)
            same = (index.digests[at] == digests[rows]).all(axis=1)
            for row in rows[~same & (keys[at] == wanted[rows])]:  # two digests that begin alike
                place = self.find(digests[row].tobytes())
                if place is not None and place.kind < Kind.RECIPE:
                    found.append((int(row), place))
                missing[row] = False
            rows, at = rows[same], at[same]
            missing[rows] = False
            order = np.argsort(index.offsets[at], kind="stable")
            kinds = index.kinds[at]
            found += [(int(rows[i]), index.place(int(at[i]))) for i in order if kinds[i] < Kind.RECIPE]
        return found

    def missing(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which contents are in none of the packs; raises as :meth:`all`."""
        import numpy as np

        wanted = prefixes(digests)
        missing = np.ones(len(digests), dtype=bool)
        for index, keys in zip(self.all(), self._keys, strict=True):
            if len(index):
                at = np.minimum(np.searchsorted(keys, wanted), len(index) - 1)
                missing &= ~(index.digests[at] == digests).all(axis=1)
        return missing

    @cached_property
    def _loaded(self) -> list[PackIndex]:
        if self._cache is None or len(self._packs) < 2 or self._blobs.path(self._packs[0]):
            return [self._load(pack) for pack in self._packs]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="treadle-index") as pool:
            return list(pool.map(self._load, self._packs))

    @cached_property
    def _keys(self) -> list[NDArray[np.uint64]]:
        return [prefixes(index.digests) for index in self.all()]

    def _load(self, pack: str) -> PackIndex:
        found = _held.get(pack)
        if found is None:
            found = _held[pack] = self._read(pack)
        return found

    def _read(self, pack: str) -> PackIndex:
        if self._cache is None or self._blobs.path(pack) is not None:
            return read_index(self._blobs, pack)
        path = self._cache / f"{pack}.index"
        try:
            return _cached(pack, path)
        except (OSError, CorruptData):
            index = read_index(self._blobs, pack)
            write_atomic(path, encode_end(index))
            return index


def _cached(pack: str, path: Path) -> PackIndex:
    """A pack's index out of the cache.

    Raises:
        OSError: If it isn't there.
        CorruptData: If it isn't whole.
    """
    found = decode_index(pack, path.read_bytes())
    if isinstance(found, int):
        raise CorruptData("the cached index is short", where=os.fspath(path))
    return found
