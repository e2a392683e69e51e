"""What is collected, or would be."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

GoneKind = Literal["experiment", "run", "logged model", "dataset version"]


class Collect(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be collected.

    Attributes:
        older_than: Only what was deleted longer ago, in seconds.
        runs: Only these runs; all that were deleted where none are named.
        experiments: Only these experiments, by name, with their runs and logged models.
        data: Only these datasets, or versions of them, such as ``flights@v3``.
        apply: Whether it is done; what would go is only told otherwise.
        compact: Whether SQLite's file is rewritten afterwards, so that its disk space is free.
        actor: Who asks.
    """

    older_than: float = 30 * 86_400.0
    runs: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    apply: bool = False
    compact: bool = False
    actor: str = "api"


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was deleted and goes, or is kept for a reason.

    Attributes:
        kind: What it is.
        id: Its identifier.
        name: Its name.
        deleted_at: When it was deleted.
        kept: Why it is kept; empty for what goes.
    """

    kind: GoneKind
    id: str
    name: str
    deleted_at: datetime | None = None
    kept: str = ""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was collected, or would be.

    Attributes:
        applied: Whether it was done.
        experiments: Experiments that go.
        runs: Runs that go.
        logged_models: Logged models that go.
        versions: Dataset versions whose contents are given up; they stay known as deleted.
        rows: Rows of curves, metrics, parameters, tags and files that go with them.
        files: Files of runs and logged models that go.
        blobs: Blobs that nothing needs any more.
        bytes: Their size.
        young: Blobs that nothing needs, and that are too young to go: an upload may be under way.
        debris: Pieces of broken uploads, copies of sent runs, and caches of data that is gone.
        items: What goes and what is kept, up to 1,000 of each.
        note: What became of the database's disk space.
    """

    applied: bool
    experiments: int = 0
    runs: int = 0
    logged_models: int = 0
    versions: int = 0
    rows: int = 0
    files: int = 0
    blobs: int = 0
    bytes: int = 0
    young: int = 0
    debris: int = 0
    items: tuple[Gone, ...] = ()
    note: str = ""
