"""What is asked of a merge, and what it comes to."""

from __future__ import annotations

from typing import Literal

import msgspec

from treadle.data.types import DatasetVersion

Side = Literal["ours", "theirs"]


class RowConflict(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a table that both sides changed, each in its own way.

    Attributes:
        key: What names the row.
        column: The column; empty where one side removed the row.
        base: The value that both began with, as text; None for a missing value or a row that wasn't there.
        ours: The target's.
        theirs: The source's.
    """

    key: str
    column: str
    base: str | None
    ours: str | None
    theirs: str | None


class PathConflict(msgspec.Struct, frozen=True, kw_only=True):
    """A path that both sides changed, each in its own way.

    Attributes:
        path: Which.
        ours: What the target did to it: ``added``, ``modified``, ``deleted``; ``absent`` if it has none.
        theirs: What the source did.
        why: What else there is to say; empty for most.
        rows: The first rows that conflict, where the two were merged by key.
    """

    path: str
    ours: str
    theirs: str
    why: str = ""
    rows: tuple[RowConflict, ...] = ()


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a merge.

    Attributes:
        source: What is merged: a branch, a tag or a version of the dataset, such as ``exp/new-labels``.
        target: The branch that moves.
        message: Why; made up when empty.
        strategy: ``ours`` keeps the target's side of every conflict, ``theirs`` takes the source's.
        resolve: The same by path; of a folder (``images/``), for all below it.
        key: The column that names a row, several with commas between; that of ``[data.NAME]`` when empty.
        expected: The number at which the target must stand; wherever it stands when None.
        fast_forward: Whether the target just moves on to the source where that follows it, without a
            version of the merge.
        actor: Who asks; filled in by the client.
    """

    source: str
    target: str = "main"
    message: str = ""
    strategy: Literal["", "ours", "theirs"] = ""
    resolve: dict[str, Side] = {}
    key: str = ""
    expected: int | None = None
    fast_forward: bool = False
    actor: str = "api"


class Revert(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a revert, or of bringing an older version back.

    Attributes:
        version: The version whose changes are taken back, such as ``v3``; with ``restore``, the one that
            shall be again.
        branch: The branch that moves.
        restore: Whether the branch shall have what that version had, and nothing else.
        message: Why; made up when empty.
        strategy: As of a merge, where later versions changed the same.
        actor: Who asks; filled in by the client.
    """

    version: str
    branch: str = "main"
    restore: bool = False
    message: str = ""
    strategy: Literal["", "ours", "theirs"] = ""
    actor: str = "api"


class MergePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge would do.

    Attributes:
        source: The version that is merged.
        target: Where the branch stands; empty where it has no version.
        base: The commit that both began with; empty if there is none.
        added: How many paths the target would get.
        modified: How many would change.
        deleted: How many would go.
        conflicts: What somebody has to decide.
    """

    source: str
    target: str
    base: str
    added: int
    modified: int
    deleted: int
    conflicts: tuple[PathConflict, ...]


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge did.

    Attributes:
        version: Where the branch stands now.
        plan: What was done.
        changed: Whether the branch moved; it doesn't if it has all of the source already.
    """

    version: DatasetVersion
    plan: MergePlan
    changed: bool
