"""Rows that shall be written to a table: of files in the project, or of a query over its datasets."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from treadle.data import files, reading, rules, store
from treadle.data.local import local_files
from treadle.data.tables.types import Rows
from treadle.kernel.engine import in_micros, quote, text
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

_MEMORY = "1GB"


class Source:
    """Rows that can be read several times, in pieces.

    Args:
        connection: The engine that reads them.
        sql: The query that they are the result of.
    """

    def __init__(self, connection: Any, sql: str) -> None:
        self._connection = connection
        described = connection.execute(f"DESCRIBE {sql}").fetchall()
        names = [row[0] for row in described]
        twice = {name for name in names if [n.lower() for n in names].count(name.lower()) > 1}
        if twice:
            raise InvalidInput(
                f"two columns are called {min(twice)!r}; tables don't tell upper from lower case",
                fix="rename one in the query",
            )
        # delta-rs keeps times to the microsecond.
        columns = ", ".join(
            f"CAST({quote(name)} AS {in_micros(kind)}) AS {quote(name)}" for name, kind, *_ in described
        )
        connection.execute(f"CREATE VIEW rows AS SELECT {columns} FROM ({sql})")  # noqa: S608 - names are quoted
        self.names = tuple(names)

    def relation(self, sql: str = "SELECT * FROM rows", **tables: Any) -> Any:
        """A query over ``rows`` as what delta-rs takes: an Arrow stream that starts when it is read."""
        for name, table in tables.items():
            self._connection.register(name, table)
        return self._connection.sql(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of a query over ``rows``."""
        found: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return found

    def types(self) -> dict[str, str]:
        """The columns and the types that they have in a Delta table."""
        from arro3.core import RecordBatchReader
        from deltalake import Schema

        from treadle.data.tables.files import types_of

        empty = RecordBatchReader.from_stream(self.relation("SELECT * FROM rows LIMIT 0"))
        try:
            return types_of(Schema.from_arrow(empty.schema))
        except Exception as error:  # the library raises plain ones
            raise InvalidInput(
                f"a column's type doesn't fit a table: {error}", fix="cast it in a query"
            ) from error


@contextmanager
def source_of(workspace: Workspace, rows: Rows) -> Iterator[Source]:
    """Opens rows for reading.

    Raises:
        InvalidInput: If neither path nor query is given, the path lies outside of the project, or
            the query can't be run.
        NotFound: If nothing is there.
        CorruptData: If a file can't be read.
    """
    import duckdb

    if not rows.path and not rows.sql:
        raise InvalidInput(
            "neither a path nor a query was given", fix="name a Parquet or CSV file, or write SQL"
        )
    parent = workspace.state / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as staging:
        config: Any = {"threads": 2, "memory_limit": _MEMORY, "temp_directory": staging}
        connection = duckdb.connect(":memory:", config=config)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            sql, paths = _of_files(workspace, rows.path, Path(staging)) if rows.path else ("", [])
            if rows.sql:
                if sql:
                    connection.execute(f"CREATE VIEW file AS {sql}")
                _give_datasets(workspace, connection, rows.sql, [staging, *paths])
                sql = rows.sql.strip().rstrip(";")
            yield Source(connection, sql)
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
            raise InvalidInput(f"the query can't be run: {_first(error)}", fix="correct it") from error
        except duckdb.PermissionException as error:
            raise InvalidInput(
                f"the query reads what it may not: {_first(error)}",
                fix="a query reads the project's datasets; declare the file as one, or name it with --from",
            ) from error
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException) as error:
            raise CorruptData(f"the rows can't be read: {_first(error)}", fix="correct them") from error
        finally:
            connection.close()


def _of_files(workspace: Workspace, path: str, staging: Path) -> tuple[str, list[str]]:
    source = (workspace.root / path).resolve()
    if not source.is_relative_to(workspace.root.resolve()):
        raise InvalidInput(f"{path!r} lies outside of the project", fix="name what lies in it")
    if not source.exists():
        raise NotFound(f"there is no {path!r}", where=str(source), fix="check the path after --from")
    tables: dict[str, Path] = {}
    for number, file in enumerate(files.scan(source, path)):
        tables[file.path] = file.at
        if file.is_csv:
            tables[file.path] = staging / f"{number}.parquet"
            reading.csv_to_parquet(workspace.engine, file.at, tables[file.path])
    if len(tables) > 1:
        rules.check_alike(reading.file_columns(workspace.engine, tables))
    paths = [str(table) for table in tables.values()]
    listed = ", ".join(map(text, paths))
    view = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    return f"SELECT * FROM {view}", paths  # noqa: S608 - paths are quoted


def _give_datasets(workspace: Workspace, connection: Any, sql: str, readable: list[str]) -> None:
    """Makes the datasets that a query names its tables, and nothing else readable."""
    words = set(re.findall(r"\w[\w.-]*", sql))
    with workspace.database.read() as database:
        versions = [v for v in store.latest_of_each(database) if v.dataset in words and v.columns]
    allowed = readable[1:]
    for version in versions:
        paths = [str(path) for path in local_files(workspace, version)]
        allowed += paths
        listed = ", ".join(map(text, paths))
        view = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW {quote(version.dataset)} AS FROM {view}")
    connection.execute(f"SET allowed_paths = [{', '.join(map(text, allowed))}]")
    connection.execute(f"SET allowed_directories = [{text(readable[0])}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0]
