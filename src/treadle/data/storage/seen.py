"""Digests that were seen before, in about 50 bytes each, where a set of Python's takes 130."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FIRST = 1 << 11
_NUMBER = 0xFFFFFFFF
_BLOCK = 32 << 15


class Seen:
    """A set of digests: a table with open addressing.

    A digest's first eight bytes say where it is looked for, and slot after slot from there on. A
    slot has the next four bytes, by which nearly all others are told apart, and its number among the
    digests, which is 0 where it is free. At most half of the slots are taken.
    """

    def __init__(self) -> None:
        self._blocks: list[bytearray] = []
        self._count = 0
        self._make(_FIRST)

    def __len__(self) -> int:
        """How many."""
        return self._count

    def add(self, digest: bytes) -> bool:
        """Adds a digest; returns whether it is new."""
        self._make_room(1)
        slots, tag = self._slots, int.from_bytes(digest[8:12], "little")
        at = int.from_bytes(digest[:8], "little") & self._mask
        while slot := slots[at]:
            if slot >> 32 == tag and self._is(slot & _NUMBER, digest):
                return False
            at = (at + 1) & self._mask
        self._append(digest)
        slots[at] = tag << 32 | self._count
        return True

    def add_many(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Adds digests, uint8 of shape (n, 32); returns which are new: of several alike the first."""
        import numpy as np

        self._make_room(len(digests))
        new = np.zeros(len(digests), dtype=bool)
        at, tags = self._places(digests)
        left = np.arange(len(digests))
        while len(left):
            slots = self._table[at[left]]
            taken = slots != 0
            alike = taken & (slots & np.uint64(_NUMBER << 32) == tags[left])
            for row in np.flatnonzero(alike).tolist():
                alike[row] = self._is(int(slots[row]) & _NUMBER, digests[left[row]].tobytes())
            others = left[taken & ~alike]
            at[others] = (at[others] + 1) & self._mask
            here = left[~taken]
            won = self._claim(at[here])
            winners = here[won]
            numbers = np.arange(self._count + 1, self._count + 1 + len(winners), dtype=np.uint64)
            self._table[at[winners]] = tags[winners] | numbers
            self._append(digests[winners].tobytes())
            new[winners] = True
            left = np.sort(np.concatenate([others, here[~won]]))
        return new

    # ── within ───────────────────────────────────────────────────────────

    def _is(self, number: int, digest: bytes) -> bool:
        block, at = divmod(32 * (number - 1), _BLOCK)
        return self._blocks[block][at : at + 32] == digest

    def _append(self, digests: bytes) -> None:
        """Keeps digests in blocks: one piece that grew would leave holes in the heap."""
        self._count += len(digests) // 32
        while digests:
            if not self._blocks or len(self._blocks[-1]) == _BLOCK:
                self._blocks.append(bytearray())
            room = _BLOCK - len(self._blocks[-1])
            self._blocks[-1] += digests[:room]
            digests = digests[room:]

    def _make(self, size: int) -> None:
        import numpy as np

        self._table = np.zeros(size, np.uint64)
        self._slots = self._table.data
        self._mask = size - 1

    def _make_room(self, count: int) -> None:
        """Makes the table larger if so many more would take more than half of it."""
        import numpy as np

        size = len(self._table)
        while 2 * (self._count + count) > size:
            size *= 2
        if size == len(self._table):
            return
        self._make(size)
        first = 1
        for block in self._blocks:
            at, tags = self._places(np.frombuffer(block, np.uint8).reshape(-1, 32))
            left = np.arange(len(at))
            while len(left):
                taken = self._table[at[left]] != 0
                here = left[~taken]
                won = self._claim(at[here])
                winners = here[won]
                self._table[at[winners]] = tags[winners] | (winners + first).astype(np.uint64)
                left = np.concatenate([left[taken], here[~won]])
                at[left] = (at[left] + 1) & self._mask
            first += len(at)

    def _places(self, digests: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Where digests are looked for first, and what their slots have but for the number."""
        import numpy as np

        words = np.ascontiguousarray(digests[:, :16]).view("<u8")
        return (words[:, 0] & np.uint64(self._mask)).astype(np.int64), words[:, 1] << np.uint64(32)

    def _claim(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of those that want free slots get them: the first of each."""
        import numpy as np

        mine = np.arange(1, len(slots) + 1, dtype=np.uint64)
        self._table[slots[::-1]] = mine[::-1]  # of what is written to one place, the last stays
        won: NDArray[np.bool_] = self._table[slots] == mine
        return won
