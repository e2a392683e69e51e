"""Recipes: how a large file is made of chunks that other files have too.

A recipe is, all integers little-endian: how many bases (u32) and chunks (u32) there are; the
digests of the bases (32 bytes each); then column after column for the chunks: digests (32 bytes
each), lengths (u32), bases (u32; 0xFFFFFFFF where the chunk is a content of its own), offsets in
the base (u64). A base is a blob that is kept whole: a file's first version isn't stored again
in chunks, later ones refer to stretches of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.kernel.errors import CorruptData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OWN = 0xFFFFFFFF
_HEAD = struct.Struct("<II")
_COLUMNS = ((32, "u1"), (4, "<u4"), (4, "<u4"), (8, "<u8"))


@dataclass(frozen=True, eq=False, slots=True)
class Recipe:
    """The chunks that make a file, in their order; n of them.

    Attributes:
        bases: The digests of the blobs that it refers to.
        digests: Of the chunks, uint8 of shape (n, 32).
        lengths: Of the chunks, uint32, n.
        sources: The number of the base that has the chunk, or ``OWN``; uint32, n.
        offsets: Where it begins in that base; uint64, n.
    """

    bases: tuple[str, ...]
    digests: NDArray[np.uint8]
    lengths: NDArray[np.uint32]
    sources: NDArray[np.uint32]
    offsets: NDArray[np.uint64]

    def __len__(self) -> int:
        """How many chunks."""
        return len(self.lengths)

    def encode(self) -> bytes:
        """The recipe as bytes."""
        head = _HEAD.pack(len(self.bases), len(self))
        bases = b"".join(map(bytes.fromhex, self.bases))
        columns = (self.digests, self.lengths, self.sources, self.offsets)
        return head + bases + b"".join(column.tobytes() for column in columns)


def decode_recipe(data: bytes, where: str) -> Recipe:
    """Reads a recipe.

    Raises:
        CorruptData: If it isn't one; tells ``where``.
    """
    import numpy as np

    try:
        many, count = _HEAD.unpack_from(data)
    except struct.error:
        many = count = 0
    begin = _HEAD.size + 32 * many
    if not count or len(data) != begin + count * sum(width for width, _ in _COLUMNS):
        raise CorruptData(
            "the list of its chunks can't be read",
            where=where,
            fix="`treadle data verify --repair` fetches it again",
        )
    bases = tuple(data[at : at + 32].hex() for at in range(_HEAD.size, begin, 32))
    columns = []
    for width, kind in _COLUMNS:
        size = count * width
        columns.append(np.frombuffer(data, kind, size // np.dtype(kind).itemsize, begin))
        begin += size
    digests, lengths, sources, offsets = columns
    return Recipe(bases, digests.reshape(count, 32), lengths, sources, offsets)
