"""Cutting contents out of a stretch of a pack, each checked; needs neither numpy nor a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Bytes = TypeVar("Bytes", bytes, memoryview)


def cut(
    data: Bytes,
    digests: bytes,
    starts: Sequence[int],
    ends: Sequence[int],
    lengths: Sequence[int],
    zipped: Sequence[int],
) -> Iterator[Bytes | bytes | None]:
    """The contents that lie in a stretch, in their order; None for one that isn't what was put.

    Args:
        data: The stretch.
        digests: The contents' digests one after another, 32 bytes each.
        starts: Where each begins within the stretch.
        ends: Before where it ends.
        lengths: How many bytes it has, which where it is compressed isn't what is stored.
        zipped: Whether it is; 0 or 1.
    """
    from blake3 import blake3

    at = 0
    for start, end, length, packed in zip(starts, ends, lengths, zipped, strict=True):
        stored = data[start:end]
        content = unzip(stored, length) if packed else stored
        sound = content is not None and blake3(content).digest() == digests[at : at + 32]
        yield content if sound else None
        at += 32


def unzip(stored: bytes | memoryview, length: int) -> bytes | None:
    """What was compressed, of so many bytes; None if it can't be read."""
    import zstandard

    try:
        content: bytes = zstandard.ZstdDecompressor().decompress(stored, max_output_size=length)
    except zstandard.ZstdError:
        return None
    return content
