"""Many paths in little memory: a million strings of Python's own would take 70 MB."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

_BLOCK = 4096


class Paths(Sequence[str]):
    """Paths as UTF-8, each with a NUL after it, which no path has. A slice of it is a list.

    Args:
        paths: What it begins with.
    """

    __slots__ = ("_ends", "_text")

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._text = bytearray()
        self._ends = array("Q")
        for path in paths:
            self.append(path)

    def append(self, path: str) -> None:
        """Adds a path.

        Raises:
            UnicodeEncodeError: If it can't be written in UTF-8.
        """
        self._text += path.encode()
        self._text.append(0)
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        """How many."""
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        """One of them, or several that follow each other."""
        if not isinstance(at, slice):
            row = range(len(self._ends))[at]  # also a number of NumPy's
            return self._text[self._begin(row) : self._ends[row] - 1].decode()
        first, last, step = at.indices(len(self._ends))
        if step != 1:
            return [self[row] for row in range(first, last, step)]
        if first >= last:
            return []
        return self._text[self._begin(first) : self._ends[last - 1] - 1].decode().split("\0")

    def __iter__(self) -> Iterator[str]:
        """All of them."""
        for begin in range(0, len(self._ends), _BLOCK):
            yield from self[begin : begin + _BLOCK]

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same paths."""
        if isinstance(other, Paths):
            return self._text == other._text
        return isinstance(other, list) and len(other) == len(self) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def _begin(self, row: int) -> int:
        return self._ends[row - 1] if row else 0
