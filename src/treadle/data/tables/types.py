"""What a table is, what happened to it, and what may be asked of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.data.types import Column


class TableColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column of a table.

    Attributes:
        name: Its name.
        type: Its type as the Delta protocol calls it, such as ``long``.
        nullable: Whether a value may be missing.
    """

    name: str
    type: str
    nullable: bool = True


class Constraint(msgspec.Struct, frozen=True):
    """A condition that every row of a table fulfils.

    Attributes:
        name: Its name.
        check: The condition, as SQL.
    """

    name: str
    check: str


class TableState(msgspec.Struct, frozen=True, kw_only=True):
    """A table at one of its versions.

    Attributes:
        name: The dataset.
        id: The table's own identifier.
        version: The Delta version.
        rows: How many rows it has.
        bytes: How many bytes its files have.
        files: How many files it has.
        columns: Its columns.
        partitions: The columns by which it is partitioned.
        constraints: What every row fulfils.
        evolve: What it takes of a new schema.
        features: What a reader must know beyond the protocol's first version.
    """

    name: str
    id: str
    version: int
    rows: int
    bytes: int
    files: int
    columns: tuple[TableColumn, ...]
    partitions: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    evolve: str = "refuse"
    features: tuple[str, ...] = ()


class TableEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What made a version of a table.

    Attributes:
        version: The Delta version.
        at: When, by the clock of the machine that wrote it.
        operation: What was done, as the writer calls it: ``WRITE``, ``MERGE``.
        actor: Who, where Treadle wrote it.
        run: The run that wrote it, where Treadle wrote it for one.
        message: Why, where somebody said.
        engine: The program that wrote it.
        parameters: How it was asked for.
        metrics: What was counted.
        pinned: The dataset versions that are this version.
    """

    version: int
    at: datetime
    operation: str
    actor: str = ""
    run: str = ""
    message: str = ""
    engine: str = ""
    parameters: dict[str, str] = {}
    metrics: dict[str, int] = {}
    pinned: tuple[str, ...] = ()


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that shall be written.

    Attributes:
        path: A Parquet or CSV file, or a folder of them, within the project.
        sql: A query instead; the project's datasets that have a version are its tables. With a
            path as well, what lies there is its table ``file``.
    """

    path: str = ""
    sql: str = ""


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes to a table, and why; written into its history.

    Attributes:
        actor: Who.
        run: The run that writes; empty outside of runs.
        message: Why.
    """

    actor: str = ""
    run: str = ""
    message: str = ""


class WriteRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to make a table of, or to append.

    Attributes:
        rows: Which.
        partition_by: The columns by which a new table is partitioned.
        batch: The rows' identity: what has been appended under it isn't appended again.
        by: Who, and why.
    """

    rows: Rows
    partition_by: tuple[str, ...] = ()
    batch: str = ""
    by: Who = Who()


class MergeRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that replace those with the same key; the others are added.

    Attributes:
        rows: Which.
        key: The columns that name a row; the dataset's ``key`` when empty.
        by: Who, and why.
    """

    rows: Rows
    key: tuple[str, ...] = ()
    by: Who = Who()


class ChangeRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that shall be changed, or deleted.

    Attributes:
        where: A condition in SQL.
        set: New values in SQL by column; the rows are deleted when empty.
        by: Who, and why.
    """

    where: str
    set: dict[str, str] = {}
    by: Who = Who()


class RestoreTable(msgspec.Struct, frozen=True, kw_only=True):
    """A version that shall be the table's state again.

    Attributes:
        to: A Delta version or a moment.
        by: Who, and why.
    """

    to: str
    by: Who = Who()


class NewConstraint(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that every row shall fulfil from now on.

    Attributes:
        name: Its name.
        check: The condition, as SQL; what is unknown for a missing value counts as fulfilled.
        by: Who, and why.
    """

    name: str
    check: str
    by: Who = Who()


class VacuumTable(msgspec.Struct, frozen=True, kw_only=True):
    """Asks to remove files that no kept version needs.

    Attributes:
        older_than: How long ago a file must have been dropped from the table, such as ``7d``.
        apply: Whether to remove them; otherwise only tells which.
        by: Who, and why.
    """

    older_than: str = "7d"
    apply: bool = False
    by: Who = Who()


class Vacuumed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, or would be.

    Attributes:
        files: The files, within the table.
        bytes: How many bytes they have; 0 for a table in a bucket, where nobody asks each for its size.
        applied: Whether they are gone.
        kept_for: The dataset versions whose files stay.
        version: The table's version afterwards.
    """

    files: tuple[str, ...]
    bytes: int
    applied: bool
    kept_for: tuple[str, ...]
    version: int


class Wrote(msgspec.Struct, frozen=True, kw_only=True):
    """What a write did.

    Attributes:
        name: The dataset.
        version: The table's version afterwards.
        added: How many rows were added.
        updated: How many were changed.
        deleted: How many were deleted.
        columns: Columns that were added or whose type holds more now.
        again: Whether nothing was written because it had been written before, or nothing differed.
    """

    name: str
    version: int
    added: int = 0
    updated: int = 0
    deleted: int = 0
    columns: tuple[str, ...] = ()
    again: bool = False


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """How a column differs between two versions.

    Attributes:
        name: The column.
        before: Its type before; empty where it wasn't there.
        after: Its type afterwards; empty where it is gone.
        changed: In how many rows with the same key its value differs.
        nulls: How many values are missing, before and afterwards; None where the log doesn't tell.
        least: The least value, before and afterwards, as text.
        greatest: The greatest value, before and afterwards, as text.
    """

    name: str
    before: str
    after: str
    changed: int = 0
    nulls: tuple[int | None, int | None] = (None, None)
    least: tuple[str | None, str | None] = (None, None)
    greatest: tuple[str | None, str | None] = (None, None)


class RowExample(msgspec.Struct, frozen=True):
    """A row that differs.

    Attributes:
        kind: How.
        row: Its key, or all of it where rows have no key, as text by column.
    """

    kind: Literal["added", "removed", "changed"]
    row: dict[str, str | None]


class TableDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How two versions of a table differ.

    Attributes:
        name: The dataset.
        before: The Delta version before.
        after: The Delta version afterwards.
        rows: How many rows, before and afterwards.
        key: The columns by which rows were matched; empty where whole rows were compared.
        added: How many rows are new.
        removed: How many rows are gone.
        changed: How many rows with the same key differ.
        columns: The columns.
        examples: Some of the rows that differ.
        read: How many files were read.
        shared: How many files both versions have, which weren't read.
        note: What should be known of the comparison.
    """

    name: str
    before: int
    after: int
    rows: tuple[int, int]
    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    columns: tuple[ColumnChange, ...]
    examples: tuple[RowExample, ...] = ()
    read: int = 0
    shared: int = 0
    note: str = ""


class ActiveFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that holds rows of a version.

    Attributes:
        path: Where it lies within the table, as the disk has it.
        size: In bytes.
        rows: How many rows it has; None where the log doesn't tell.
        partition: The values of the partition's columns.
        deleted: Identifies the rows of it that are deleted; empty where none are.
    """

    path: str
    size: int
    rows: int | None
    partition: tuple[tuple[str, str | None], ...] = ()
    deleted: str = ""


class Pin(msgspec.Struct, frozen=True):
    """Which table, at which version, a dataset version is.

    Attributes:
        table: The table's own identifier.
        version: The Delta version.
        columns: The columns.
    """

    table: str
    version: int
    columns: tuple[Column, ...] = ()
