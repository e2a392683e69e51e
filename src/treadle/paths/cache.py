"""Blocks of files that were read from afar, on this machine's disk, by the digest of their file."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path

from treadle.kernel.units import format_bytes

BLOCK = 512 << 10
"""How many bytes a block has; the last of a file has fewer."""
LIMIT = 10 << 30
"""How many bytes are kept, unless somebody says otherwise."""
_ROOM = 0.9


class BlockCache:
    """Keeps blocks; those that were not used for longest go first. Several processes may share one.

    A block is a file, ``ab/DIGEST-NUMBER``, that is whole or not there. What can't be written is
    not kept: a full disk doesn't keep anybody from reading.

    Args:
        folder: Where.
        limit: How many bytes are kept; up to a sixteenth more for a while.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._added = limit  # what earlier processes left is counted with the first block
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<blocks in {self.folder}, up to {format_bytes(self.limit)}>"

    def get(self, digest: str, number: int, size: int) -> bytes | None:
        """A block, if it is kept.

        Args:
            digest: The file's.
            number: Which block.
            size: How many bytes it must have; a block of another size isn't it.
        """
        path = self._path(digest, number)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data if len(data) == size else None

    def put(self, digest: str, number: int, data: bytes) -> None:
        """Keeps a block."""
        path = self._path(digest, number)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            return
        with self._lock:
            self._added += len(data)
            full = self._added > self.limit // 16
            if full:
                self._added = 0
        if full:
            self.shrink()

    def shrink(self) -> None:
        """Removes what was not used for longest, if there is too much."""
        kept: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                found = path.stat()
                kept.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in kept)
        if total <= self.limit:
            return
        for _, size, path in sorted(kept):
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size
            if total <= self.limit * _ROOM:
                return

    def _path(self, digest: str, number: int) -> Path:
        return self.folder / digest[:2] / f"{digest}-{number}"
