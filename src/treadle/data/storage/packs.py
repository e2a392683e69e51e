"""Packs: many small contents in one blob.

A pack is, in this order, all integers little-endian:

1. the stored bytes of its contents, one after another;
2. its index, sorted by digest, column after column: digests (32 bytes each), offsets (u64),
   stored lengths (u32), lengths (u64), kinds (u8: :class:`Kind`);
3. how many contents there are (u64), the format (u32, 1) and the magic word ``TRDLPACK``.

A content's digest is the BLAKE3 of its own bytes, not of the stored ones; for a recipe, of
the file that it makes. Only of what lies in a bucket, whose bytes nobody has read, it is that of what is
stored: the object's URL, size and ETag.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from treadle.kernel.errors import CorruptData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from treadle.kernel.blobs import BlobStore

FORMAT = 1
MAGIC = b"TRDLPACK"
_END = struct.Struct("<QI8s")
_ROW = 32 + 8 + 4 + 8 + 1
_GUESS = 512 << 10  # the index of a pack of 10 KiB files


class Pack(msgspec.Struct, frozen=True):
    """A pack, as versions name it.

    Attributes:
        digest: Of its bytes.
        size: How many they are.
    """

    digest: str
    size: int


class Kind(IntEnum):
    """How a content is stored. The numbers are written in packs: they never change."""

    RAW = 0
    ZSTD = 1
    RECIPE = 2
    """Stored are the chunks that make it; see :mod:`treadle.data.storage.chunks`."""
    EXTERNAL = 3
    """Stored is where it lies in a bucket: the JSON of a :class:`~treadle.kernel.buckets.BucketObject`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content lies in a pack.

    Attributes:
        pack: The pack's digest.
        offset: Of its stored bytes.
        stored: How many they are.
        length: How many bytes the content has.
        kind: How it is stored.
    """

    pack: str
    offset: int
    stored: int
    length: int
    kind: Kind


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class PackIndex:
    """What lies in a pack; n contents, sorted by digest.

    Attributes:
        pack: The pack's digest.
        digests: uint8 of shape (n, 32).
        offsets: uint64, n.
        stored: uint32, n.
        lengths: uint64, n.
        kinds: uint8, n.
    """

    pack: str
    digests: NDArray[np.uint8]
    offsets: NDArray[np.uint64]
    stored: NDArray[np.uint32]
    lengths: NDArray[np.uint64]
    kinds: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many contents."""
        return len(self.offsets)

    def place(self, row: int) -> Place:
        """Where the content of a row lies."""
        return Place(
            self.pack,
            int(self.offsets[row]),
            int(self.stored[row]),
            int(self.lengths[row]),
            Kind(int(self.kinds[row])),
        )

    def hex(self, row: int) -> str:
        """The digest of a row."""
        return str(self.digests[row].tobytes().hex())


def prefixes(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first eight bytes of each digest as a number that sorts as the digest does."""
    import numpy as np

    return np.ascontiguousarray(digests[:, :8]).view(">u8").ravel().astype(np.uint64)


class Rows:
    """The index of a pack that grows, in the order in which contents come."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._offsets, self._stored, self._lengths = array("Q"), array("I"), array("Q")
        self._kinds = bytearray()

    def __len__(self) -> int:
        """How many contents."""
        return len(self._kinds)

    def add(self, digest: bytes, offset: int, stored: int, length: int, kind: int) -> None:
        """Adds a content."""
        self._digests += digest
        self._offsets.append(offset)
        self._stored.append(stored)
        self._lengths.append(length)
        self._kinds.append(kind)

    def index(self, pack: str) -> PackIndex:
        """The index, sorted."""
        import numpy as np

        digests = np.frombuffer(self._digests, np.uint8).reshape(-1, 32)
        keys = [np.ascontiguousarray(digests[:, at : at + 8]).view(">u8").ravel() for at in (24, 16, 8, 0)]
        order = np.lexsort(keys) if len(self) else np.empty(0, np.int64)
        return PackIndex(
            pack,
            digests[order],
            np.frombuffer(self._offsets, np.uint64)[order].astype("<u8", copy=False),
            np.frombuffer(self._stored, np.uint32)[order].astype("<u4", copy=False),
            np.frombuffer(self._lengths, np.uint64)[order].astype("<u8", copy=False),
            np.frombuffer(self._kinds, np.uint8)[order],
        )


def encode_index(rows: Rows) -> bytes:
    """The end of a pack: its index and what says how long it is."""
    return encode_end(rows.index(""))


def encode_end(index: PackIndex) -> bytes:
    """The end of the pack that an index is of."""
    return b"".join(end_pieces(index))


def end_pieces(index: PackIndex) -> list[bytes | memoryview]:
    """The same piece by piece."""
    columns = (index.digests, index.offsets, index.stored, index.lengths, index.kinds)
    end = _END.pack(len(index), FORMAT, MAGIC)
    return [*(column.data.cast("B") for column in columns if len(index)), end]


def decode_index(pack: str, end: bytes) -> PackIndex | int:
    """Reads a pack's index from its end.

    Returns:
        The index, or how many bytes of the end are needed where these are too few.

    Raises:
        CorruptData: If it is no pack, or one of a format that this version doesn't know.
    """
    import numpy as np

    try:
        count, version, magic = _END.unpack_from(end, len(end) - _END.size)
    except struct.error:
        raise _damaged(pack, "it is too short") from None
    if magic != MAGIC:
        raise _damaged(pack, "its end isn't that of a pack")
    if version > FORMAT:
        raise CorruptData(
            f"the pack has format {version}; this Treadle reads up to {FORMAT}",
            where=f"pack {pack[:12]}",
            fix="upgrade Treadle (pip install -U 'treadle[platform]')",
        )
    start = len(end) - _END.size - count * _ROW
    if start < 0:
        return int(_END.size + count * _ROW)
    at = start
    found = []
    for width, kind in ((32, "u1"), (8, "<u8"), (4, "<u4"), (8, "<u8"), (1, "u1")):
        size = count * width
        found.append(np.frombuffer(end, dtype=kind, count=size // np.dtype(kind).itemsize, offset=at))
        at += size
    digests, offsets, stored, lengths, kinds = found
    return PackIndex(pack, digests.reshape(count, 32), offsets, stored, lengths, kinds)


def read_index(blobs: BlobStore, pack: str) -> PackIndex:
    """A pack's index, read from its end.

    Raises:
        NotFound: If the pack isn't kept here.
        CorruptData: If it isn't a pack.
    """
    found = decode_index(pack, blobs.tail(pack, _GUESS))
    if isinstance(found, int):
        found = decode_index(pack, blobs.tail(pack, found))
        if isinstance(found, int):
            raise _damaged(pack, "it is shorter than its index")
    return found


def _damaged(pack: str, why: str) -> CorruptData:
    return CorruptData(
        f"the pack can't be read: {why}",
        where=f"pack {pack[:12]}",
        fix="`treadle data verify --repair` tells what is damaged, and fetches it again",
    )
