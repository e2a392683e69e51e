"""How two versions differ, as it is told."""

from __future__ import annotations

import msgspec


class PathDiff(msgspec.Struct, frozen=True, kw_only=True):
    """A path at which two versions differ.

    Attributes:
        path: Which.
        kind: What was done to it: ``added``, ``modified`` or ``deleted``.
        before: How many bytes it had; None where it wasn't there.
        after: How many bytes it has; None where it isn't any more.
    """

    path: str
    kind: str
    before: int | None
    after: int | None


class ColumnStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a column holds.

    Attributes:
        count: How many rows there are.
        nulls: How many of them have no value.
        mean: The mean of numbers and of truth values; None for others.
        min: The smallest value, as text.
        max: The greatest.
    """

    count: int
    nulls: int
    mean: float | None
    min: str | None
    max: str | None


class ColumnDiff(msgspec.Struct, frozen=True, kw_only=True):
    """A column before and after.

    Attributes:
        name: Which.
        before: Its type; empty where it wasn't there.
        after: Its type; empty where it isn't any more.
        stats_before: What it held.
        stats_after: What it holds.
    """

    name: str
    before: str
    after: str
    stats_before: ColumnStats | None
    stats_after: ColumnStats | None


class TableDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How a table differs.

    Attributes:
        added: Rows that are new.
        removed: Rows that went.
        changed: Rows with a value that changed; 0 without a key, where it is one that went and one that came.
        key: What names a row; empty where whole rows are compared.
        columns: The columns, in their order.
        partial: Whether the statistics are only of the files that differ, because the versions
            aren't known to be tables.
    """

    added: int
    removed: int
    changed: int
    key: str
    columns: tuple[ColumnDiff, ...]
    partial: bool = False


class DataDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How two versions differ.

    Attributes:
        before: The first.
        after: The second.
        added: How many paths are new.
        modified: How many changed.
        deleted: How many went.
        bytes: How many bytes new and changed paths have.
        paths: The first of them.
        table: How the rows differ; None where that wasn't asked for, or they are no tables.
    """

    before: str
    after: str
    added: int
    modified: int
    deleted: int
    bytes: int
    paths: tuple[PathDiff, ...]
    table: TableDiff | None = None
