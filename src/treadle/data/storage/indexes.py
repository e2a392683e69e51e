"""Looking contents up in the indexes of many packs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
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
_BLOCK = 1 << 16
PLAIN = (Kind.RAW, Kind.ZSTD)
"""How contents are stored that lie in a pack themselves."""
_held: WeakValueDictionary[str, PackIndex] = WeakValueDictionary()
"""The indexes that somebody holds: of a million files they have 55 MB, which nobody needs twice."""


@dataclass(frozen=True, eq=False, slots=True)
class Located:
    """Contents that lie in one pack, in the order of their offsets.

    Attributes:
        pack: The pack's digest.
        rows: Which of those that were looked for; int64, n.
        offsets: Of their stored bytes; int64, n.
        stored: How many they are; int64, n.
        lengths: How many bytes the contents have; int64, n.
        kinds: How they are stored, as :class:`Kind`; uint8, n.
    """

    pack: str
    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    stored: NDArray[np.int64]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many contents."""
        return len(self.rows)

    def place(self, at: int) -> Place:
        """Where one of them lies."""
        return Place(
            self.pack,
            int(self.offsets[at]),
            int(self.stored[at]),
            int(self.lengths[at]),
            Kind(int(self.kinds[at])),
        )

    def spans(self, most: int, gap: int) -> Iterator[slice]:
        """Those that are worth reading in one piece.

        Args:
            most: How many bytes a piece has at most, if it holds several contents.
            gap: How many bytes that nobody wants may lie between two of them.
        """
        import numpy as np

        ends = self.offsets + self.stored
        far = np.flatnonzero(self.offsets[1:] - ends[:-1] > gap) + 1
        bounds = [0, *far.tolist(), len(self)]
        for start, stop in pairwise(bounds):
            first = start
            while first < stop:
                fit = int(np.searchsorted(ends[first:stop], self.offsets[first] + most, side="right"))
                last = first + max(1, fit)
                yield slice(first, last)
                first = last


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

    def find_many(self, digests: NDArray[np.uint8], kinds: Sequence[Kind] = PLAIN) -> list[Located]:
        """Where contents lie that are in a pack.

        Args:
            digests: Which; uint8 of shape (n, 32).
            kinds: Of those that are stored so; as they are when left out.

        Returns:
            What was found, pack after pack; raises as :meth:`all`.
        """
        import numpy as np

        found = []
        for index, rows, at in self._look(digests):
            like = np.isin(index.kinds[at], kinds)
            if like.any():
                found.append(_located(index, rows[like], at[like]))
        return found

    def missing(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which contents are in none of the packs; raises as :meth:`all`."""
        import numpy as np

        missing = np.ones(len(digests), dtype=bool)
        for begin in range(0, len(digests), _BLOCK):  # so that what is compared is never in memory at once
            for _, rows, _ in self._look(digests[begin : begin + _BLOCK]):
                missing[begin + rows] = False
        return missing

    def _look(
        self, digests: NDArray[np.uint8]
    ) -> Iterator[tuple[PackIndex, NDArray[np.int64], NDArray[np.int64]]]:
        """The packs that have some of the contents: which those are, and their rows of the index.

        The first is the pack that has the first content. What follows each other in a tree was packed one
        after another, so that few others need be looked into.
        """
        import numpy as np

        wanted = prefixes(digests)
        left = np.arange(len(digests))
        packs = list(zip(self.all(), self._keys, strict=True))
        first = next((n for n, (_, keys) in enumerate(packs) if len(left) and _has(keys, wanted[0])), 0)
        for index, keys in packs[first:] + packs[:first]:
            if not len(left):
                return
            if not len(index):
                continue
            at = np.minimum(np.searchsorted(keys, wanted[left]), len(index) - 1)
            same = (index.digests[at] == digests[left]).all(axis=1)
            for one in np.flatnonzero(~same & (keys[at] == wanted[left])):  # two digests that begin alike
                like = np.flatnonzero((index.digests == digests[left[one]]).all(axis=1))
                if len(like):
                    at[one], same[one] = like[0], True
            if same.any():
                yield index, left[same], at[same]
                left = left[~same]

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


def _has(keys: NDArray[np.uint64], wanted: np.uint64) -> bool:
    """Whether a digest begins so."""
    import numpy as np

    at = int(np.searchsorted(keys, wanted))
    return at < len(keys) and bool(keys[at] == wanted)


def _located(index: PackIndex, rows: NDArray[np.int64], at: NDArray[np.int64]) -> Located:
    """Those that lie at some rows of an index."""
    import numpy as np

    order = np.argsort(index.offsets[at], kind="stable")
    at = at[order]
    offsets, stored, lengths = (
        column[at].astype(np.int64) for column in (index.offsets, index.stored, index.lengths)
    )
    return Located(index.pack, rows[order], offsets, stored, lengths, index.kinds[at])


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
