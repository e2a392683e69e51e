"""What is staged on a branch, and what is told of an object beside its bytes."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from treadle.data.tree.types import Entry


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client told of an object, or of a commit; no part of what a version is.

    Attributes:
        checksum: MD5 of the bytes, 32 hexadecimal characters; empty where nobody computed it.
        content_type: The media type.
        written_at: When the object was written.
        values: What the user noted, by name.
    """

    checksum: str = ""
    content_type: str = ""
    written_at: datetime | None = None
    values: dict[str, str] = {}


class Staged(msgspec.Struct, frozen=True):
    """A path that shall be as said with the branch's next commit.

    Attributes:
        path: Which.
        entry: What lies there then; None if it goes.
        at: When it was staged, in microseconds since 1970.
    """

    path: str
    entry: Entry | None
    at: int


class Found(NamedTuple):
    """A row of a listing.

    Attributes:
        path: The object's path, or the common prefix with its delimiter.
        entry: The object; None for a common prefix.
    """

    path: str
    entry: Entry | None
