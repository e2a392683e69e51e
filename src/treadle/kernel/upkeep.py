"""What a blob store has besides blobs: stages, lists, and what killed processes left."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.kernel.errors import NotFound
from treadle.kernel.fence import Fence, StoredBlob
from treadle.kernel.files import write_atomic
from treadle.kernel.ids import digest_bytes
from treadle.kernel.pieces import Pieces
from treadle.kernel.uploads import BlobUpload

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class Upkeep(ABC):
    """The part of a blob store that isn't about what is in one blob."""

    _store: ObjectStore
    _folder: Path | None
    _fence: Fence
    _pieces: Pieces

    @staticmethod
    @abstractmethod
    def _key(digest: str) -> str:
        """The key of a blob."""

    @abstractmethod
    def _errors(self, digest: str) -> AbstractContextManager[None]:
        """Turns the object store's errors into Treadle's."""

    @abstractmethod
    def _read(self, key: str, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes at a key, piece by piece."""

    @abstractmethod
    def upload(self, stage: str | None = None) -> BlobUpload:
        """Takes bytes piece by piece."""

    def forget(self, digest: str, start: int, end: int) -> bool:
        """Nothing is cached here that could be forgotten."""
        del digest, start, end
        return False

    def put_beside(self, key: str, data: bytes) -> None:
        """Puts an object that is no blob beside the blobs, whole or not at all.

        Raises:
            StorageError: If the store can't be written, or what arrived isn't what was sent.
        """
        if self._folder is not None:
            write_atomic(self._folder / key, data)
        else:
            self._pieces.put_checked(key, data, digest_bytes(data))

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

    def stored(self) -> Iterator[StoredBlob]:
        """Every blob that is kept here, in no order."""
        with self._errors("blobs"):
            yield from self._fence.stored()

    def now(self) -> datetime:
        """The time by the store's own clock: what blobs are dated by."""
        with self._errors("clock"):
            return self._fence.now()

    def sweep(self, before: datetime) -> None:
        """Removes what was left before a moment by claims and collectors that were killed."""
        with self._errors("leftovers"):
            self._fence.sweep(before)

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
            key = self._key(digest)
            removed = self._fence.remove(key, before)
            if self._folder is None and self._pieces.find(key):
                removed = self._pieces.remove(key, before) or removed
            return removed
