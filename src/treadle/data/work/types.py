"""What is told of a working tree."""

from __future__ import annotations

from typing import Literal

import msgspec

ChangeKind = Literal["added", "modified", "deleted"]


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
