"""Writing packs: contents are gathered until a pack is full, and pages in packs of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from treadle.data.storage.packs import Kind, Pack, Rows, end_pieces
from treadle.data.storage.seen import Seen
from treadle.kernel.blobs import BlobStore
from treadle.kernel.buckets import BucketObject
from treadle.kernel.ids import digest_bytes
from treadle.kernel.uploads import BlobUpload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACK_SIZE = 64 << 20
"""A pack is closed when it has so many bytes."""

_MOST = 1 << 17  # contents of a pack, so that its index is small

_BATCH = 2 << 20
_LARGE = 64 << 10  # pieces of that size are written as they are; smaller ones are put together first
_TRIES = 16
_WAITING = 24
_RAW, _ZSTD = int(Kind.RAW), int(Kind.ZSTD)  # an enumeration's members are slow to look up


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the new packs.

    Attributes:
        packs: Of contents.
        pages: Of pages.
    """

    packs: tuple[Pack, ...] = ()
    pages: tuple[Pack, ...] = ()


class Squeezer:
    """Compresses what shrinks by an eighth, and stops trying where nothing does."""

    def __init__(self) -> None:
        self._compressor: Any = None
        self._misses = 0
        self._skip = 0

    def squeeze(self, data: bytes) -> tuple[bytes, int]:
        """The stored form of some bytes, and how it is stored."""
        if len(data) < 64:
            return data, _RAW
        if self._misses >= _TRIES:
            self._skip += 1
            if self._skip % _TRIES:
                return data, _RAW
        if self._compressor is None:
            import zstandard

            self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)
        squeezed: bytes = self._compressor.compress(data)
        if len(squeezed) > len(data) - len(data) // 8:
            self._misses += 1
            return data, _RAW
        self._misses = 0
        return squeezed, _ZSTD


class PackWriter:
    """Gathers contents and pages into packs. Nothing is lost or visible until a version names the packs.

    It is for one thread. Full packs are hashed, synced and sent by another one meanwhile.

    Args:
        blobs: Where packs are kept.
        known: Says of a digest whether it needn't be kept again; of none, when left out.
        size: When a pack is full, in bytes; :data:`PACK_SIZE` when left out.
        distinct: Whether no content comes twice: then none is remembered, of a million 50 MB. One that does
            come twice after all is kept twice.
    """

    def __init__(
        self,
        blobs: BlobStore,
        known: Callable[[bytes], bool] | None = None,
        size: int | None = None,
        *,
        distinct: bool = False,
    ) -> None:
        size = size or PACK_SIZE
        self._known = known
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="treadle-pack")
        self._contents = _Open(blobs, size, self._sender, distinct=distinct)
        self._pages = _Open(blobs, size, self._sender)

    def put(self, data: bytes) -> str:
        """Keeps some bytes; returns their digest. Keeping them twice costs nothing.

        Raises:
            StorageFull: If no space is left.
            StorageError: If the store can't be written.
        """
        digest = digest_bytes(data)
        self.put_as(bytes.fromhex(digest), data)
        return digest

    def put_as(self, digest: bytes, data: bytes) -> None:
        """Keeps some bytes whose digest is known; else as :meth:`put`."""
        if data and not (self._known and self._known(digest)):
            self._contents.add(digest, data, len(data), None)

    def put_many(
        self,
        digests: NDArray[np.uint8],
        contents: Sequence[bytes],
        lengths: Sequence[int] | None = None,
        kind: Kind | None = None,
    ) -> None:
        """Keeps contents whose digests are known, without asking what needn't be kept again.

        Args:
            digests: uint8 of shape (n, 32).
            contents: What is stored, n of them.
            lengths: How many bytes they have, where that isn't what is stored.
            kind: How they are stored; as they are or compressed when None.

        Raises:
            StorageFull: If no space is left.
            StorageError: If the store can't be written.
        """
        self._contents.add_many(digests, contents, lengths, kind)

    def put_recipe(self, digest: bytes, recipe: bytes, length: int) -> None:
        """Keeps how a file of that digest and length is made of chunks; else as :meth:`put`."""
        self._contents.add(digest, recipe, length, Kind.RECIPE)

    def put_external(self, one: BucketObject) -> str:
        """Keeps where an object lies; returns the digest of that. Else as :meth:`put`."""
        stored = msgspec.json.encode(one)
        digest = digest_bytes(stored)
        raw = bytes.fromhex(digest)
        if not (self._known and self._known(raw)):
            self._contents.add(raw, stored, one.size, Kind.EXTERNAL)
        return digest

    def put_page(self, data: bytes) -> str:
        """Keeps a page of a tree; else as :meth:`put`."""
        digest = digest_bytes(data)
        raw = bytes.fromhex(digest)
        if not (self._known and self._known(raw)):
            self._pages.add(raw, data, len(data), None)
        return digest

    def finish(self) -> Written:
        """Closes the packs; returns what was written, all of it on the disk or in the bucket.

        Raises:
            StorageFull: If no space is left.
            StorageError: If the store can't be written.
        """
        try:
            return Written(self._contents.finish(), self._pages.finish())
        finally:
            self.close()

    def close(self) -> None:
        """Drops what wasn't finished."""
        self._sender.shutdown()
        self._contents.drop()
        self._pages.drop()

    def __enter__(self) -> Self:
        """The writer; what isn't finished when the block ends is dropped."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drops what wasn't finished."""
        self.close()


class _Open:
    """A pack that is being filled, and those before it that are on their way."""

    def __init__(
        self, blobs: BlobStore, size: int, sender: ThreadPoolExecutor, *, distinct: bool = False
    ) -> None:
        self._blobs, self._size, self._sender = blobs, size, sender
        self._squeezer = Squeezer()
        self._sent: list[Pack] = []
        self._waiting: deque[Future[None]] = deque()
        self._seen = None if distinct else Seen()
        self._begin()

    def _begin(self) -> None:
        self._rows = Rows()
        self._batch: list[bytes] = []
        self._batched = self._offset = 0
        self._upload: BlobUpload | None = None

    def add(self, digest: bytes, data: bytes, length: int, kind: Kind | None) -> None:
        if self._seen is None or self._seen.add(digest):
            self._append(digest, data, length, kind)

    def add_many(
        self,
        digests: NDArray[np.uint8],
        contents: Sequence[bytes],
        lengths: Sequence[int] | None,
        kind: Kind | None,
    ) -> None:
        new = (
            range(len(contents)) if self._seen is None else self._seen.add_many(digests).nonzero()[0].tolist()
        )
        for row in new:
            data = contents[row]
            if data:
                length = lengths[row] if lengths else len(data)
                self._append(digests[row].tobytes(), data, length, kind)

    def _append(self, digest: bytes, data: bytes, length: int, kind: Kind | None) -> None:
        stored, how = self._squeezer.squeeze(data) if kind is None else (data, int(kind))
        self._rows.add(digest, self._offset, len(stored), length, how)
        self._batch.append(stored)
        self._batched += len(stored)
        self._offset += len(stored)
        if self._batched >= _BATCH:
            self._flush()
        if self._offset >= self._size or len(self._rows) >= _MOST:
            self._send()

    def _flush(self) -> None:
        if self._upload is None:
            self._upload = self._blobs.upload()
        large = self._batched >= _LARGE * len(self._batch)
        self._submit(_write, self._upload, self._batch if large else [b"".join(self._batch)])
        self._batch, self._batched = [], 0

    def _submit(self, function: Callable[..., Any], *arguments: object) -> None:
        """Lets the other thread do something after all else; waits where too much is waiting."""
        self._waiting.append(self._sender.submit(function, *arguments))
        if len(self._waiting) > _WAITING:
            self._waiting.popleft().result()

    def _send(self) -> None:
        self._flush()
        assert self._upload is not None  # noqa: S101 - it was flushed
        for piece in end_pieces(self._rows.index("")):
            self._submit(self._upload.write, piece)
        self._submit(self._close, self._upload)
        self._begin()

    def _close(self, upload: BlobUpload) -> None:
        self._sent.append(Pack(upload.finish(), upload.size))

    def finish(self) -> tuple[Pack, ...]:
        if len(self._rows):
            self._send()
        while self._waiting:
            self._waiting.popleft().result()
        return tuple(self._sent)

    def drop(self) -> None:
        if self._upload is not None:
            self._upload.close()
            self._upload = None


def _write(upload: BlobUpload, pieces: list[bytes]) -> None:
    for piece in pieces:
        upload.write(piece)
