"""What is asked when versions are deleted, and what is told of it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from treadle.data.types import DatasetVersion


class DeleteVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that shall be deleted.

    Attributes:
        versions: Which: ``v3``, ``v3..v9``, the beginning of a commit; the whole dataset with its branches
            and tags when empty.
        reason: Why; kept with the versions.
        dry_run: Whether only what would be done is told.
        actor: Who asks; filled in by the client.
    """

    versions: tuple[str, ...] = ()
    reason: str = ""
    dry_run: bool = False
    actor: str = "api"


class PruneVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions a dataset keeps; all others that nothing needs are deleted.

    Attributes:
        keep_last: So many of each branch, the newest ones.
        keep_for: Those that were made in the last while, such as ``90d``; nobody is kept for that when empty.
        reason: Why; kept with the versions. Says what was asked when empty.
        apply: Whether it is done; only what would be done is told otherwise.
        actor: Who asks; filled in by the client.
    """

    keep_last: int = 0
    keep_for: str = ""
    reason: str = ""
    apply: bool = False
    actor: str = "api"


class RestoreVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that shall be restored.

    Attributes:
        versions: Which, as for :class:`DeleteVersions`; all that can be restored when empty.
        actor: Who asks; filled in by the client.
    """

    versions: tuple[str, ...] = ()
    actor: str = "api"


class VersionUse(msgspec.Struct, frozen=True):
    """What needs a version.

    Attributes:
        by: What, and for what: ``branch main stands at it``, ``run 3f2a read it``.
        fix: What ends that, as a command or in words.
    """

    by: str
    fix: str


class VersionFate(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is deleted, or kept because something needs it.

    Attributes:
        ref: Which.
        commit: Its commit.
        branch: The branch that it was made on.
        created_at: When it was made.
        message: Why it was made.
        count: How many paths it lists.
        bytes: How many bytes these have; other versions may have the same.
        uses: What needs it, up to 100; nothing where it is deleted.
    """

    ref: str
    commit: str
    branch: str
    created_at: datetime
    message: str
    count: int
    bytes: int
    uses: tuple[VersionUse, ...] = ()


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted, or would be.

    Attributes:
        dataset: Of which dataset.
        applied: Whether it was done.
        versions: The versions that are deleted, the newest first.
        kept: Those that were meant, too, and that something needs.
        others: How many versions nobody meant.
    """

    dataset: str
    applied: bool
    versions: tuple[VersionFate, ...]
    kept: tuple[VersionFate, ...] = ()
    others: int = 0


def fate(version: DatasetVersion, uses: tuple[VersionUse, ...] = ()) -> VersionFate:
    """What is told of a version."""
    return VersionFate(
        ref=version.ref,
        commit=version.commit_id,
        branch=version.branch,
        created_at=version.created_at,
        message=version.message,
        count=version.file_count,
        bytes=version.bytes,
        uses=uses,
    )
