"""Small data files for tests, made and read with DuckDB."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb

# A row every hour of 2026; a label is known five hours later; every tenth row has none.
ROWS = """
    SELECT 'k' || i AS id, TIMESTAMP '2026-01-01' + to_hours(i::INT) AS "at", i % 24 AS "hour",
        ['AA', 'UA', NULL][1 + i % 3] AS carrier, CASE WHEN i % 10 = 9 THEN NULL ELSE i % 2 END AS late,
        TIMESTAMP '2026-01-01' + to_hours(i::INT + 5) AS known_at
    FROM range({first}, {last}) AS r(i) ORDER BY hash(i)
"""


def write(path: Path, sql: str) -> Path:
    """Writes a query's rows to a Parquet or CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "csv, header" if path.suffix == ".csv" else "parquet"
    target = str(path).replace("'", "''")
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{target}' (FORMAT {kind})")
    return path


def rows(path: Path, first: int = 0, last: int = 1000) -> Path:
    """Writes rows that fit the test project's dataset."""
    return write(path, ROWS.format(first=first, last=last))


def read(path: Path, columns: str = "*") -> list[tuple[object, ...]]:
    """The rows of a Parquet file, in their order."""
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)]).fetchall()


def at(day: int, hour: int = 0, month: int = 1) -> datetime:
    """A moment of 2026."""
    return datetime(2026, month, day, hour, tzinfo=UTC)


def names(folder: Path) -> list[str]:
    """What lies in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def kept(folder: Path) -> set[str]:
    """Every file below a folder, but for the database's own."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("treadle.db")
    }
