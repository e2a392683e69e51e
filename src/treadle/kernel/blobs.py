"""The blob store: immutable bytes under the digest of their content, in a folder or a bucket.

A blob is whole or absent: the store publishes it in one step, and every read is
checked against the digest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from treadle.kernel.copying import copy_hashed, hash_file
from treadle.kernel.errors import CorruptData, NotFound, StorageError
from treadle.kernel.fence import Fence, StoredBlob
from treadle.kernel.files import replacing, storage_errors, sync
from treadle.kernel.ids import digest_bytes, digest_file
from treadle.kernel.object_errors import object_errors
from treadle.kernel.uploads import BlobUpload

if TYPE_CHECKING:
    from obstore.store import ObjectStore


# obstore takes these apart from the store's own; it panics when they are mixed.
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "timeout")


_PIECE = 4 << 20
_LARGE = 1 << 20  # from here on a copy within the kernel pays


class BlobStore(Protocol):
    """Keeps bytes by the BLAKE3 digest of their content."""

    def put(self, data: bytes) -> str:
        """Keeps some bytes; returns their digest."""

    def put_file(self, path: Path) -> str:
        """Keeps a file's bytes; returns their digest."""

    def link_file(self, path: Path) -> str:
        """Keeps a file by a link where it can; the file must not be written to any more."""

    def path(self, digest: str) -> Path | None:
        """The file that has the bytes of a digest, where the store is a folder."""

    def tail(self, digest: str, length: int) -> bytes:
        """The last so many of a digest's bytes."""

    def get(self, digest: str) -> bytes:
        """The bytes of a digest."""

    def fetch(self, digest: str, path: Path) -> None:
        """Writes the bytes of a digest to a file, atomically."""

    def has(self, digest: str) -> bool:
        """Whether the bytes of a digest are kept here."""

    def stream(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of a digest, or those from ``start`` to before ``end``, piece by piece."""

    def upload(self, stage: str | None = None) -> BlobUpload:
        """Takes bytes piece by piece; on a stage, if one is named, they are a piece of a later blob."""

    def staged(self, stage: str, digest: str) -> bool:
        """Whether a piece is on a stage."""

    def join(self, stage: str, digests: Sequence[str]) -> tuple[str, int]:
        """Makes one blob of a stage's pieces; returns its digest and size."""

    def drop(self, stage: str) -> None:
        """Drops a stage with its pieces."""

    def drop_stale(self, before: datetime) -> None:
        """Drops every stage's pieces that were put before a moment."""

    def claim(self, digest: str) -> bool:
        """Whether the bytes of a digest are kept here, and for the next hour in any case."""

    def stored(self) -> Iterator[StoredBlob]:
        """Every blob that is kept here."""

    def now(self) -> datetime:
        """The time by the store's own clock."""

    def remove(self, digest: str, before: datetime) -> bool:
        """Removes the bytes of a digest if nobody has put or claimed them since a moment."""

    def sweep(self, before: datetime) -> None:
        """Removes what was left before a moment by claims and collectors that were killed."""


class ObjectBlobStore:
    """Blobs in any object store that obstore reaches: folder, memory, S3, GCS, Azure.

    Args:
        store: The object store.
        name: What to call it in errors.
        folder: The folder that it is, if it is one: uploads grow there and are moved in place.
    """

    def __init__(self, store: ObjectStore, name: str, folder: Path | None = None) -> None:
        self._store = store
        self._name = name
        self._folder = folder
        self._fence = Fence(store, folder)

    @staticmethod
    def _key(digest: str) -> str:
        return f"b3/{digest[:2]}/{digest[2:]}"

    def _errors(self, digest: str) -> AbstractContextManager[None]:
        return object_errors(digest, self._name)

    def put(self, data: bytes) -> str:
        """Keeps some bytes; returns their digest. Keeping them twice costs nothing.

        Raises:
            StorageFull: If no space is left; nothing half-written stays.
            StorageError: If the store can't be written.
        """
        import obstore

        digest = digest_bytes(data)
        with self._errors(digest):
            while not self.claim(digest):
                obstore.put(self._store, self._key(digest), data)
                if self._fence.is_safe(self._key(digest)):
                    break
        return digest

    def put_file(self, path: Path) -> str:
        """Keeps a file's bytes; returns their digest.

        Raises:
            CorruptData: If the file changed while it was read.
            StorageFull: If no space is left; nothing half-written stays.
            StorageError: If the store can't be written.
        """
        if self._folder is not None and _size(path) >= _LARGE:
            return self._take(path)
        import obstore

        with storage_errors(str(path)):
            digest = digest_file(path)
        with self._errors(digest):
            while not self.claim(digest):
                obstore.put(self._store, self._key(digest), _checked(path, digest))
                if self._fence.is_safe(self._key(digest)):
                    break
        return digest

    def _take(self, path: Path) -> str:
        """Copies a file into the folder and hashes it on the way, so that it is read once."""
        with self._temporary() as temporary:
            digest = copy_hashed(path, temporary)
            if not self.claim(digest):
                self._place(temporary, self._key(digest), digest)
        return digest

    def link_file(self, path: Path) -> str:
        """Keeps a file by a hard link to it, without a copy; where it can't, by a copy.

        Whoever has the file must not write to it any more: it is made read-only.

        Raises:
            CorruptData: If the file changed while it was read.
            StorageError: If the store can't be written.
        """
        if self._folder is None:
            return self.put_file(path)
        digest = hash_file(path)
        if self.claim(digest):
            return digest
        with self._temporary() as temporary:
            try:
                os.link(path, temporary)
            except OSError:
                return self._take(path)
            temporary.chmod(0o444)
            sync(temporary)
            self._place(temporary, self._key(digest), digest)
        return digest

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A path in the folder for a file that is placed or goes."""
        assert self._folder is not None  # noqa: S101 - buckets have no files
        folder = self._folder / "tmp"
        temporary = folder / f"{secrets.token_hex(16)}.upload"
        with storage_errors(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def path(self, digest: str) -> Path | None:
        """The file that has the bytes of a digest, where the store is a folder; not to be written to."""
        if self._folder is None:
            return None
        path = self._folder / self._key(digest)
        return path if path.is_file() else None

    def tail(self, digest: str, length: int) -> bytes:
        """The last so many of a digest's bytes, or all if there are fewer. They can't be checked.

        Raises:
            NotFound: If they aren't kept here.
        """
        import obstore

        with self._errors(digest):
            if self._folder is not None:
                with (self._folder / self._key(digest)).open("rb", buffering=0) as file:
                    file.seek(max(0, file.seek(0, os.SEEK_END) - length))
                    return file.read()
            found = obstore.get(self._store, self._key(digest), options={"range": {"suffix": length}})
            return bytes(found.bytes())

    def get(self, digest: str) -> bytes:
        """The bytes of a digest.

        Raises:
            NotFound: If they aren't kept here.
            CorruptData: If what is kept isn't what was put.
        """
        import obstore

        with self._errors(digest):
            data = bytes(obstore.get(self._store, self._key(digest)).bytes())
        if digest_bytes(data) != digest:
            raise self._corrupt(digest)
        return data

    def fetch(self, digest: str, path: Path) -> None:
        """Writes the bytes of a digest to a file, atomically and checked.

        Raises:
            NotFound: If they aren't kept here.
            CorruptData: If what is kept isn't what was put; ``path`` stays as it was.
        """
        import obstore

        with self._errors(digest):
            found = obstore.get(self._store, self._key(digest))
        with self._errors(digest), replacing(path) as temporary:
            with temporary.open("wb") as file:
                for chunk in found.stream(min_chunk_size=1 << 20):
                    file.write(chunk)
            if digest_file(temporary) != digest:
                raise self._corrupt(digest)

    def has(self, digest: str) -> bool:
        """Whether the bytes of a digest are kept here."""
        import obstore

        try:
            with self._errors(digest):
                obstore.head(self._store, self._key(digest))
        except NotFound:
            return False
        return True

    def stream(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of a digest, or those from ``start`` to before ``end``, piece by piece.

        The whole is checked: its last piece comes only if it is what was put. A part can't be.

        Raises:
            NotFound: If they aren't kept here.
            CorruptData: Instead of the last piece, if what is kept isn't what was put.
        """
        from blake3 import blake3

        pieces = self._read(self._key(digest), digest, start, end)
        if start or end is not None:
            yield from pieces
            return
        hasher, last = blake3(), b""
        for piece in pieces:
            if last:
                yield last
            hasher.update(piece)
            last = piece
        if hasher.hexdigest() != digest:
            raise self._corrupt(digest)
        yield last

    def _read(self, key: str, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        import obstore

        with self._errors(digest):
            if self._folder is not None:
                with (self._folder / key).open("rb", buffering=0) as file:
                    file.seek(start)
                    left = _PIECE if end is None else end - start
                    while left > 0 and (piece := file.read(min(_PIECE, left))):
                        yield piece
                        left -= 0 if end is None else len(piece)
                return
            if end is not None and end <= start:
                return
            options: Any = {"range": {"offset": start} if end is None else (start, end)}
            found = obstore.get(self._store, key, options=options if start or end is not None else None)
            for chunk in found.stream(min_chunk_size=_PIECE):
                yield bytes(chunk)

    def upload(self, stage: str | None = None) -> BlobUpload:
        """Takes bytes piece by piece; on a stage, if one is named, they are a piece of a later blob.

        Raises:
            StorageError: If there is nowhere to write them.
        """
        folder = Path(tempfile.gettempdir()) / "treadle" if self._folder is None else self._folder / "tmp"

        def keep(path: Path, digest: str) -> None:
            if stage is not None:
                self._place(path, f"stages/{stage}/{digest}", digest)
                return
            while not self.claim(digest):
                self._place(path, self._key(digest), digest)
                if self._fence.is_safe(self._key(digest)):
                    break

        return BlobUpload(folder, keep)

    def _place(self, path: Path, key: str, digest: str) -> None:
        import obstore

        with self._errors(digest):
            if self._folder is None:
                obstore.put(self._store, key, path)
                return
            place = self._folder / key
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
            sync(place.parent)

    def staged(self, stage: str, digest: str) -> bool:
        """Whether a piece is on a stage."""
        import obstore

        try:
            with self._errors(digest):
                obstore.head(self._store, f"stages/{stage}/{digest}")
        except NotFound:
            return False
        return True

    def join(self, stage: str, digests: Sequence[str]) -> tuple[str, int]:
        """Makes one blob of a stage's pieces; returns its digest and size. The stage stays.

        Raises:
            NotFound: If a piece isn't on the stage.
            StorageError: If the store can't be read or written; nothing half-written stays.
        """
        with self.upload() as whole:
            for digest in digests:
                for piece in self._read(f"stages/{stage}/{digest}", digest):
                    whole.write(piece)
            return whole.finish(), whole.size

    def drop(self, stage: str) -> None:
        """Drops a stage with its pieces; one that isn't there is dropped already."""
        import obstore

        with self._errors(stage):
            if self._folder is not None:
                shutil.rmtree(self._folder / "stages" / stage, ignore_errors=True)
                return
            for found in obstore.list(self._store, prefix=f"stages/{stage}"):
                obstore.delete(self._store, [piece["path"] for piece in found])

    def drop_stale(self, before: datetime) -> None:
        """Drops every stage's pieces that were put before a moment: nobody will join them."""
        import obstore

        with self._errors("stages"):
            for found in obstore.list(self._store, prefix="stages"):
                old = [piece["path"] for piece in found if piece["last_modified"] < before]
                if old:
                    obstore.delete(self._store, old)

    def claim(self, digest: str) -> bool:
        """Whether the bytes of a digest are kept here; if so, no collector takes them for an hour."""
        with self._errors(digest):
            return self._fence.renew(self._key(digest))

    def stored(self) -> Iterator[StoredBlob]:
        """Every blob that is kept here, in no order."""
        with self._errors("blobs"):
            yield from self._fence.stored()

    def now(self) -> datetime:
        """The time by the store's own clock: what blobs are dated by."""
        with self._errors("clock"):
            return self._fence.now()

    def remove(self, digest: str, before: datetime) -> bool:
        """Removes the bytes of a digest if nobody has put or claimed them since a moment.

        Args:
            digest: Which.
            before: By the store's clock, and at least an hour ago, or a blob whose row is
                about to be written could go.

        Returns:
            Whether they were removed.
        """
        with self._errors(digest):
            return self._fence.remove(self._key(digest), before)

    def sweep(self, before: datetime) -> None:
        """Removes what was left before a moment by claims and collectors that were killed."""
        with self._errors("leftovers"):
            self._fence.sweep(before)

    def _corrupt(self, digest: str) -> CorruptData:
        return CorruptData(
            f"blob {digest[:12]} is not what was stored",
            where=self._name,
            fix="restore the blob store from its backup; this content can't be trusted",
        )


def _size(path: Path) -> int:
    with storage_errors(str(path)):
        return path.stat().st_size


def _checked(path: Path, digest: str) -> Iterator[bytes]:
    """A file's bytes; an error instead of their end, which stops the upload, if they aren't the digest's."""
    from blake3 import blake3

    hasher = blake3()
    with storage_errors(str(path)), path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
            yield chunk
    if hasher.hexdigest() != digest:
        raise CorruptData("the file changed while it was read", where=str(path), fix="add it again")


def open_blobs(url: str, root: Path, options: dict[str, str]) -> ObjectBlobStore:
    """Opens the blob store at a URL.

    Args:
        url: A folder (relative to ``root``), or ``s3://bucket/prefix``.
        root: The project's folder.
        options: The object store's options, such as ``endpoint``.

    Raises:
        StorageError: If the folder can't be made or the URL isn't known.
    """
    from obstore.store import LocalStore, from_url

    try:
        if "://" in url:
            client: Any = {key: value for key, value in options.items() if key in _CLIENT_OPTIONS}
            store: Any = {key: value for key, value in options.items() if key not in client}
            return ObjectBlobStore(from_url(url, client_options=client, **store), url)
        folder = root / url
        folder.mkdir(parents=True, exist_ok=True)
        return ObjectBlobStore(LocalStore(folder), str(folder), folder)
    except Exception as error:  # obstore's errors share no public base
        first = str(error).partition("\n")[0]
        raise StorageError(
            f"the blob store can't be opened: {first}",
            where=url,
            fix="[store] blobs is a folder that can be written, or a URL such as s3://bucket/prefix",
        ) from error
