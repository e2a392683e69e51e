"""Saying which file of which version an object of a bucket is, where reading it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from treadle.kernel.errors import CorruptData, NotFound


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """Names a version, or a file of it, in errors that tell of an object of a bucket.

    Raises:
        CorruptData: If the object was changed.
        NotFound: If it is gone.
    """
    try:
        yield
    except (CorruptData, NotFound) as error:
        if error.where and "://" in error.where:
            error.where = f"{what} ({error.where})"
        raise


def named(pieces: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Some bytes, as they come; else as :func:`naming`."""
    with naming(what):
        yield from pieces
