"""Reading what is new in a folder, and keeping it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.data.storage import chunks
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.types import Entries, Mode
from treadle.data.work.scanning import Scan, read_link
from treadle.data.work.state import Comparison
from treadle.data.work.types import Chunking
from treadle.kernel import progress
from treadle.kernel.errors import CorruptData
from treadle.kernel.files import storage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHOLE = 1 << 20
"""A file of so many bytes or more is a blob of its own, or chunks; a smaller one goes into a pack."""

_BATCH_BYTES, _BATCH_FILES, _ROWS = 8 << 20, 4096, 1 << 16

_EXECUTABLE = int(Mode.EXECUTABLE)  # an enumeration's members are slow to look up
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Ways:
    """How files are kept.

    Attributes:
        link: Whether large files are linked instead of copied; they become read-only.
        chunking: ``on`` cuts every large file into chunks, ``auto`` those that look like before.
    """

    link: bool = False
    chunking: Chunking = "auto"


class Keeper:
    """Keeps the files of a scan.

    Args:
        contents: What is kept already by the version before.
        writer: Takes what is new and small.
        ways: How they are kept.
        before: Digest and size of what the version before has at a path.
    """

    def __init__(
        self,
        contents: Contents,
        writer: PackWriter,
        ways: Ways,
        before: Callable[[str], tuple[str, int] | None],
    ) -> None:
        self._contents, self._writer, self._ways, self._before = contents, writer, ways, before
        self._may_have = bool(contents.indexes.all())

    def keep(self, scan: Scan, found: Comparison) -> Entries:
        """Reads and keeps what isn't known.

        Args:
            scan: What lies in the folder.
            found: What of it is known; its digests are filled in where they may be written to.

        Raises:
            CorruptData: If a file changes meanwhile.
            InvalidInput: If a link leads out of the data.
            StorageFull: If no space is left.
            StorageError: If a file can't be read or kept.
        """
        import numpy as np

        digests = found.digests if found.digests.flags.writeable else found.digests.copy()
        sizes = scan.sizes.copy() if (scan.modes == Mode.LINK).any() else scan.sizes
        large: list[int] = []
        for begin in range(0, len(scan), _ROWS):
            some = slice(begin, begin + _ROWS)
            rows = begin + np.flatnonzero(~found.known[some] | (scan.modes[some] >= Mode.LINK))
            is_large = scan.sizes[rows] >= WHOLE
            self._small(scan, rows[~is_large], digests, sizes)
            large += rows[is_large].tolist()
        for row in large:
            digests[row] = np.frombuffer(bytes.fromhex(self._large(scan, row)), np.uint8)
            progress.tell(1, int(scan.sizes[row]))
        return Entries(scan.paths, sizes, digests, scan.modes)

    # ── small ones ───────────────────────────────────────────────────────

    def _small(
        self, scan: Scan, rows: NDArray[np.int64], digests: NDArray[np.uint8], sizes: NDArray[np.uint64]
    ) -> None:
        from blake3 import blake3

        batch: list[tuple[bytes, bytes]] = []
        taken: list[int] = []
        size = 0
        paths, base = scan.paths, f"{scan.base}/"
        for row, mode, length, mtime in _each(rows, scan.modes, scan.sizes, scan.mtimes):
            path = paths[row]
            if mode <= _EXECUTABLE:
                data = _read(base + path, length, mtime)
            else:
                data = read_link(scan.base, path) if mode == Mode.LINK else b""
                sizes[row] = len(data)
            batch.append((blake3(data).digest(), data))
            taken.append(row)
            size += len(data)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                self._put(batch, taken, digests)
                batch, taken, size = [], [], 0
        self._put(batch, taken, digests)

    def _put(self, batch: list[tuple[bytes, bytes]], taken: list[int], digests: NDArray[np.uint8]) -> None:
        import numpy as np

        if not batch:
            return
        rows = np.frombuffer(b"".join([digest for digest, _ in batch]), np.uint8).reshape(-1, 32)
        digests[taken] = rows
        contents = [data for _, data in batch]
        if self._may_have:
            new = np.flatnonzero(self._contents.indexes.missing(rows))
            self._writer.put_many(rows[new], [contents[row] for row in new.tolist()])
        else:
            self._writer.put_many(rows, contents)
        progress.tell(len(batch), sum(map(len, contents)))

    # ── large ones ───────────────────────────────────────────────────────

    def _large(self, scan: Scan, row: int) -> str:
        path, blobs = scan.base / scan.paths[row], self._contents.blobs
        before = self._before(scan.paths[row]) if self._ways.chunking != "off" else None
        if self._worth_cutting(path, int(scan.sizes[row]), before):
            return chunks.put_chunked(path, self._writer, self._contents, before)
        digest = blobs.link_file(path) if self._ways.link else blobs.put_file(path)
        after = path.stat()
        if not self._ways.link and after.st_mtime_ns != scan.mtimes[row]:
            raise _changed(str(path))
        return digest

    def _worth_cutting(self, path: Path, size: int, before: tuple[str, int] | None) -> bool:
        if self._ways.chunking != "auto" or before is None:
            return self._ways.chunking == "on"
        if min(size, before[1]) < chunks.LEAST or not chunks.available():
            return False
        return chunks.looks_alike(path, *before, self._contents)


def _each(rows: NDArray[np.int64], *columns: NDArray[Any]) -> Iterator[tuple[int, ...]]:
    """Row numbers and their values, as Python's own numbers, which are quicker one by one."""
    for begin in range(0, len(rows), _BATCH_FILES):
        some = rows[begin : begin + _BATCH_FILES]
        yield from zip(some.tolist(), *(column[some].tolist() for column in columns), strict=True)


def _read(path: str, size: int, mtime: int) -> bytes:
    """A small file's bytes, if it is as it was when the folder was looked at."""
    try:
        descriptor = os.open(path, _READING)
        try:
            data = os.read(descriptor, size + 1)
            if len(data) != size or os.fstat(descriptor).st_mtime_ns != mtime:
                raise _changed(path)
        finally:
            os.close(descriptor)
    except OSError:
        with storage_errors(path):
            raise
    return data


def _changed(path: str) -> CorruptData:
    return CorruptData("the file changed while it was read", where=path, fix="add it again when it is still")
