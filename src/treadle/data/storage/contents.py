"""Reading contents: out of a version's packs, or the blobs that large files are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from treadle.data.storage.cutting import cut, unzip
from treadle.data.storage.hashing import Whole
from treadle.data.storage.indexes import Indexes, Located
from treadle.data.storage.packs import Kind, Pack, Place
from treadle.data.storage.recipes import OWN, Recipe, decode_recipe
from treadle.kernel.blobs import BlobStore
from treadle.kernel.buckets import BucketObject, Buckets, decode_object
from treadle.kernel.errors import CorruptData, NotFound
from treadle.kernel.files import replacing
from treadle.kernel.ids import digest_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMPTY = digest_bytes(b"")
_SPAN = 8 << 20
_GAP = 64 << 10
_AHEAD = 6


class Contents:
    """What a version's packs and the blob store hold. May be used from several threads.

    Args:
        blobs: The blob store.
        packs: The packs of contents to look in, the likeliest first.
        pages: The packs of pages to look in.
        cache: Where the ends of packs of a bucket are kept.
        buckets: Buckets that contents lie in without being kept here; none is configured when left out.
    """

    def __init__(
        self,
        blobs: BlobStore,
        packs: Sequence[Pack] = (),
        pages: Sequence[Pack] = (),
        cache: Path | None = None,
        buckets: Buckets | None = None,
    ) -> None:
        self._buckets = buckets or Buckets()
        self.blobs = blobs
        self.indexes = Indexes(blobs, packs, cache)
        self.page_indexes = Indexes(blobs, pages, cache)

    def page(self, digest: str) -> bytes:
        """The bytes of a page.

        Raises:
            NotFound: If no pack has it.
            CorruptData: If what is kept isn't that page.
        """
        place = self.page_indexes.find(bytes.fromhex(digest))
        if place is None:
            raise NotFound(
                f"page {digest[:12]} is in none of the version's packs",
                fix="`treadle data pull` fetches what is missing",
            )
        return self._unpack(digest, place)

    def has(self, digest: str) -> bool:
        """Whether a content is kept here."""
        return (
            digest == EMPTY or self.indexes.find(bytes.fromhex(digest)) is not None or self.blobs.has(digest)
        )

    def read(self, digest: str, size: int, start: int = 0, end: int | None = None) -> bytes:
        """A content's bytes, or those from ``start`` to before ``end``.

        A whole content, and every piece of a chunked one, is checked; a part of a large file can't be.
        What lies in a bucket is read there, if its ETag is still what it was.

        Raises:
            NotFound: If it isn't kept here.
            CorruptData: If what is kept isn't what was put.
        """
        end = size if end is None else min(end, size)
        if start >= end:
            return b""
        place = self.indexes.find(bytes.fromhex(digest))
        if place is None:
            if (start, end) == (0, size):
                return self.blobs.get(digest)
            return b"".join(self.blobs.stream(digest, start, end))
        if place.kind is Kind.EXTERNAL:
            return b"".join(self._buckets.read(self._external(digest, place), start, end))
        if place.kind is not Kind.RECIPE:
            return self._unpack(digest, place)[start:end]
        return b"".join(self._chunks(self._recipe(digest, place), digest, start, end))

    def stream(self, digest: str, size: int, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """A content's bytes piece by piece; else as :meth:`read`."""
        place = self.indexes.find(bytes.fromhex(digest)) if size else None
        whole = start == 0 and (end is None or end >= size)
        if not size:
            return
        if place is None:
            yield from self.blobs.stream(digest) if whole else self.blobs.stream(digest, start, end or size)
        elif place.kind is Kind.RECIPE:
            yield from self._chunks(self._recipe(digest, place), digest, start, end or size)
        elif place.kind is Kind.EXTERNAL:
            yield from self._buckets.read(self._external(digest, place), start, end)
        else:
            yield self.read(digest, size, start, end)

    def fetch(self, digest: str, size: int, path: Path) -> None:
        """Writes a content to a file, atomically and checked.

        Raises:
            NotFound: If it isn't kept here.
            CorruptData: If what is kept isn't what was put; ``path`` stays as it was.
        """
        place = self.indexes.find(bytes.fromhex(digest)) if size else None
        if size and place is None:
            self.blobs.fetch(digest, path)
            return
        chunked = place is not None and place.kind is Kind.RECIPE
        with replacing(path) as temporary, temporary.open("wb") as file:
            if not chunked:
                for piece in self.stream(digest, size):
                    file.write(piece)
            elif self._write_chunks(digest, size, file) != digest:
                raise self._corrupt(digest)

    def _write_chunks(self, digest: str, size: int, file: BinaryIO) -> str:
        """Writes a file that is made of chunks; returns the digest of what was written."""
        whole = Whole()
        try:
            for piece in self.stream(digest, size):
                whole.add(piece)
                file.write(piece)
        finally:
            found = whole.finish()
        return found.hex()

    def many(self, digests: NDArray[np.uint8]) -> Iterator[tuple[int, bytes]]:
        """Small contents in the order in which they lie, read in large pieces, each checked.

        Args:
            digests: Which; uint8 of shape (n, 32). What isn't in a pack as it is, isn't given.

        Yields:
            The row of ``digests``, and the content.

        Raises:
            CorruptData: If what is kept isn't what was put.
        """
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="treadle-read") as pool:
            waiting: deque[tuple[Future[bytes], Located, slice]] = deque()
            for found, span in self.located(digests):
                waiting.append((pool.submit(self._span, found, span), found, span))
                if len(waiting) > _AHEAD:
                    yield from self._cut(digests, *waiting.popleft())
            for one in waiting:
                yield from self._cut(digests, *one)

    def located(self, digests: NDArray[np.uint8]) -> Iterator[tuple[Located, slice]]:
        """Where small contents lie, in stretches worth reading in one piece; else as :meth:`many`."""
        for found in self.indexes.find_many(digests):
            for span in found.spans(_SPAN, _GAP):
                yield found, span

    def recipes(self) -> Iterator[tuple[str, Recipe]]:
        """The files that are made of chunks, and how."""
        for index in self.indexes.all():
            for row in (index.kinds == Kind.RECIPE).nonzero()[0]:
                digest = index.hex(row)
                yield digest, self._recipe(digest, index.place(row))

    def recipe(self, digest: str) -> Recipe | None:
        """How a file is made of chunks, if it is."""
        place = self.indexes.find(bytes.fromhex(digest))
        return self._recipe(digest, place) if place and place.kind is Kind.RECIPE else None

    def external(self, digest: str) -> BucketObject | None:
        """Where a content lies in a bucket, if it does."""
        place = self.indexes.find(bytes.fromhex(digest))
        return self._external(digest, place) if place and place.kind is Kind.EXTERNAL else None

    def externals(self, digests: Sequence[str]) -> dict[str, BucketObject]:
        """Where contents lie that do in buckets, by digest."""
        import numpy as np

        if not any((index.kinds == Kind.EXTERNAL).any() for index in self.indexes.all()):
            return {}
        wanted = list(dict.fromkeys(digests))
        rows = np.frombuffer(bytes.fromhex("".join(wanted)), np.uint8).reshape(-1, 32)
        objects = {}
        for found in self.indexes.find_many(rows, (Kind.EXTERNAL,)):
            for span in found.spans(_SPAN, _GAP):
                data, begin = self._span(found, span), int(found.offsets[span.start])
                for at in range(span.start, span.stop):
                    place, digest = found.place(at), wanted[found.rows[at]]
                    start = place.offset - begin
                    objects[digest] = self._object(digest, place, data[start : start + place.stored])
        return objects

    # ── within ───────────────────────────────────────────────────────────

    def _span(self, found: Located, span: slice) -> bytes:
        last = span.stop - 1
        return self._range(
            found.pack, int(found.offsets[span.start]), int(found.offsets[last] + found.stored[last])
        )

    def _cut(
        self, digests: NDArray[np.uint8], read: Future[bytes], found: Located, span: slice
    ) -> Iterator[tuple[int, bytes]]:
        """The contents of a piece; no object is made for each, because there may be a million."""
        data, rows = read.result(), found.rows[span]
        raw = digests[rows].tobytes()
        starts = found.offsets[span] - found.offsets[span.start]
        columns = (
            starts,
            starts + found.stored[span],
            found.lengths[span],
            found.kinds[span] == Kind.ZSTD,
        )
        contents = cut(data, raw, *(one.tolist() for one in columns))
        for at, (row, content) in enumerate(zip(rows.tolist(), contents, strict=True)):
            if content is not None:
                yield row, content
            else:
                digest = raw[at * 32 : at * 32 + 32].hex()
                yield row, self._unpack(digest, found.place(span.start + at))

    def _unpack(self, digest: str, place: Place) -> bytes:
        raw = bytes.fromhex(digest)
        found = self._sound(place.pack, place.offset, place.stored, partial(_opened, raw, place))
        if found is None:
            raise self._corrupt(digest, place)
        return found

    def _range(self, pack: str, start: int, end: int) -> bytes:
        return self._stretch(pack, self.blobs.path(pack), start, end - start)

    def _sound(
        self, blob: str, start: int, length: int, opened: Callable[[bytes], bytes | None]
    ) -> bytes | None:
        """What a stretch of a blob holds; None if it is damaged, also when what was cached is read anew."""
        for _ in range(2):
            found = opened(self._range(blob, start, start + length))
            if found is not None or not self.blobs.forget(blob, start, start + length):
                return found
        return None

    def _external(self, digest: str, place: Place) -> BucketObject:
        stored = self._range(place.pack, place.offset, place.offset + place.stored)
        return self._object(digest, place, stored)

    def _object(self, digest: str, place: Place, stored: bytes) -> BucketObject:
        if _opened(bytes.fromhex(digest), place, stored) is None:
            stored = self._unpack(digest, place)
        return decode_object(stored, f"content {digest[:12]} in pack {place.pack[:12]}")

    def _recipe(self, digest: str, place: Place) -> Recipe:
        stored = self._range(place.pack, place.offset, place.offset + place.stored)
        return decode_recipe(stored, f"content {digest[:12]} in pack {place.pack[:12]}")

    def _chunks(self, recipe: Recipe, digest: str, start: int, end: int) -> Iterator[bytes]:
        import numpy as np

        bases = [self.blobs.path(base) for base in recipe.bases]
        ends = np.cumsum(recipe.lengths.astype(np.int64))
        first = int(np.searchsorted(ends, start, side="right"))
        at = int(ends[first - 1]) if first else 0
        for row in range(first, len(recipe)):
            if at >= end:
                return
            length, source = int(recipe.lengths[row]), int(recipe.sources[row])
            wanted = recipe.digests[row].tobytes().hex()
            if source == OWN:
                piece = self.read(wanted, length)
            else:
                offset = int(recipe.offsets[row])
                piece = self._stretch(recipe.bases[source], bases[source], offset, length)
                if digest_bytes(piece) != wanted:
                    raw = recipe.digests[row].tobytes()
                    again = self._sound(recipe.bases[source], offset, length, partial(_checked, raw))
                    if again is None:
                        raise self._corrupt(digest)
                    piece = again
            yield piece[max(0, start - at) : end - at]
            at += length

    def _stretch(self, base: str, path: Path | None, offset: int, length: int) -> bytes:
        """A part of a blob."""
        if path is None:
            return b"".join(self.blobs.stream(base, offset, offset + length))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def _corrupt(self, digest: str, place: Place | None = None) -> CorruptData:
        return CorruptData(
            f"content {digest[:12]} is not what was stored",
            where=f"pack {place.pack[:12]}" if place else "the blob store",
            fix="`treadle data verify --repair` tells which files have it, and fetches it again",
        )


def _opened(digest: bytes, place: Place, stored: bytes) -> bytes | None:
    """What is stored at a place, if it is the content of that digest."""
    return _checked(digest, unzip(stored, place.length) if place.kind is Kind.ZSTD else stored)


def _checked(digest: bytes, content: bytes | None) -> bytes | None:
    from blake3 import blake3

    return content if content is not None and blake3(content).digest() == digest else None
