"""What is told of paths of a version, and what may be asked to change."""

from __future__ import annotations

from typing import Literal

import msgspec

from treadle.data.storage.packs import Pack
from treadle.data.tree.types import Entry
from treadle.data.types import Source


class PathEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What lies at a path of a version.

    Attributes:
        path: Where, within the dataset.
        kind: Whether it is a file, or a folder.
        size: In bytes; 0 for a folder.
        digest: BLAKE3 of the bytes, or of the link for one that lies elsewhere; empty for a folder.
        mode: What it is, by number: :class:`~treadle.data.Mode`.
        target: Where the symbolic link leads at which this was found.
        external: The URL of the object that it is, where its bytes were never copied from a bucket; its
            digest is then that of the object's URL, size and ETag.
    """

    path: str
    kind: Literal["file", "folder"]
    size: int = 0
    digest: str = ""
    mode: int = 0
    target: str = ""
    external: str = ""


class PathPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a listing.

    Attributes:
        entries: What lies there, sorted by path.
        after: Where the next page begins; empty after the last one.
    """

    entries: tuple[PathEntry, ...]
    after: str = ""


class CopyPath(msgspec.Struct, frozen=True, kw_only=True):
    """Something that shall lie at another path too; no bytes are copied.

    Attributes:
        source: Where it lies; with a slash at its end, everything below.
        target: Where it shall lie; with a slash at its end, everything below.
        at: The version in which it lies, such as ``v3``; that which is changed when empty.
    """

    source: str
    target: str
    at: str = ""


class ChangePaths(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of a branch that shall be as said: all of them in one version, or none.

    Removals come first, then copies, then what is put; copies are of what lay there before.

    Attributes:
        branch: The branch; ``main`` of a dataset that isn't there yet makes it.
        base: The commit that whoever asks has seen; paths that others changed since are refused.
            Not asked for when empty.
        put: What lies at paths then; the contents are kept already.
        packs: The packs in which small contents among them are.
        copies: What shall lie at other paths too.
        remove: What shall go; with a slash at its end, everything below.
        message: Why.
        actor: Who asks; filled in by the client.
        origin: What it is made of, or by.
    """

    branch: str = "main"
    base: str = ""
    put: tuple[Entry, ...] = ()
    packs: tuple[Pack, ...] = ()
    copies: tuple[CopyPath, ...] = ()
    remove: tuple[str, ...] = ()
    message: str = ""
    actor: str = "api"
    origin: tuple[Source, ...] = ()
