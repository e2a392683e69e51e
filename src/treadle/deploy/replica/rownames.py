"""Names for rows whose callers gave none: one identifier a process, and a count."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import overload

from treadle.kernel.ids import Ids


class Block(Sequence[str]):
    """Names that count on from a first one. Each is made when it is looked at: many never are.

    Args:
        prefix: What they begin with.
        start: The first one's number.
        count: How many there are.
    """

    __slots__ = ("_numbers", "_prefix")

    def __init__(self, prefix: str, start: int, count: int) -> None:
        self._prefix = prefix
        self._numbers = range(start, start + count)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [f"{self._prefix}-{number:010d}" for number in self._numbers[at]]
        return f"{self._prefix}-{self._numbers[at]:010d}"

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])


class RowNames:
    """Gives every row of a process a name of its own. Safe to use from several threads.

    Args:
        ids: Makes the process's identifier.
    """

    def __init__(self, ids: Ids) -> None:
        self._prefix = ids.new("prediction")
        self._next = 0
        self._lock = threading.Lock()

    def one(self) -> list[str]:
        """A name for a row."""
        with self._lock:
            number = self._next
            self._next = number + 1
        return [f"{self._prefix}-{number:010d}"]

    def block(self, count: int) -> Block:
        """Names for so many rows."""
        with self._lock:
            start = self._next
            self._next = start + count
        return Block(self._prefix, start, count)
