"""Column work: queries over Parquet files and columns in memory.

Small on purpose: rooms say what they want in SQL, the engine runs it where the
data is. DuckDB is the embedded engine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from treadle.kernel.errors import CorruptData, StorageFull
from treadle.kernel.files import replacing

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import numpy.typing as npt

    Column = npt.NDArray[np.generic]


# DuckDB 2.0 can neither compare nor convert times with nanoseconds and a zone. One kind of time
# everywhere is simpler than two, so those without a zone become microseconds as well.
_IN_MICROS = {"TIMESTAMP_NS": "TIMESTAMP", "TIMESTAMPTZ_NS": "TIMESTAMP WITH TIME ZONE"}


class Engine(Protocol):
    """Runs SQL over columns. A table in ``tables`` is files, of Parquet or of CSV, or named columns.

    Times in files are read to the microsecond, even where nanoseconds are stored.
    """

    def rows(
        self, sql: str, params: Sequence[object] = (), tables: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The result as rows."""

    def columns(
        self, sql: str, params: Sequence[object] = (), tables: Mapping[str, Any] | None = None
    ) -> dict[str, Column]:
        """The result as NumPy columns; columns with missing values are masked arrays."""

    def write_parquet(
        self, path: Path, sql: str, params: Sequence[object] = (), tables: Mapping[str, Any] | None = None
    ) -> int:
        """Writes the result to a Parquet file, atomically; returns its number of rows."""


def quote(name: str) -> str:
    """A column's or table's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text literal as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def in_micros(kind: str) -> str:
    """The SQL type as which a Parquet column of another is read: times have microseconds."""
    return _IN_MICROS.get(kind, kind)


_KEPT = 4
_of_parents: list[Any] = []
"""Databases of the process that this one was forked from: closing them here would wait for its threads."""


class DuckDBEngine:
    """The embedded engine: a query has a database of its own, with nothing in it.

    Making one takes 10 ms, so some are kept for the queries that follow.

    Args:
        temp: A folder for what doesn't fit in memory.
        threads: How many threads one query may use.
        memory: The most memory that one query may use, such as ``2GB``.
    """

    def __init__(self, temp: Path, threads: int = 2, memory: str = "2GB") -> None:
        self._config: Any = {
            "threads": threads,
            "memory_limit": memory,
            "temp_directory": str(temp),
            "enable_external_file_cache": False,  # a file may be another one at the next query
        }
        self._idle: list[tuple[int, duckdb.DuckDBPyConnection]] = []

    @contextmanager
    def _open(self, tables: Mapping[str, Any] | None) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        database, well = self._database(), False
        connection = database.cursor()
        try:
            connection.execute("SET TimeZone = 'UTC'")
            for name, source in (tables or {}).items():
                if isinstance(source, Path | list):
                    _view(connection, name, _paths(source))
                else:
                    connection.register(name, source)
            yield connection
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            raise  # the query is wrong, not the data
        except duckdb.Error as error:
            first = str(error).partition("\n")[0]
            if "No space left" in first:
                raise StorageFull("no space is left on the disk", fix="free some space and retry") from error
            if "pytz" in first or isinstance(error, duckdb.OutOfMemoryException):
                raise
            raise CorruptData(f"the data can't be read: {_told(str(error))}", fix=_mend(tables)) from error
        else:
            well = True
        finally:
            connection.close()  # takes its views along
            if well and len(self._idle) < _KEPT:
                self._idle.append((os.getpid(), database))
            else:
                database.close()

    def _database(self) -> duckdb.DuckDBPyConnection:
        """A database that no other query uses."""
        import duckdb

        while True:
            try:
                process, found = self._idle.pop()
            except IndexError:
                made = duckdb.connect(":memory:", config=self._config)
                # Parquet statistics leave NaN out, and DuckDB 2.0 answers isnan() from them.
                made.execute("SET disabled_optimizers = 'statistics_propagation'")
                return made
            if process == os.getpid():
                return found
            _of_parents.append(found)

    def rows(
        self, sql: str, params: Sequence[object] = (), tables: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The result as rows.

        Raises:
            CorruptData: If a file can't be read.
        """
        with self._open(tables) as connection:
            return connection.execute(sql, list(params)).fetchall()

    def columns(
        self, sql: str, params: Sequence[object] = (), tables: Mapping[str, Any] | None = None
    ) -> dict[str, Column]:
        """The result as NumPy columns; columns with missing values are masked arrays.

        Raises:
            CorruptData: If a file can't be read.
        """
        with self._open(tables) as connection:
            return connection.execute(sql, list(params)).fetchnumpy()

    def write_parquet(
        self, path: Path, sql: str, params: Sequence[object] = (), tables: Mapping[str, Any] | None = None
    ) -> int:
        """Writes the result to a Parquet file, atomically; returns its number of rows.

        Raises:
            CorruptData: If a file that is read is broken.
            StorageFull: If no space is left; nothing half-written stays.
        """
        with replacing(path) as temporary, self._open(tables) as connection:
            target = text(str(temporary))
            written = connection.execute(
                f"COPY ({sql}) TO {target} (FORMAT parquet, COMPRESSION zstd)", list(params)
            ).fetchall()
        return int(written[0][0])


def _told(error: str) -> str:
    """What DuckDB says, in a line: for CSV also the line that it means and why it can't be read."""
    lines = [line.strip() for line in error.splitlines()]
    about = [line for line in lines[1:] if line.startswith(("Original Line:", "Error when converting"))]
    return "; ".join([lines[0], *about]) if "CSV Error" in lines[0] else lines[0]


def _mend(tables: Mapping[str, Any] | None) -> str:
    given = [
        one for source in (tables or {}).values() if isinstance(source, list | Path) for one in _paths(source)
    ]
    if any(path.suffix.lower() == ".csv" for path in given):
        return "mend that line; the types are those of the file's first 20,000 rows"
    return "check that every file is complete Parquet with the same columns"


def _paths(source: Path | list[Path]) -> list[Path]:
    return source if isinstance(source, list) else [source]


def _view(connection: duckdb.DuckDBPyConnection, name: str, paths: Sequence[Path]) -> None:
    """Makes files a table: CSV where the first is, else Parquet."""
    files = ", ".join(text(str(path)) for path in paths)
    reader = "read_csv" if paths and paths[0].suffix.lower() == ".csv" else "read_parquet"
    source = f"{reader}([{files}], union_by_name = true, hive_partitioning = false)"
    connection.execute(f"CREATE TEMP VIEW {quote(name)} AS SELECT * FROM {source}")  # noqa: S608 - quoted
    columns = connection.execute(f"DESCRIBE {quote(name)}").fetchall()
    finer = [
        f"CAST({quote(column)} AS {_IN_MICROS[kind]}) AS {quote(column)}"
        for column, kind, *_ in columns
        if kind in _IN_MICROS
    ]
    if finer:
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {quote(name)} AS "  # noqa: S608 - names are quoted
            f"SELECT * REPLACE ({', '.join(finer)}) FROM {source}"
        )
