"""Checking a pack: its own digest, its index, and each content's digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.data.storage.packs import Kind, PackIndex, decode_index, prefixes
from treadle.kernel.blobs import BlobStore
from treadle.kernel.buckets import BucketObject, decode_object
from treadle.kernel.errors import CorruptData, NotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MISSING = "it is missing"
"""What is wrong with a blob that isn't there."""


@dataclass(eq=False)
class CheckedPack:
    """A pack that was checked.

    Attributes:
        digest: Which.
        problem: What is wrong with it; empty if nothing is.
        size: How many bytes were read.
        index: What lies in it; None if that can't be told.
        bad: The digests of contents that aren't what was put.
        recipes: The digests of files that are made of chunks.
        externals: Where files lie that lie in buckets, by digest.
    """

    digest: str
    problem: str = ""
    size: int = 0
    index: PackIndex | None = None
    bad: set[bytes] = field(default_factory=set)
    recipes: set[bytes] = field(default_factory=set)
    externals: dict[bytes, BucketObject] = field(default_factory=dict)

    def has(self, wanted: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of some digests it has."""
        import numpy as np

        if self.index is None or not len(self.index):
            return np.zeros(len(wanted), dtype=bool)
        at = np.minimum(np.searchsorted(prefixes(self.index.digests), prefixes(wanted)), len(self.index) - 1)
        found: NDArray[np.bool_] = (self.index.digests[at] == wanted).all(axis=1)
        return found


def check_pack(blobs: BlobStore, digest: str) -> CheckedPack:
    """Reads a pack once and checks all of it; a pack is in memory meanwhile."""
    from blake3 import blake3

    try:
        size = blobs.size(digest)
        buffer = memoryview(bytearray(size))
        filled = sum(blobs.fill(digest, 0, buffer))
    except NotFound:
        return CheckedPack(digest, MISSING)
    except CorruptData as error:
        return CheckedPack(digest, f"a pack: {error.message}")
    data = buffer[:filled]
    checked = CheckedPack(digest, size=filled)
    if blake3(data).hexdigest() != digest:
        checked.problem = "what is kept is something else"
    try:
        index = decode_index(digest, bytes(data[-(512 << 10) :]))
        if isinstance(index, int):
            index = decode_index(digest, bytes(data[-index:]))
    except (CorruptData, ValueError) as error:
        checked.problem = error.message if isinstance(error, CorruptData) else "its index is damaged"
        return checked
    if isinstance(index, int):
        checked.problem = "it is shorter than its index"
        return checked
    checked.index = index
    _check_contents(checked, index, data)
    return checked


def _check_contents(checked: CheckedPack, index: PackIndex, data: memoryview) -> None:
    import zstandard
    from blake3 import blake3

    unzip = zstandard.ZstdDecompressor()
    kinds, lengths = index.kinds.tolist(), index.lengths.tolist()
    for row, (offset, stored) in enumerate(zip(index.offsets.tolist(), index.stored.tolist(), strict=True)):
        digest = index.digests[row].tobytes()
        if kinds[row] == Kind.RECIPE:
            checked.recipes.add(digest)
            continue
        content = data[offset : offset + stored]
        try:
            if kinds[row] == Kind.ZSTD:
                content = memoryview(unzip.decompress(content, max_output_size=lengths[row]))
            right = blake3(content).digest() == digest
        except zstandard.ZstdError:
            right = False
        if right and kinds[row] == Kind.EXTERNAL:
            checked.externals[digest] = decode_object(bytes(content), f"pack {checked.digest[:12]}")
        if not right:
            checked.bad.add(digest)
            checked.problem = checked.problem or "a content in it isn't what was put"
