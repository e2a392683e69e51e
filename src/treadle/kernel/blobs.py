"""The blob store: immutable bytes under the digest of their content, in a folder or a bucket.

A blob is whole or absent: the store publishes it in one step, and every read is
checked against the digest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.kernel.blob_store import BlobStore
from treadle.kernel.copying import copy_hashed, hash_file, read_checked
from treadle.kernel.errors import CorruptData, NotFound, StorageError
from treadle.kernel.fence import Fence
from treadle.kernel.files import replacing, storage_errors, sync
from treadle.kernel.ids import digest_bytes, digest_file
from treadle.kernel.object_errors import object_errors
from treadle.kernel.object_stores import open_store
from treadle.kernel.parts import FilePart, ObjectPart, Part, PiecePart
from treadle.kernel.pieces import PIECE, PieceList, Pieces, pour
from treadle.kernel.upkeep import Upkeep
from treadle.kernel.uploads import BlobUpload

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["BlobStore", "ObjectBlobStore", "open_blobs"]

_PIECE = 4 << 20
_READ = 256 << 10  # larger ones cost twice as many page faults
_READINGS = 4
_LARGE = 1 << 20  # from here on a copy within the kernel pays


class ObjectBlobStore(Upkeep):
    """Blobs in any object store that obstore reaches: folder, memory, S3, GCS, Azure.

    Args:
        store: The object store.
        name: What to call it in errors.
        folder: The folder that it is, if it is one: uploads grow there and are moved in place.
        plain: Whether bytes travel to it unencrypted.
    """

    def __init__(
        self, store: ObjectStore, name: str, folder: Path | None = None, *, plain: bool = False
    ) -> None:
        self._store = store
        self._name = name
        self._folder = folder
        self._fence = Fence(store, folder)
        self._plain = plain
        self._pieces = Pieces(store, self._fence, name, plain)

    @property
    def objects(self) -> ObjectStore:
        """The object store that it is in."""
        return self._store

    @property
    def folder(self) -> Path | None:
        """The folder that it is, if it is one."""
        return self._folder

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
            while not self.claim(digest, small=len(data) <= PIECE):
                # In one request: where two send the same in parts, Azure drops those of the slower one.
                obstore.put(self._store, self._key(digest), data, use_multipart=len(data) > PIECE)
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
                obstore.put(self._store, self._key(digest), read_checked(path, digest))
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
        """The last so many of a digest's bytes, or all if there are fewer.

        They can't be checked; over an open line they are read until the same came twice.

        Raises:
            NotFound: If they aren't kept here.
        """
        found = self._tail(digest, length)
        for _ in range(_READINGS if self._plain else 0):
            before, found = found, self._tail(digest, length)
            if found == before:
                break
        return found

    def _tail(self, digest: str, length: int) -> bytes:
        import obstore
        from obstore.exceptions import NotSupportedError

        with self._errors(digest):
            if self._folder is not None:
                with (self._folder / self._key(digest)).open("rb", buffering=0) as file:
                    file.seek(max(0, file.seek(0, os.SEEK_END) - length))
                    return file.read()
            try:
                found = obstore.get(self._store, self._key(digest), options={"range": {"suffix": length}})
                return bytes(found.bytes())
            except NotSupportedError:  # Azure has no ranges from the end
                size = self.size(digest)
                return b"".join(self._read(self._key(digest), digest, max(0, size - length), size))
            except FileNotFoundError:
                size = self._listed(digest).size
                return b"".join(self._pieces.read(self._key(digest), max(0, size - length)))

    def get(self, digest: str) -> bytes:
        """The bytes of a digest.

        Raises:
            NotFound: If they aren't kept here.
            CorruptData: If what is kept isn't what was put.
        """
        import obstore

        with self._errors(digest):
            try:
                data = bytes(obstore.get(self._store, self._key(digest)).bytes())
            except FileNotFoundError:
                self._listed(digest)
                data = b"".join(self._pieces.read(self._key(digest)))
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

        chunks: Iterable[Any]
        with self._errors(digest):
            try:
                chunks = obstore.get(self._store, self._key(digest)).stream(min_chunk_size=1 << 20)
            except FileNotFoundError:
                self._listed(digest)
                chunks = self._pieces.read(self._key(digest))
        with self._errors(digest), replacing(path) as temporary:
            with temporary.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            if digest_file(temporary) != digest:
                raise self._corrupt(digest)

    def has(self, digest: str) -> bool:
        """Whether the bytes of a digest are kept here."""
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def size(self, digest: str) -> int:
        """How many bytes a digest has.

        Raises:
            NotFound: If they aren't kept here.
        """
        import obstore

        with self._errors(digest):
            try:
                return int(obstore.head(self._store, self._key(digest))["size"])
            except FileNotFoundError:
                return self._listed(digest).size

    def _listed(self, digest: str) -> PieceList:
        """What the pieces are of a blob that isn't here in one.

        Raises:
            FileNotFoundError: If it isn't here in pieces either.
        """
        found = None if self._folder is not None else self._pieces.find(self._key(digest))
        if found is None:
            raise FileNotFoundError(digest)
        return found

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
            try:
                found = obstore.get(self._store, key, options=options if start or end is not None else None)
            except FileNotFoundError:
                if key != self._key(digest) or not self._listed(digest):
                    raise
                yield from self._pieces.read(key, start, end)
                return
            for chunk in found.stream(min_chunk_size=_PIECE):
                yield bytes(chunk)

    def fill(self, digest: str, start: int, buffer: memoryview) -> Iterator[int]:
        """Fills a buffer with a digest's bytes from ``start`` on; says how many came, time after time.

        Nothing is checked: whoever has all of them, hashes them.

        Raises:
            NotFound: If they aren't kept here.
            CorruptData: If some of them are missing.
        """
        import obstore

        key, end = self._key(digest), start + len(buffer)
        if not buffer:
            return
        with self._errors(digest):
            if self._folder is not None:
                with (self._folder / key).open("rb", buffering=0) as file:
                    file.seek(start)
                    while buffer and (count := file.readinto(buffer[:_PIECE])):
                        buffer = buffer[count:]
                        yield count
                return
            if not self._pieces.knows(key):
                try:
                    found = obstore.get(self._store, key, options={"range": (start, end)})
                    yield from pour(found.stream(_READ), buffer)
                except FileNotFoundError:
                    self._listed(digest)
                else:
                    return
            yield from self._pieces.fill(key, start, buffer)

    def fits(self, digest: str, start: int, data: memoryview) -> bool | None:
        """Whether bytes are a digest's from ``start`` on; None where only all of them together tell."""
        if self._folder is not None:
            return None
        with self._errors(digest):
            return self._pieces.fits(self._key(digest), start, data)

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

    def part(self, digest: str, size: int) -> Part:
        """Takes the bytes of a known digest in pieces; those that a killed process brought are there.

        Args:
            digest: Which. If it is here already, it is replaced.
            size: How many bytes it has.

        Raises:
            StorageError: If the store can't be written.
        """
        key = self._key(digest)
        if self._folder is None:
            if size > PIECE:
                return PiecePart(self._pieces, key, digest, size)
            return ObjectPart(self._pieces, key, digest, size, self._fence.is_safe)

        def keep(path: Path, digest: str) -> None:
            self.claim(digest)  # an old one mustn't be removed just when it has been replaced
            self._place(path, key, digest)

        return FilePart(self._folder / "tmp", digest, size, keep)

    def set_aside(self, digest: str) -> bool:
        """Takes the bytes of a digest out of use, for they are damaged; a folder keeps them as ``damaged``.

        Returns:
            Whether there were any.

        Raises:
            StorageError: If the store can't be written.
        """
        import obstore

        key = self._key(digest)
        with self._errors(digest):
            if self._folder is not None:
                place = self._folder / "damaged" / digest
                place.parent.mkdir(exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / key).replace(place)
                    return True
                return False
            found = self.has(digest)
            self._pieces.drop(key)
            with contextlib.suppress(FileNotFoundError):
                obstore.delete(self._store, key)
            return found

    def claim(self, digest: str, *, small: bool = False) -> bool:
        """Whether the bytes of a digest are kept here, if large maybe in pieces; for an hour in any case."""
        with self._errors(digest):
            key = self._key(digest)
            in_pieces = self._folder is None and not small
            return self._fence.renew(key) or (in_pieces and self._pieces.claim(key))

    def _corrupt(self, digest: str) -> CorruptData:
        return CorruptData(
            f"blob {digest[:12]} is not what was stored",
            where=self._name,
            fix="restore the blob store from its backup; this content can't be trusted",
        )


def _size(path: Path) -> int:
    with storage_errors(str(path)):
        return path.stat().st_size


def open_blobs(
    url: str, root: Path, options: Mapping[str, str], retries: int | None = None
) -> ObjectBlobStore:
    """Opens the blob store at a URL.

    Args:
        url: A folder (relative to ``root``), or ``s3://bucket/prefix``.
        root: The project's folder.
        options: The object store's options, such as ``endpoint``.
        retries: How often a request is tried again; the library's choice when None.

    Raises:
        StorageError: If the folder can't be made or the URL isn't known.
    """
    from obstore.store import LocalStore

    try:
        if "://" in url:
            plain = options.get("allow_http", os.environ.get("AWS_ALLOW_HTTP", "")).lower() == "true"
            return ObjectBlobStore(open_store(url, options, retries), url, plain=plain)
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
