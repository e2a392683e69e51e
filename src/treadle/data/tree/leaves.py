"""Cutting sorted entries into leaves where their paths say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from treadle.data.tree.pages import Root, decode_leaf, encode_leaf, encode_root, joined, part
from treadle.data.tree.types import Entries, Pages, PageSink

LEAF_BITS = 12
"""A leaf has 2 to the power of so many entries on average."""

_MIX, _SHIFT = 0x9E3779B1, 32 - LEAF_BITS


def begins_leaf(path: str) -> bool:
    """Whether a leaf begins at a path: one in 4,096 does, wherever it appears.

    By the CRC-32 of the path (as in zlib), multiplied by 0x9E3779B1 so that names that count don't
    follow a pattern: a leaf begins where the upper 12 of the product's lower 32 bits are zero.
    """
    return not (crc32(path.encode()) * _MIX & 0xFFFFFFFF) >> _SHIFT


@dataclass(slots=True)
class _Row:
    """A leaf of the tree that is made: one that is kept already, or entries that still grow."""

    first: str
    digest: str = ""
    count: int = 0
    size: int = 0
    parts: list[Entries] = field(default_factory=list)


class Leaves:
    """Makes a tree of sorted entries that come piece by piece, and of leaves that are there already.

    Args:
        sink: Where pages are kept.
        pages: Gives the pages of the leaves that are reused.
    """

    def __init__(self, sink: PageSink, pages: Pages | None = None) -> None:
        self._sink, self._pages = sink, pages
        self._fresh: dict[str, bytes] = {}
        self._done: list[_Row] = []
        self._open: _Row | None = None

    def add(self, entries: Entries) -> None:
        """Adds entries; they come after all that was added before."""
        borders = [row for row, path in enumerate(entries.paths) if begins_leaf(path)]
        begin = 0
        for border in [*borders, len(entries)]:
            if border > begin:
                self._grow(part(entries, begin, border), fresh=begin > 0 or borders[:1] == [0])
            begin = border

    def reuse(self, root: Root, leaf: int) -> None:
        """Adds a leaf of another tree as it is; a leaf must begin there."""
        self._close()
        self._open = _Row(
            root.firsts[leaf], root.digests[leaf], int(root.counts[leaf]), int(root.bytes[leaf])
        )

    def finish(self) -> str:
        """Keeps the root; returns its digest."""
        import numpy as np

        self._close()
        counts = np.array([row.count for row in self._done], np.uint32)
        sizes = np.array([row.size for row in self._done], np.uint64)
        root = Root([row.first for row in self._done], counts, sizes, [row.digest for row in self._done])
        return self._put(encode_root(root))

    def page(self, digest: str) -> bytes:
        """A page that was just made, or one that was there."""
        found = self._fresh.get(digest)
        if found is None:
            assert self._pages is not None  # noqa: S101 - given wherever leaves are reused
            found = self._pages.page(digest)
        return found

    def _grow(self, piece: Entries, *, fresh: bool) -> None:
        """Begins a leaf with a piece, or adds it to the one that is open."""
        if fresh or self._open is None:
            self._close()
            self._open = _Row(piece.paths[0])
        elif self._open.digest:  # what was reused goes on after all: its successor's beginning went
            old = decode_leaf(self.page(self._open.digest), self._open.digest)
            self._open = _Row(self._open.first, parts=[old])
        self._open.parts.append(piece)

    def _close(self) -> None:
        row, self._open = self._open, None
        if row is None:
            return
        if not row.digest:
            entries = joined(row.parts)
            row.count, row.size, row.parts = len(entries), int(entries.sizes.sum()), []
            row.digest = self._put(encode_leaf(entries))
        self._done.append(row)

    def _put(self, data: bytes) -> str:
        digest = self._sink.put_page(data)
        if self._pages is not None:
            self._fresh[digest] = data
        return digest
