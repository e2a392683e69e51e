"""Blobs that are read from another store where they aren't kept here.

A whole blob that is read comes here to stay; of parts, blocks of 1 MiB are cached below a
folder, each with its digest, so that one that was damaged is asked for again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.kernel.errors import CorruptData, NotFound
from treadle.kernel.files import storage_errors

if TYPE_CHECKING:
    from treadle.kernel.blob_store import BlobStore

_BLOCK = 1 << 20
_DIGEST = 32
_TRIES = 3
_MOST = 4 << 30
_LOOK_EVERY = 256


class FallbackBlobs:
    """A blob store that reads what it doesn't have from another one; everything else is its own.

    Args:
        here: The store.
        elsewhere: Opens the other one, when it is first needed.
        cache: Where blocks of blobs that are elsewhere are kept.
    """

    def __init__(self, here: BlobStore, elsewhere: Callable[[], BlobStore], cache: Path) -> None:
        self._here, self._open, self._cache = here, elsewhere, cache
        self._written = 0

    @cached_property
    def _there(self) -> BlobStore:
        return self._open()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._here, name)

    def get(self, digest: str) -> bytes:
        """The bytes of a digest; raises what the two stores raise."""
        try:
            return self._here.get(digest)
        except NotFound:
            self._bring(digest)
            return self._here.get(digest)

    def fetch(self, digest: str, path: Path) -> None:
        """Writes the bytes of a digest to a file; raises what the two stores raise."""
        try:
            self._here.fetch(digest, path)
        except NotFound:
            self._bring(digest)
            self._here.fetch(digest, path)

    def size(self, digest: str) -> int:
        """How many bytes a digest has; raises what the two stores raise."""
        try:
            return self._here.size(digest)
        except NotFound:
            return self._there.size(digest)

    def tail(self, digest: str, length: int) -> bytes:
        """The last so many of a digest's bytes; raises what the two stores raise."""
        try:
            return self._here.tail(digest, length)
        except NotFound:
            return self._there.tail(digest, length)

    def stream(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of a digest, or some of them; raises what the two stores raise."""
        pieces = self._here.stream(digest, start, end)
        try:
            first = next(pieces, b"")
        except NotFound:
            if end is None:
                self._bring(digest)
                yield from self._here.stream(digest, start)
            else:
                yield from self._blocks(digest, start, end)
            return
        yield first
        yield from pieces

    def fill(self, digest: str, start: int, buffer: memoryview) -> Iterator[int]:
        """Fills a buffer with a digest's bytes; raises what the two stores raise."""
        try:
            yield from self._here.fill(digest, start, buffer)
        except NotFound:
            yield from self._there.fill(digest, start, buffer)

    def forget(self, digest: str, start: int, end: int) -> bool:
        """Drops cached blocks of a stretch: they came damaged; returns whether it is read elsewhere."""
        if self._here.has(digest):
            return False
        for number in range(start // _BLOCK, -(-end // _BLOCK)):
            self._block(digest, number).unlink(missing_ok=True)
        return True

    # ── within ───────────────────────────────────────────────────────────

    def _bring(self, digest: str) -> None:
        """Keeps here what is elsewhere; tries again where it came damaged."""
        for left in reversed(range(_TRIES)):
            try:
                self._bring_once(digest)
            except CorruptData:
                if not left:
                    raise
            else:
                return

    def _bring_once(self, digest: str) -> None:
        from treadle.kernel.ids import new_digest

        size = self._there.size(digest)
        part = self._here.part(digest, size)
        hasher = new_digest()
        buffer = memoryview(bytearray(min(part.piece, size)))
        try:
            for number in range(part.count):
                view = buffer[: min(part.piece, size - number * part.piece)]
                if not part.kept(number, view):
                    for _ in self._there.fill(digest, number * part.piece, view):
                        pass
                    part.write(number, view)
                hasher.update(view)
            try:
                part.finish(hasher.hexdigest())
            except CorruptData:
                part.drop()
                raise
        finally:
            part.close()

    def _blocks(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        """A stretch of a blob, out of cached blocks where they are; what is missing is read at once."""
        if end <= start:
            return
        first, last = start // _BLOCK, (end - 1) // _BLOCK
        number = first
        while number <= last:
            block = self._cached(digest, number)
            if block is not None:
                yield _part(block, number, start, end)
                number += 1
                continue
            until = number + 1
            while until <= last and not self._block(digest, until).exists():
                until += 1
            for offset, fresh in enumerate(self._read(digest, number, until)):
                yield _part(fresh, number + offset, start, end)
            number = until

    def _read(self, digest: str, first: int, until: int) -> Iterator[bytes]:
        end = min(until * _BLOCK, self._sizes(digest))
        waiting = bytearray()
        number = first
        for piece in self._there.stream(digest, first * _BLOCK, end):
            waiting += piece
            while len(waiting) >= _BLOCK:
                block = bytes(waiting[:_BLOCK])
                del waiting[:_BLOCK]
                self._keep(digest, number, block)
                yield block
                number += 1
        if waiting:
            self._keep(digest, number, bytes(waiting))
            yield bytes(waiting)

    def _sizes(self, digest: str) -> int:
        if digest not in self._known_sizes:
            self._known_sizes[digest] = self._there.size(digest)
        return self._known_sizes[digest]

    @cached_property
    def _known_sizes(self) -> dict[str, int]:
        return {}

    def _block(self, digest: str, number: int) -> Path:
        return self._cache / digest[:2] / digest[2:] / str(number)

    def _cached(self, digest: str, number: int) -> bytes | None:
        from blake3 import blake3

        path = self._block(digest, number)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        block, check = data[:-_DIGEST], data[-_DIGEST:]
        if blake3(block).digest() == check:
            return block
        path.unlink(missing_ok=True)
        return None

    def _keep(self, digest: str, number: int, block: bytes) -> None:
        """Caches a block; a disk that is full is no reason not to read on."""
        from blake3 import blake3

        path = self._block(digest, number)
        temporary = path.with_name(f".{number}.{secrets.token_hex(4)}")
        with contextlib.suppress(OSError), storage_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(block + blake3(block).digest())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        self._written += 1
        if self._written % _LOOK_EVERY == 0:
            _prune(self._cache)


def _part(block: bytes, number: int, start: int, end: int) -> bytes:
    begin = number * _BLOCK
    return block[max(0, start - begin) : end - begin]


def _prune(cache: Path) -> None:
    """Removes the oldest blocks when the cache is too large."""
    found = []
    for folder, _, names in os.walk(cache):
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in found)
    if total <= _MOST:
        return
    for _, size, path in sorted(found):
        if total <= _MOST * 3 // 4:
            return
        path.unlink(missing_ok=True)
        total -= size
