"""The port of the blob store: what every place that keeps blobs can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from treadle.kernel.fence import StoredBlob
from treadle.kernel.parts import Part
from treadle.kernel.uploads import BlobUpload


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

    def size(self, digest: str) -> int:
        """How many bytes a digest has."""

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

    def fill(self, digest: str, start: int, buffer: memoryview) -> Iterator[int]:
        """Fills a buffer with a digest's bytes from ``start`` on; says how many came, time after time."""

    def fits(self, digest: str, start: int, data: memoryview) -> bool | None:
        """Whether bytes are a digest's from ``start`` on; None where only all of them together tell."""

    def forget(self, digest: str, start: int, end: int) -> bool:
        """Drops what is cached of a stretch that turned out damaged; returns whether it may be read anew."""

    def upload(self, stage: str | None = None) -> BlobUpload:
        """Takes bytes piece by piece; on a stage, if one is named, they are a piece of a later blob."""

    def part(self, digest: str, size: int) -> Part:
        """Takes the bytes of a known digest in pieces; those that a killed process brought are there."""

    def set_aside(self, digest: str) -> bool:
        """Takes the bytes of a digest out of use, for they are damaged; returns whether there were any."""

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
