"""Identifiers: sortable names for events, digests for contents."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Protocol

from treadle.kernel.errors import MissingExtra

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CHUNK = 1 << 20


class Ids(Protocol):
    """Makes identifiers; passed in, so that a test can foresee them."""

    def new(self, prefix: str) -> str:
        """A new identifier, ``prefix_`` and 26 characters, sortable by creation time."""


def _crockford(number: int, length: int) -> str:
    out = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        out.append(_ALPHABET[digit])
    return "".join(reversed(out))


class RandomIds:
    """Identifiers after the ULID specification (48 bits of time, 80 random), in lower case."""

    def new(self, prefix: str) -> str:
        """A new identifier; unique without coordination."""
        stamp = time.time_ns() // 1_000_000
        return f"{prefix}_{_crockford(stamp << 80 | secrets.randbits(80), 26)}"


class SequentialIds:
    """Identifiers that count: ``run_1``, ``run_2``; for tests."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def new(self, prefix: str) -> str:
        """The next identifier of this prefix."""
        self._next[prefix] = self._next.get(prefix, 0) + 1
        return f"{prefix}_{self._next[prefix]}"


class Digest(Protocol):
    """Computes the digest of bytes that come piece by piece."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Adds some bytes."""

    def hexdigest(self) -> str:
        """The digest of all that was added."""


def new_digest() -> Digest:
    """Computes a BLAKE3 digest piece by piece.

    Raises:
        MissingExtra: If the library isn't installed.
    """
    try:
        from blake3 import blake3
    except ImportError:
        raise MissingExtra("computing digests needs blake3", fix="pip install 'treadle[platform]'") from None
    return blake3()


def digest_bytes(data: bytes | memoryview) -> str:
    """The BLAKE3 digest of some bytes, 64 hexadecimal characters."""
    from blake3 import blake3

    return blake3(data).hexdigest()


def digest_file(path: Path) -> str:
    """The BLAKE3 digest of a file's bytes, read once in pieces of 1 MiB."""
    from blake3 import blake3

    hasher = blake3()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
