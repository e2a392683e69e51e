"""What a tree lists: one entry a path, and many of them as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Mode(IntEnum):
    """What lies at a path. The numbers are written in pages: they never change."""

    FILE = 0
    EXECUTABLE = 1
    LINK = 2
    """A symbolic link within the dataset; its content is its target."""
    FOLDER = 3
    """A folder in which nothing lies; one with files isn't listed."""


class Entry(msgspec.Struct, frozen=True, order=True):
    """A path of a tree.

    Attributes:
        path: Where it lies within the dataset, with forward slashes, in UTF-8.
        size: In bytes.
        digest: BLAKE3 of its bytes, 64 hexadecimal characters.
        mode: What it is.
    """

    path: str
    size: int
    digest: str
    mode: Mode = Mode.FILE


class Change(msgspec.Struct, frozen=True):
    """A path that shall be as said, or gone.

    Attributes:
        path: Which.
        entry: What lies there then; None to remove it.
    """

    path: str
    entry: Entry | None


class Difference(msgspec.Struct, frozen=True):
    """A path at which two trees differ.

    Attributes:
        path: Which.
        before: What the first tree has there, if anything.
        after: What the second has there, if anything.
    """

    path: str
    before: Entry | None
    after: Entry | None


@dataclass(frozen=True, eq=False, slots=True)
class Entries:
    """Many entries as columns, sorted by the bytes of their paths.

    Attributes:
        paths: n paths.
        sizes: n sizes in bytes, uint64.
        digests: n digests, uint8 of shape (n, 32).
        modes: n modes, uint8.
    """

    paths: Sequence[str]
    sizes: NDArray[np.uint64]
    digests: NDArray[np.uint8]
    modes: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many."""
        return len(self.paths)


class Pages(Protocol):
    """Gives pages."""

    def page(self, digest: str) -> bytes:
        """The bytes of a page.

        Raises:
            NotFound: If it isn't kept.
            CorruptData: If what is kept isn't that page.
        """


class PageSink(Protocol):
    """Keeps pages."""

    def put_page(self, data: bytes) -> str:
        """Keeps a page, if it isn't kept already; returns its digest."""
