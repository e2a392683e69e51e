"""Many paths in little memory: a million strings of Python's own would take 70 MB."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Self, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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

    @classmethod
    def of_text(cls, text: bytes | memoryview) -> Self:
        """Paths that are written so, with a NUL between each two; none when it is empty."""
        made = cls()
        if text:
            made._extend(bytes(text))
        return made

    def extend(self, paths: Sequence[str]) -> None:
        """Adds paths, all at once; raises as :meth:`append`."""
        if paths:
            self._extend("\0".join(paths).encode())

    def _extend(self, text: bytes) -> None:
        import numpy as np

        begin = len(self._text)
        self._text += text
        self._text.append(0)
        ends = np.flatnonzero(np.frombuffer(self._text, np.uint8, offset=begin) == 0)
        self._ends.frombytes((ends + (begin + 1)).astype(np.uint64).tobytes())

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


def pick(paths: Sequence[str], rows: NDArray[np.int64]) -> list[str]:
    """The paths of some rows."""
    first = int(rows[0]) if len(rows) else 0
    if len(rows) and (rows[1:] - rows[:-1] == 1).all():
        return list(paths[first : first + len(rows)])
    return [paths[row] for row in rows.tolist()]


def places(paths: Sequence[str], among: Sequence[str]) -> NDArray[np.int64]:
    """Where paths are among others; both are sorted. Only a stretch of either is looked at at once.

    Returns:
        The row of each among the others, -1 where it is none of them; int64, as many as paths.
    """
    import numpy as np

    found, at = array("q"), 0
    for begin in range(0, len(paths), _BLOCK):
        block = paths[begin : begin + _BLOCK]
        at, end = bisect.bisect_left(among, block[0], at), bisect.bisect_right(among, block[-1], at)
        if end - at <= 4 * _BLOCK:
            rows = {path: row for row, path in enumerate(among[at:end], at)}
            found.extend([rows.get(path, -1) for path in block])
        else:
            near = [bisect.bisect_left(among, path, at, end) for path in block]
            same = (row < end and among[row] == path for row, path in zip(near, block, strict=True))
            found.extend([row if one else -1 for row, one in zip(near, same, strict=True)])
        at = end
    return np.asarray(found, np.int64)
