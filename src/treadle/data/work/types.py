"""What is told of a working tree."""

from __future__ import annotations

from typing import Literal

import msgspec

from treadle.data.types import Source

Chunking = Literal["auto", "on", "off"]
LinkKind = Literal["auto", "copy", "hardlink"]
ChangeKind = Literal["added", "modified", "deleted"]


class AddPath(msgspec.Struct, frozen=True, kw_only=True):
    """Data of the project's folder of which a version shall be made.

    Attributes:
        path: Where it lies, relative to the project.
        name: The dataset's name; the pointer's, or the last part of the path, when empty.
        branch: The branch to make it on; the pointer's, or ``main``, when empty.
        message: Why.
        link: Whether large files are linked into the store instead of copied; they become read-only.
        chunking: ``on`` cuts every large file into chunks, ``auto`` those that look like before.
        origin: What it was made of, or by.
        actor: Who asks.
    """

    path: str
    name: str = ""
    branch: str = ""
    message: str = ""
    link: bool = False
    chunking: Chunking = "auto"
    origin: tuple[Source, ...] = ()
    actor: str = "api"


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """Data that shall be brought into the project's folder.

    Attributes:
        paths: Where its pointers lie; everywhere when empty.
        ref: Another version than the pointer's, of one path; with ``to``, the version with its dataset.
        to: Where a version shall lie that has no pointer yet; ends in ``/`` for a folder, where the version
            is a single file of that name.
        force: Whether changes that are in no version may be lost.
        link: How large files are brought: ``auto`` shares blocks where the file system can and copies
            otherwise; ``hardlink`` makes read-only links.
    """

    paths: tuple[str, ...] = ()
    ref: str = ""
    to: str = ""
    force: bool = False
    link: LinkKind = "auto"


class PathChange(msgspec.Struct, frozen=True):
    """A path of the working tree that isn't as in the version.

    Attributes:
        path: Which.
        kind: What happened to it.
    """

    path: str
    kind: ChangeKind


class WorkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How data in the project's folder differs from the version that its pointer names.

    Attributes:
        path: Where it lies, relative to the project.
        ref: The version that the pointer names.
        branch: The branch that the pointer names.
        head: The version at which that branch stands; None if it isn't known here.
        present: Whether the data is there at all.
        added: How many paths are new.
        modified: How many hold something else.
        deleted: How many are gone.
        changes: The first of them, sorted by path.
    """

    path: str
    ref: str
    branch: str
    head: str | None = None
    present: bool = True
    added: int = 0
    modified: int = 0
    deleted: int = 0
    changes: tuple[PathChange, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return self.present and not (self.added or self.modified or self.deleted)


class CheckedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkout did.

    Attributes:
        path: Where the data lies, relative to the project.
        ref: The version that lies there now.
        written: How many files were written.
        removed: How many were removed.
        kept: How many were right already.
        bytes: How many bytes were written.
    """

    path: str
    ref: str
    written: int
    removed: int
    kept: int
    bytes: int
