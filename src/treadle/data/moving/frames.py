"""Contents one after another on a wire: how each begins, and where all end."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from treadle.data.tree.types import Entry
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import InvalidInput

_LENGTH = struct.Struct("<I")
LARGEST = 1 << 20
"""A content of so many bytes or more is sent as a blob of its own."""


def frame_content(data: bytes) -> bytes:
    """A small content as it is sent: its length (u32, little-endian), then its bytes."""
    return _LENGTH.pack(len(data)) + data


def unframed(file: BinaryIO) -> Iterator[bytes]:
    """The small contents that were sent.

    Raises:
        InvalidInput: If one is cut off, or too large.
    """
    while head := file.read(_LENGTH.size):
        size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else LARGEST
        if size >= LARGEST:
            raise InvalidInput("a content is too large, or cut off", fix="send large ones to /v1/blobs")
        data = file.read(size)
        if len(data) != size:
            raise InvalidInput("the contents are cut off", fix="send them again")
        yield data


def head(told: Entry | DatasetVersion) -> bytes:
    """How an archive begins, and each entry of it: the length of some JSON, the JSON; then come its bytes."""
    raw = msgspec.json.encode(told)
    return _LENGTH.pack(len(raw)) + raw


END = _LENGTH.pack(0)
"""How an archive ends; one without is cut off."""


class ArchiveReader:
    """Reads an archive: entries, each followed by its bytes.

    Args:
        pieces: The archive.
        broken: Makes the error for one that is cut off.

    Attributes:
        version: What is in it.
    """

    def __init__(self, pieces: Iterator[bytes], broken: Callable[[], Exception]) -> None:
        self._pieces = pieces
        self._broken = broken
        self._rest = memoryview(b"")
        told = self._exactly(_LENGTH.unpack(self._exactly(_LENGTH.size))[0])
        self.version = msgspec.json.decode(told, type=DatasetVersion)

    def __iter__(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Each entry with its bytes, which are read or passed over before the next one comes."""
        while size := _LENGTH.unpack(self._exactly(_LENGTH.size))[0]:
            entry = msgspec.json.decode(self._exactly(size), type=Entry)
            content = self._content(entry.size)
            yield entry, content
            for _ in content:
                pass

    def _exactly(self, size: int) -> bytes:
        return b"".join(self._content(size))

    def _content(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    raise self._broken()
                self._rest = memoryview(piece)
            taken, self._rest = self._rest[:size], self._rest[size:]
            size -= len(taken)
            yield bytes(taken)
