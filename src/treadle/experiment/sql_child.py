"""The process that answers one question in SQL, and then ends: ``python -m treadle.experiment.sql_child``.

A process of its own, because an expression's texts count toward no limit of DuckDB's: here the
operating system's limit holds, and what goes wrong ends this process and not the server. What is
asked finds nothing but the tables: DuckDB may open no file and no network, load no extension, and
see no object of Python's, and its configuration is locked before the query is looked at.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from treadle.experiment.sql_plan import Need, needs
from treadle.experiment.sql_types import SqlColumn, SqlEnd, SqlPiece, SqlQuery
from treadle.kernel.errors import InvalidInput, TreadleError

MEMORY = "1GB"
_ADDRESSES = 4 << 30
_ROWS = 1_000
_READABLE = frozenset({"SELECT", "EXPLAIN"})


class SqlJob(msgspec.Struct, frozen=True):
    """What the process is told.

    Attributes:
        metadata: The metadata store's URL.
        root: The project's folder.
        query: What is asked.
        models: The rows of the table of models, if they may be needed.
        out: Where a Parquet file is to be written.
    """

    metadata: str
    root: str
    query: SqlQuery
    models: list[list[Any]] = []
    out: str | None = None


def main() -> int:
    """Reads a job from standard input and writes the answer, line by line, to standard output."""
    began = time.monotonic()
    out = sys.stdout.buffer
    encode = msgspec.json.Encoder(enc_hook=_plain).encode
    try:
        _limit()
        job = msgspec.json.decode(sys.stdin.buffer.read(), type=SqlJob)
        for piece in answer(job, began):
            _write(out, encode(piece))
    except TreadleError as error:
        _write(out, encode(SqlPiece(error=error.body())))
    except MemoryError:
        _write(out, encode(SqlPiece(error=too_large().body())))
    except BrokenPipeError:
        pass
    return 0


def too_large() -> InvalidInput:
    """The error for a query that needs too much memory."""
    return InvalidInput(
        f"the query needs more memory than the {MEMORY} that it may use",
        fix="select fewer columns or rows, or group before you join",
    )


def _write(out: BinaryIO, line: bytes) -> None:
    out.write(line + b"\n")
    out.flush()


def _limit() -> None:
    """Limits this process' memory, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def answer(job: SqlJob, began: float) -> Iterator[SqlPiece]:
    """The pieces of an answer.

    Raises:
        InvalidInput: If the query can't be answered, with what DuckDB says and where.
    """
    import duckdb

    from treadle.kernel.engine import text

    config: Any = {
        "threads": 2,
        "memory_limit": MEMORY,
        "temp_directory": "",
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        statement = _only_statement(connection, job.query.query)
        loaded = _load(connection, job, statement)
        if job.out is not None:
            connection.execute(f"SET allowed_paths = [{text(job.out)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        if job.out is not None:
            yield from _to_file(connection, statement, job, loaded, began)
        else:
            yield from _rows(connection, statement, job.query.limit, loaded, began)
    except (duckdb.OutOfMemoryException, MemoryError):
        raise too_large() from None
    except duckdb.Error as error:
        raise _said(error) from None
    finally:
        connection.close()


def _said(error: Exception) -> InvalidInput:
    """What DuckDB says, with the line and the caret that shows where."""
    text = str(error)
    kind, _, rest = text.partition(": ")
    message, _, where = rest.partition("\n\nLINE ")
    message, _, more = (message or text).partition("\n")
    hint = " ".join(more.split())
    return InvalidInput(
        f"{kind.lower() or 'error'}: {message}"[:2000],
        where=f"line {where}"[:2000] if where else None,
        fix=hint[:1000] or "`treadle sql --schema` lists the tables and their columns",
    )


def _only_statement(connection: Any, query: str) -> str:
    """The query's text, if it is one that only reads.

    Raises:
        InvalidInput: If it isn't.
    """
    found = connection.extract_statements(query)
    if len(found) != 1:
        raise InvalidInput(
            "there is no query" if not found else f"there are {len(found)} statements", fix="give one SELECT"
        )
    kind = str(found[0].type).rpartition(".")[2]
    if kind == "MULTI":
        raise InvalidInput(
            "this form is several statements in one",
            fix="say which values to pivot: ON name IN ('auc', 'loss')",
        )
    if kind not in _READABLE:
        raise InvalidInput(
            f"{kind} isn't allowed: runs are only read here", fix="give one SELECT, with WITH if you like"
        )
    text: str = found[0].query
    return text.strip().rstrip(";")


# ── loading ──────────────────────────────────────────────────────────────


def _load(connection: Any, job: SqlJob, statement: str) -> dict[str, int]:
    """Makes all tables, and fills those that the query mentions; returns how many rows each has."""
    from treadle.experiment.sql_tables import TABLES, Reader
    from treadle.kernel.database import Database, connect_engine
    from treadle.kernel.engine import quote

    for table in TABLES:
        columns = ", ".join(f"{quote(one.name)} {one.type}" for one in table.columns)
        connection.execute(f"CREATE TABLE {quote(table.name)} ({columns})")
    used, need = _used(connection, statement)
    loaded: dict[str, int] = {}
    database = Database(connect_engine(job.metadata, Path(job.root)))
    try:
        with database.read() as source:
            reader = Reader(source, need)
            for table in TABLES:
                if table.name in used:
                    pieces = _columns(job.models) if table.name == "models" else reader.read(table.name)
                    kinds = [column.type for column in table.columns]
                    loaded[table.name] = sum(_insert(connection, table.name, kinds, one) for one in pieces)
    finally:
        database.close()
    return loaded


def _used(connection: Any, statement: str) -> tuple[set[str], dict[str, Need]]:
    import re

    from treadle.experiment.sql_tables import TABLES

    known = {table.name for table in TABLES}
    plain = re.sub(r"^\s*explain(\s+analyze)?\b", "", statement, flags=re.IGNORECASE)
    raw = connection.execute("SELECT json_serialize_sql($1)", [plain]).fetchall()[0][0]
    tree = msgspec.json.decode(raw)
    if tree.get("error"):  # a statement that can't be written so, such as PIVOT
        return {word.lower() for word in re.findall(r"\w+", statement)} & known, {}
    names = {name.lower() for name in connection.get_table_names(plain)}
    mentioned = {word.lower() for word in re.findall(r"\w+", plain)} & known
    # A table that is named through query() or in DESCRIBE is not among the names.
    return (names & known) or mentioned, needs(tree)


def _columns(rows: list[list[Any]]) -> Iterator[list[Any]]:
    if rows:
        yield [list(column) for column in zip(*rows, strict=True)]


def _insert(connection: Any, table: str, kinds: list[str], columns: list[Any]) -> int:
    """Adds rows; a column that is one text is the same in all of them."""
    import numpy as np

    from treadle.kernel.engine import quote

    given: dict[str, Any] = {}
    parts: list[str] = []
    values: list[str] = []
    for place, (column, kind) in enumerate(zip(columns, kinds, strict=False)):
        if isinstance(column, str):
            parts.append(f"${len(values) + 1}::VARCHAR")
            values.append(column)
            continue
        given[f"c{place}"] = column if isinstance(column, np.ndarray) else _array(column, kind)
        parts.append(f"make_timestamp(c{place}::BIGINT)" if kind == "TIMESTAMP" else f"c{place}")
    if table == "params":
        parts.append("TRY_CAST(c2 AS DOUBLE)")
    connection.register("piece", given)
    connection.execute(f"INSERT INTO {quote(table)} SELECT {', '.join(parts)} FROM piece", values).fetchall()  # noqa: S608 - our own names
    connection.unregister("piece")
    return len(next(iter(given.values())))


def _array(column: list[Any], kind: str) -> Any:
    import numpy as np

    if kind == "VARCHAR":
        made = np.empty(len(column), object)
        made[:] = column
        return made
    missing = np.fromiter((one is None for one in column), np.bool_, len(column))
    number = np.float64 if kind == "DOUBLE" else np.int64
    filled = np.fromiter((0 if one is None else one for one in column), number, len(column))
    return np.ma.masked_array(filled, mask=missing)


# ── answering ────────────────────────────────────────────────────────────


def _rows(
    connection: Any, statement: str, limit: int, loaded: dict[str, int], began: float
) -> Iterator[SqlPiece]:
    columns = []
    if not statement.lower().startswith("explain"):
        planned = _planned(connection, statement)
        columns = [SqlColumn(*map(str, one)) for one in zip(planned.columns, planned.types, strict=True)]
    if any("WITH TIME ZONE" in column.type for column in columns):  # which Python can't take without pytz
        names = [f"c{place}" for place in range(len(columns))]
        shown = [
            f"{name}::VARCHAR" if "WITH TIME ZONE" in column.type else name
            for name, column in zip(names, columns, strict=True)
        ]
        statement = f"SELECT {', '.join(shown)} FROM ({statement}\n) AS t({', '.join(names)})"  # noqa: S608 - it only reads
    described = connection.execute(statement).description
    columns = columns or [SqlColumn(str(one[0]), str(one[1])) for one in described]
    yield SqlPiece(columns=columns)
    count = 0
    while rows := connection.fetchmany(min(_ROWS, limit + 1 - count)):
        more = count + len(rows) > limit
        rows = rows[: limit - count]
        count += len(rows)
        if rows:
            yield SqlPiece(rows=[[_value(value) for value in row] for row in rows])
        if more:
            break
    else:
        more = False
    yield SqlPiece(end=SqlEnd(count, more, round(time.monotonic() - began, 3), loaded))


def _planned(connection: Any, statement: str) -> Any:
    """The query, bound but not run."""
    import duckdb

    try:
        return connection.sql(statement)
    except duckdb.Error:
        connection.execute(statement).fetchall()  # which says where in the text it goes wrong
        raise


def _to_file(
    connection: Any, statement: str, job: SqlJob, loaded: dict[str, int], began: float
) -> Iterator[SqlPiece]:
    from treadle.kernel.engine import text

    assert job.out is not None  # noqa: S101 - else this way isn't taken
    cut = f"SELECT * FROM ({statement}\n) LIMIT {job.query.limit + 1}"  # noqa: S608 - it only reads
    copy = f"COPY ({cut}) TO {text(job.out)} (FORMAT parquet, COMPRESSION zstd)"
    count = int(connection.execute(copy).fetchall()[0][0])
    if count > job.query.limit:
        raise InvalidInput(
            f"the answer has more than {job.query.limit:,} rows", fix="narrow it, or raise the limit"
        )
    yield SqlPiece(end=SqlEnd(count, False, round(time.monotonic() - began, 3), loaded))


def _value(value: Any) -> Any:
    """A value as JSON can carry it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, list | tuple):
        return [_value(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _value(one) for key, one in value.items()}
    if isinstance(value, bytes | datetime | date | timedelta):
        return value.isoformat() if isinstance(value, datetime | date) else _plain(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # DuckDB's threads need no taking apart
