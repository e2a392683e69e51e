"""What is asked through the SQL door, and what comes back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from treadle.kernel.errors import ErrorBody

MOST_ROWS = 1_000_000


class SqlQuery(msgspec.Struct, frozen=True):
    """A question.

    Attributes:
        query: One SELECT in DuckDB's SQL.
        limit: The most rows to answer with.
        format: JSON lines, or one Parquet file.
    """

    query: str
    limit: int = MOST_ROWS
    format: Literal["rows", "parquet"] = "rows"


class SqlColumn(msgspec.Struct, frozen=True):
    """A column.

    Attributes:
        name: Its name.
        type: Its type, as DuckDB writes it.
        about: What it holds; empty in an answer.
    """

    name: str
    type: str
    about: str = ""


class SqlTable(msgspec.Struct, frozen=True):
    """A table that can be asked.

    Attributes:
        name: Its name.
        about: What a row is.
        columns: Its columns.
    """

    name: str
    about: str
    columns: tuple[SqlColumn, ...]


class SqlEnd(msgspec.Struct, frozen=True):
    """The end of an answer.

    Attributes:
        rows: How many rows it has.
        more: Whether the limit cut it.
        seconds: How long it took.
        loaded: How many rows of each table were read for it.
    """

    rows: int
    more: bool
    seconds: float
    loaded: dict[str, int]


class SqlPiece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an answer: first the columns, then rows, at last the end; or an error instead."""

    columns: list[SqlColumn] | None = None
    rows: list[list[Any]] | None = None
    end: SqlEnd | None = None
    error: ErrorBody | None = None
