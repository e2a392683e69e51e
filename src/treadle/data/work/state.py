"""What was known of a working folder last time: whose stat is the same holds the same bytes.

A file is, all integers little-endian: the magic word ``TRDLWORK``, the length of a JSON head (u32),
the head, and column after column: sizes, times of the content's change, times of any change and
inodes (8 bytes each), modes (1), digests (32), and the paths joined by NUL. It is a cache: when it
can't be read, everything is read again.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from treadle.data.tree.paths import Paths, places
from treadle.data.work.scanning import Scan
from treadle.kernel.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAGIC = b"TRDLWORK"
_LENGTH = struct.Struct("<I")
_PIECE = 1 << 16
_TICK = 20_000_000
"""File systems tell times of change by ticks of up to so many nanoseconds."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    count: int
    tree: str


@dataclass(frozen=True, eq=False, slots=True)
class State:
    """What was known; rows as in :class:`~treadle.data.work.scanning.Scan`.

    Attributes:
        stats: Sizes, times of the content's change, times of any change, inodes and modes.
        digests: What the files held; uint8 of shape (n, 32).
        tree: The digest of the tree that they made.
        names: The paths joined by NUL.
    """

    stats: tuple[NDArray[Any], ...]
    digests: NDArray[np.uint8]
    tree: str
    names: memoryview

    def __len__(self) -> int:
        """How many."""
        return len(self.digests)

    def paths(self) -> Paths:
        """The paths."""
        return Paths.of_text(self.names)

    def has_paths(self, paths: Sequence[str]) -> bool:
        """Whether the paths are these."""
        at = 0
        for begin in range(0, len(paths), _PIECE):
            piece = join(paths[begin : begin + _PIECE])
            if self.names[at : at + len(piece)] != piece:
                return False
            at += len(piece) + 1
        return len(paths) == len(self) and at == (len(self.names) + 1 if paths else 0)

    def let_go(self) -> None:
        """Gives the memory back of what was looked at; it is read again where it is needed again."""
        if isinstance(self.names.obj, mmap.mmap):
            self.names.obj.madvise(mmap.MADV_DONTNEED)


def nothing() -> State:
    """The state of a folder of which nothing is known."""
    import numpy as np

    none = tuple(np.empty(0, kind) for kind in ("<u8", "<i8", "<i8", "<u8", "u1"))
    return State(none, np.empty((0, 32), np.uint8), "", memoryview(b""))


def save_state(path: Path, scan: Scan, digests: NDArray[np.uint8], tree: str, seen_ns: int) -> None:
    """Keeps what is known of a folder.

    Args:
        path: The cache's file.
        scan: What the file system said before the files were read.
        digests: What they held.
        tree: The digest of the tree that they made.
        seen_ns: When the file system was asked. A file that had just changed then may have changed
            once more within the same tick of its clock: it is read again next time.
    """
    import numpy as np

    sure = scan.mtimes < seen_ns - _TICK
    mtimes = np.where(sure, scan.mtimes, np.int64(0))
    head = msgspec.json.encode(_Head(count=len(scan), tree=tree))
    columns = [
        column.astype(kind, copy=False)
        for column, kind in ((scan.sizes, "<u8"), (mtimes, "<i8"), (scan.ctimes, "<i8"), (scan.inodes, "<u8"))
    ]
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(_MAGIC + _LENGTH.pack(len(head)) + head)
        for column in (*columns, scan.modes, digests):
            file.write(np.ascontiguousarray(column).data)
        for begin in range(0, len(scan), _PIECE):
            file.write(b"\0" * (begin > 0) + join(scan.paths[begin : begin + _PIECE]))


def load_state(path: Path) -> State:
    """What is known of a folder; nothing where the cache can't be read."""
    import numpy as np

    try:
        with path.open("rb") as file:  # never changed, only replaced; what isn't looked at isn't read
            data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        if data[:8] != _MAGIC:
            return nothing()
        [length] = _LENGTH.unpack_from(data, 8)
        head = msgspec.json.decode(data[12 : 12 + length], type=_Head)
        at, columns = 12 + length, []
        for kind, width in (("<u8", 8), ("<i8", 8), ("<i8", 8), ("<u8", 8), ("u1", 1), ("u1", 32)):
            size = head.count * width
            columns.append(np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at))
            at += size
    except (OSError, ValueError, struct.error, msgspec.MsgspecError):
        return nothing()
    if head.format != 1:
        return nothing()
    *stats, digests = columns
    return State(tuple(stats), digests.reshape(head.count, 32), head.tree, data[at:])


def join(paths: Sequence[str]) -> bytes:
    """Paths as one piece of bytes that tells them apart."""
    return "\0".join(paths).encode()


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """What of a folder is as it was.

    Attributes:
        digests: What each file of the scan holds, as far as it is known; uint8 of shape (n, 32).
        known: For which it is known; bool, n.
        gone: Whether paths aren't there any more.
    """

    digests: NDArray[np.uint8]
    known: NDArray[np.bool_]
    gone: bool


def compare(scan: Scan, state: State) -> Comparison:
    """Finds what is as it was, by size, times of change, inode and mode."""
    import numpy as np

    mine = (scan.sizes, scan.mtimes, scan.ctimes, scan.inodes, scan.modes)
    if state.has_paths(scan.paths):
        state.let_go()
        same = _same(mine, state.stats)
        state.let_go()
        # A copy where digests will be filled in, so that the cache needn't stay in memory beside them.
        return Comparison(state.digests if same.all() else state.digests.copy(), same, gone=False)
    digests, known = np.zeros((len(scan), 32), np.uint8), np.zeros(len(scan), dtype=bool)
    if not len(scan) or not len(state):
        return Comparison(digests, known, gone=len(state) > 0)
    at = places(scan.paths, state.paths())
    new = np.flatnonzero(at >= 0)
    old = at[new]
    same = _same([column[new] for column in mine], [column[old] for column in state.stats])
    digests[new[same]] = state.digests[old[same]]
    known[new] = same
    return Comparison(digests, known, gone=len(new) < len(state))


def _same(mine: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    import numpy as np

    same = np.ones(len(mine[0]), dtype=bool)
    for one, two in zip(mine, theirs, strict=True):
        same &= one == two
    return same
