"""Pages: how parts of a tree are written down.

A page is, all integers little-endian: the magic word ``TRDL``, the format (u16, 1), its kind (u8: 0 a
leaf, 1 the root), a zero, how many rows it has (u32), and column after column:

- a leaf: sizes (u64), modes (u8), digests (32 bytes each), the paths joined by NUL;
- the root: for each leaf how many entries (u32) and bytes (u64) it has and its digest (32 bytes),
  then the first path of each leaf, joined by NUL.

The digest of a page is the BLAKE3 of these bytes. Nothing else goes in, so that the same
entries have the same pages wherever and whenever they are made.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.data.tree.types import Entries, Entry, Mode
from treadle.kernel.errors import CorruptData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
_HEAD = struct.Struct("<4sHBBI")
_LEAF, _ROOT = 0, 1


@dataclass(frozen=True, eq=False, slots=True)
class Root:
    """The root of a tree; one row a leaf, in the order of their paths.

    Attributes:
        firsts: The first path of each leaf.
        counts: How many entries each has, uint32.
        bytes: How many bytes these have, uint64.
        digests: The digests of the leaves.
    """

    firsts: list[str]
    counts: NDArray[np.uint32]
    bytes: NDArray[np.uint64]
    digests: list[str]

    def __len__(self) -> int:
        """How many leaves."""
        return len(self.firsts)

    @property
    def count(self) -> int:
        """How many entries the tree has."""
        return int(self.counts.sum())

    @property
    def size(self) -> int:
        """How many bytes its entries have."""
        return int(self.bytes.sum())


def empty_root() -> Root:
    """The root of a tree that lists nothing."""
    import numpy as np

    return Root([], np.empty(0, np.uint32), np.empty(0, np.uint64), [])


def encode_leaf(entries: Entries) -> bytes:
    """A leaf as bytes."""
    return b"".join(
        [
            _HEAD.pack(b"TRDL", FORMAT, _LEAF, 0, len(entries)),
            entries.sizes.astype("<u8", copy=False).tobytes(),
            entries.modes.tobytes(),
            entries.digests.tobytes(),
            "\0".join(entries.paths).encode(),
        ]
    )


def encode_root(root: Root) -> bytes:
    """A root as bytes."""
    return b"".join(
        [
            _HEAD.pack(b"TRDL", FORMAT, _ROOT, 0, len(root)),
            root.counts.astype("<u4", copy=False).tobytes(),
            root.bytes.astype("<u8", copy=False).tobytes(),
            *map(bytes.fromhex, root.digests),
            "\0".join(root.firsts).encode(),
        ]
    )


def decode_leaf(data: bytes, digest: str) -> Entries:
    """Reads a leaf.

    Raises:
        CorruptData: If it isn't one, or of a format that this version doesn't know.
    """
    import numpy as np

    count = _count(data, _LEAF, digest)
    at = _HEAD.size
    sizes = np.frombuffer(data, "<u8", count, at)
    modes = np.frombuffer(data, np.uint8, count, at + 8 * count)
    digests = np.frombuffer(data, np.uint8, 32 * count, at + 9 * count).reshape(count, 32)
    return Entries(_paths(data, at + 41 * count, count), sizes, digests, modes)


def decode_root(data: bytes, digest: str) -> Root:
    """Reads a root; raises as :func:`decode_leaf`."""
    import numpy as np

    count = _count(data, _ROOT, digest)
    at = _HEAD.size
    counts = np.frombuffer(data, "<u4", count, at)
    sizes = np.frombuffer(data, "<u8", count, at + 4 * count)
    raw = data[at + 12 * count : at + 44 * count].hex()
    digests = [raw[i : i + 64] for i in range(0, len(raw), 64)]
    return Root(_paths(data, at + 44 * count, count), counts, sizes, digests)


def entry_at(entries: Entries, row: int) -> Entry:
    """The entry of a row."""
    digest = entries.digests[row].tobytes().hex()
    return Entry(entries.paths[row], int(entries.sizes[row]), digest, Mode(int(entries.modes[row])))


def as_columns(entries: list[Entry]) -> Entries:
    """Entries as columns."""
    import numpy as np

    return Entries(
        [entry.path for entry in entries],
        np.array([entry.size for entry in entries], np.uint64),
        np.frombuffer(b"".join(bytes.fromhex(entry.digest) for entry in entries), np.uint8).reshape(-1, 32),
        np.array([entry.mode for entry in entries], np.uint8),
    )


def part(entries: Entries, begin: int, end: int) -> Entries:
    """Some rows of entries."""
    rows = slice(begin, end)
    return Entries(entries.paths[rows], entries.sizes[rows], entries.digests[rows], entries.modes[rows])


def joined(parts: list[Entries]) -> Entries:
    """Entries that follow each other, as one."""
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    if not parts:
        return as_columns([])
    return Entries(
        [path for one in parts for path in one.paths],
        np.concatenate([one.sizes for one in parts]),
        np.concatenate([one.digests for one in parts]),
        np.concatenate([one.modes for one in parts]),
    )


def _count(data: bytes, wanted: int, digest: str) -> int:
    try:
        magic, version, kind, _, count = _HEAD.unpack_from(data)
    except struct.error:
        magic, version, kind, count = b"", 0, -1, 0
    where = f"page {digest[:12]}"
    if magic == b"TRDL" and version > FORMAT:
        raise CorruptData(
            f"the page has format {version}; this Treadle reads up to {FORMAT}",
            where=where,
            fix="upgrade Treadle (pip install -U 'treadle[platform]')",
        )
    if magic != b"TRDL" or kind != wanted:
        raise CorruptData("it is no page of a tree", where=where, fix="`treadle data verify` tells more")
    return int(count)


def _paths(data: bytes, at: int, count: int) -> list[str]:
    return data[at:].decode().split("\0") if count else []
