"""Looking many paths up in one tree."""

from __future__ import annotations

import bisect

from treadle.data.tree.pages import decode_leaf, decode_root, entry_at
from treadle.data.tree.types import Entries, Entry, Pages


class Finder:
    """Looks paths up; the leaf that was read last is kept, so that sorted paths cost a leaf each at most.

    It is for one thread.

    Args:
        tree: The tree.
        pages: Gives pages.
    """

    def __init__(self, tree: str, pages: Pages) -> None:
        self._pages = pages
        self._root = decode_root(pages.page(tree), tree)
        self._leaf = -1

    def find(self, path: str) -> Entry | None:
        """What lies at a path, if anything; raises what ``pages`` raises."""
        found = self._read(path)
        if found is None:
            return None
        row = bisect.bisect_left(found.paths, path)
        return entry_at(found, row) if row < len(found) and found.paths[row] == path else None

    def first_below(self, prefix: str) -> str | None:
        """The first path that begins with a prefix, if any; raises what ``pages`` raises."""
        found = self._read(prefix)
        row = bisect.bisect_left(found.paths, prefix) if found else 0
        if found and row < len(found):
            path = found.paths[row]
        elif self._leaf_of(prefix) + 1 < len(self._root):
            path = self._root.firsts[self._leaf_of(prefix) + 1]
        else:
            return None
        return path if path.startswith(prefix) else None

    def _leaf_of(self, path: str) -> int:
        return bisect.bisect_right(self._root.firsts, path) - 1

    def _read(self, path: str) -> Entries | None:
        """The leaf in which a path would be; None if it comes before all that is there."""
        leaf = self._leaf_of(path)
        if leaf < 0:
            return None
        if leaf != self._leaf:
            digest = self._root.digests[leaf]
            self._found, self._leaf = decode_leaf(self._pages.page(digest), digest), leaf
        return self._found
