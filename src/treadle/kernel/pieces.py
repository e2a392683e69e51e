"""Large blobs in a bucket that were sent in pieces, so that a killed process needn't send them again.

Beside the key of a blob lie the folder ``KEY.pieces``, with one object for each piece under the
digest of its bytes, and ``KEY.pieces.json``, which lists them and is written last: until then
the blob isn't there. A piece is 16 MiB; larger where that would be more than 4,096 of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from treadle.kernel.errors import CorruptData, NotFound, StorageError
from treadle.kernel.fence import LIST, PIECES, Fence
from treadle.kernel.ids import digest_bytes
from treadle.kernel.object_errors import object_errors

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PIECE = 16 << 20
"""The size of a piece in bytes."""

_MOST = 4096
_KEPT = 256
_READ = 256 << 10  # larger ones cost twice as many page faults
_MD5 = re.compile(r'^(?:W/)?"?([0-9a-f]{32})"?$')


def piece_size(size: int) -> int:
    """How large the pieces are of a blob of so many bytes: all who send it cut it alike."""
    piece = PIECE
    while size > piece * _MOST:
        piece *= 2
    return piece


def pour(chunks: Iterable[Any], buffer: memoryview) -> Iterator[int]:
    """Puts buffers one after another into one; says how many bytes came, time after time."""
    for chunk in chunks:
        count = len(chunk)
        buffer[:count] = memoryview(chunk)
        buffer = buffer[count:]
        yield count


class PieceList(msgspec.Struct, frozen=True):
    """What a blob's pieces are.

    Attributes:
        size: Of the blob, in bytes.
        piece: Of each piece but the last, in bytes.
        digests: Of the pieces, in their order.
        format: 1.
    """

    size: int
    piece: int
    digests: tuple[str, ...]
    format: int = 1


class _Span(NamedTuple):
    """A piece, or a stretch of it, of what is read."""

    path: str
    digest: str
    start: int
    end: int
    is_whole: bool


class Pieces:
    """Blobs in pieces in one bucket.

    Args:
        store: The bucket.
        fence: Between those who put blobs there and the collector.
        name: What the store is called in errors.
        plain: Whether bytes travel unencrypted, so that nothing sees to it that they arrive as
            they were sent: then the store's MD5 is compared, or they are read again if it tells none.
    """

    def __init__(self, store: ObjectStore, fence: Fence, name: str, plain: bool) -> None:
        self._store, self._fence, self._name, self._plain = store, fence, name, plain
        self._lists: dict[str, PieceList] = {}
        self._decoder = msgspec.json.Decoder(PieceList)  # before there are threads: see kernel.decoding

    # ── reading ──────────────────────────────────────────────────────────

    def find(self, key: str) -> PieceList | None:
        """What a blob's pieces are, if it is in pieces.

        Raises:
            CorruptData: If their list can't be read.
        """
        import obstore

        known = self._lists.get(key)
        if known is None:
            try:
                with object_errors(_digest(key), self._name):
                    data = bytes(obstore.get(self._store, f"{key}.{LIST}").bytes())
            except NotFound:
                return None
            try:
                known = self._decoder.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise self._damaged(key, "the list of its pieces can't be read") from error
            if known.format != 1:
                raise self._damaged(key, f"its pieces have format {known.format}; upgrade Treadle")
            if len(self._lists) >= _KEPT:
                self._lists.clear()
            self._lists[key] = known
        return known

    def knows(self, key: str) -> bool:
        """Whether a blob was found in pieces before: then nobody needs to look for it in one."""
        return key in self._lists

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[Any]:
        """The bytes of a blob, or those from ``start`` to before ``end``, as buffers; whole pieces checked.

        Raises:
            NotFound: If it isn't here in pieces.
            CorruptData: If a piece isn't what was put.
        """
        import obstore

        for span in self._spans(key, start, end):
            with self._errors(key, span):
                if span.is_whole:
                    data: Any = obstore.get(self._store, span.path).bytes()
                else:
                    data = obstore.get_range(self._store, span.path, start=span.start, end=span.end)
            if span.is_whole and digest_bytes(data) != span.digest:
                raise self._damaged(key, f"its piece {span.digest[:12]} is not what was stored")
            yield data

    def fill(self, key: str, start: int, buffer: memoryview) -> Iterator[int]:
        """Fills a buffer with a blob's bytes from ``start`` on; says how many came, time after time.

        Nothing is checked; :meth:`fits` tells afterwards.

        Raises:
            NotFound: If it isn't here in pieces.
            CorruptData: If a piece is missing.
        """
        import obstore

        for span in self._spans(key, start, start + len(buffer)):
            with self._errors(key, span):
                options: Any = None if span.is_whole else {"range": (span.start, span.end)}
                chunks = obstore.get(self._store, span.path, options=options).stream(_READ)
                yield from pour(chunks, buffer)
                buffer = buffer[span.end - span.start :]

    def fits(self, key: str, start: int, data: memoryview) -> bool | None:
        """Whether bytes are a blob's from ``start`` on, if they are a whole piece; else None."""
        found = self.find(key)
        if found is None or start % found.piece or len(data) != min(found.piece, found.size - start):
            return None
        return digest_bytes(data) == found.digests[start // found.piece]

    def _spans(self, key: str, start: int, end: int | None) -> Iterator[_Span]:
        found = self.find(key)
        if found is None:
            raise NotFound(f"blob {_digest(key)[:12]} is not in the store", where=self._name)
        end = found.size if end is None else min(end, found.size)
        for number in range(start // found.piece, -(-end // found.piece)):
            begin, digest = number * found.piece, found.digests[number]
            length = min(found.piece, found.size - begin)
            first, last = max(0, start - begin), min(length, end - begin)
            yield _Span(f"{key}.{PIECES}/{digest}", digest, first, last, (first, last) == (0, length))

    @contextlib.contextmanager
    def _errors(self, key: str, span: _Span) -> Iterator[None]:
        try:
            with object_errors(_digest(key), self._name):
                yield
        except NotFound:
            raise self._damaged(key, f"its piece {span.digest[:12]} is missing") from None

    # ── putting ──────────────────────────────────────────────────────────

    def there(self, key: str) -> set[str]:
        """The digests of the pieces of a blob that are here, whether or not all are."""
        import obstore

        with object_errors(_digest(key), self._name):
            return {
                one["path"].rpartition("/")[2]
                for found in obstore.list(self._store, prefix=f"{key}.{PIECES}")
                for one in found
            }

    def put(self, key: str, data: bytes | memoryview, digest: str) -> None:
        """Keeps a piece under its digest.

        Raises:
            StorageError: If the store can't be written, or what arrived isn't what was sent.
        """
        self.put_checked(f"{key}.{PIECES}/{digest}", data, digest)

    def put_checked(self, path: str, data: bytes | memoryview, digest: str) -> None:
        """Puts an object in one request and sees that it arrived as it was sent; raises as :meth:`put`."""
        import obstore

        with object_errors(digest, self._name):
            tag = obstore.put(self._store, path, data, use_multipart=False)["e_tag"] or ""
            known = _MD5.match(tag)
            if not self._plain:
                return  # TLS sees to it
            if known is None or known[1] != hashlib.md5(data, usedforsecurity=False).hexdigest():
                if digest_bytes(bytes(obstore.get(self._store, path).bytes())) == digest:
                    return
                obstore.delete(self._store, path)
                raise StorageError(
                    "what arrived is not what was sent",
                    where=self._name,
                    fix="the network or the store damages bytes; use https, and run the same command again",
                )

    def seal(self, key: str, found: PieceList) -> bool:
        """Writes the list of a blob's pieces, so that it is there; returns whether all of it is.

        If not, a collector took some of them meanwhile: put them again.
        """
        path = f"{key}.{LIST}"
        self.put_checked(path, msgspec.json.encode(found), digest_bytes(msgspec.json.encode(found)))
        with object_errors(_digest(key), self._name):
            return self._fence.is_safe(path) and self._is_whole(key, found)

    def _is_whole(self, key: str, found: PieceList | None) -> bool:
        """Whether all pieces of a blob are there; if not, their list goes as well."""
        import obstore

        if found is not None and set(found.digests) <= self.there(key):
            return True
        self._lists.pop(key, None)
        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, f"{key}.{LIST}")
        return False

    # ── staying and going ────────────────────────────────────────────────

    def claim(self, key: str) -> bool:
        """Whether a blob is here in pieces; if so, no collector takes it for an hour."""
        return self._fence.renew(f"{key}.{LIST}", lambda: self._is_whole(key, self.find(key)))

    def remove(self, key: str, before: datetime) -> bool:
        """Removes a blob with its pieces if nobody has put or claimed it since a moment."""
        self._lists.pop(key, None)
        return self._fence.remove(f"{key}.{LIST}", before, beneath=f"{key}.{PIECES}")

    def drop(self, key: str) -> None:
        """Removes a blob with its pieces, however young, for it is damaged."""
        import obstore

        self._lists.pop(key, None)
        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, f"{key}.{LIST}")
        for found in obstore.list(self._store, prefix=f"{key}.{PIECES}"):
            obstore.delete(self._store, [one["path"] for one in found])

    def _damaged(self, key: str, why: str) -> CorruptData:
        return CorruptData(
            f"blob {_digest(key)[:12]} is damaged: {why}",
            where=self._name,
            fix="`treadle data verify --repair` mends it from a copy that is whole",
        )


def _digest(key: str) -> str:
    return key.removeprefix("b3/").replace("/", "")
