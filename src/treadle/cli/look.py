"""What lies in a folder: data files, and what is in them if DuckDB is there to tell."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import duckdb

_SUFFIXES = (".parquet", ".csv")
_DEPTH = 3
_SKIPPED = {"node_modules", "venv", "env", "build", "dist", "__pycache__"}
_TIME = re.compile(r"DATE|TIMESTAMP(_S|_MS|_NS)?|TIMESTAMPTZ_NS|TIMESTAMP WITH TIME ZONE")


class ColumnFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A column and what its values are like.

    Attributes:
        name: Its name.
        type: Its SQL type.
        nulls: Share of rows without a value.
        unique: Whether every row has a value of its own.
        binary: Whether its values are two, 0 and 1 or false and true.
        mean_time: The mean of a time column, in seconds since 1970.
    """

    name: str
    type: str
    nulls: float = 0.0
    unique: bool = False
    binary: bool = False
    mean_time: float | None = None

    @property
    def is_time(self) -> bool:
        """Whether it holds moments."""
        return _TIME.fullmatch(self.type) is not None


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that was found.

    Attributes:
        path: The file or folder, relative to the project.
        rows: How many rows; None when nobody looked inside.
        columns: The columns; empty when nobody looked inside.
        span: How much time the time columns cover.
        trouble: Why it could not be read.
    """

    path: str
    rows: int | None = None
    columns: tuple[ColumnFacts, ...] = ()
    span: timedelta | None = None
    trouble: str | None = None


def find_tables(root: Path) -> list[TableFacts]:
    """The datasets in a folder, largest first; files of one folder with the same columns are one dataset."""
    files = sorted(_data_files(root))
    if find_spec("duckdb") is None:
        return [TableFacts(path=str(file.relative_to(root))) for file in files]
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    found = []
    for folder, inside in groupby(files, key=lambda file: file.parent):
        together = _alike(connection, root, folder, list(inside))
        found += [_facts(connection, root, path, members) for path, members in together]
    return sorted(found, key=lambda table: -(table.rows or 0))


def _data_files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        deep = len(here.relative_to(root).parts) >= _DEPTH
        folders[:] = [] if deep else [f for f in folders if not f.startswith(".") and f not in _SKIPPED]
        yield from (here / name for name in names if name.lower().endswith(_SUFFIXES) and name[0] != ".")


def _alike(
    connection: duckdb.DuckDBPyConnection, root: Path, folder: Path, files: list[Path]
) -> list[tuple[Path, list[Path]]]:
    """A folder as one dataset if all its files have the same columns; each file by itself otherwise."""
    if len(files) > 1 and folder != root and len({file.suffix.lower() for file in files}) == 1:
        shapes = {tuple(name for name, _ in _columns(connection, [file])[0]) for file in files}
        if len(shapes) == 1 and shapes != {()}:
            return [(folder, files)]
    return [(file, [file]) for file in files]


def _source(files: list[Path]) -> str:
    reader = "read_csv" if files[0].suffix.lower() == ".csv" else "read_parquet"
    return f"{reader}([{', '.join(_text(str(file)) for file in files)}], union_by_name = true)"


def _columns(
    connection: duckdb.DuckDBPyConnection, files: list[Path]
) -> tuple[list[tuple[str, str]], str | None]:
    """Names and types of the columns, or why they can't be read."""
    import duckdb

    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {_source(files)}").fetchall()  # noqa: S608 - quoted
    except duckdb.Error as error:
        return [], str(error).splitlines()[0]
    return [(str(row[0]), str(row[1])) for row in rows], None


def _facts(connection: duckdb.DuckDBPyConnection, root: Path, path: Path, files: list[Path]) -> TableFacts:
    import duckdb

    where = str(path.relative_to(root))
    columns, trouble = _columns(connection, files)
    if trouble:
        return TableFacts(path=where, trouble=trouble)
    asked = ", ".join(part for name, kind in columns for part in _asked(name, kind))
    try:
        row = connection.execute(f"SELECT count(*), {asked} FROM {_source(files)}").fetchone()  # noqa: S608 - quoted
    except duckdb.Error as error:
        return TableFacts(path=where, trouble=str(error).splitlines()[0])
    values = iter(row or ())
    rows = int(next(values))
    found, spans = [], [timedelta()]
    for name, kind in columns:
        present, nearly, low, high, mean = (next(values) for _ in range(5))
        unique = present == rows and nearly > rows * 0.9 and _unique(connection, files, name)
        found.append(
            ColumnFacts(
                name=name,
                type=kind,
                nulls=1 - present / rows if rows else 0.0,
                unique=rows > 1 and unique,
                binary=mean is None
                and (str(low), str(high)) in (("0", "1"), ("0.0", "1.0"), ("False", "True"))
                and nearly <= 2,
                mean_time=mean,
            )
        )
        if mean is not None:
            spans.append(timedelta(seconds=high - low))
    return TableFacts(path=where, rows=rows, columns=tuple(found), span=max(spans))


def _asked(name: str, kind: str) -> list[str]:
    column = '"' + name.replace('"', '""') + '"'
    is_time = _TIME.fullmatch(kind) is not None
    # Seconds, for to fetch a time with a zone itself DuckDB's client wants pytz. With nanoseconds as
    # well, no function of DuckDB 2.0 takes it as it is.
    seconds = f"epoch(CAST({column} AS TIMESTAMPTZ))" if kind == "TIMESTAMPTZ_NS" else f"epoch({column})"
    plain = re.fullmatch(r"BOOLEAN|U?\w*INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)", kind)
    value = seconds if is_time else column if plain else None
    return [
        f"count({column})",
        f"approx_count_distinct({column})",
        f"min({value})" if value else "NULL",
        f"max({value})" if value else "NULL",
        f"avg({seconds})" if is_time else "NULL",
    ]


def _unique(connection: duckdb.DuckDBPyConnection, files: list[Path], name: str) -> bool:
    column = '"' + name.replace('"', '""') + '"'
    row = connection.execute(f"SELECT count(*) = count(DISTINCT {column}) FROM {_source(files)}").fetchone()  # noqa: S608 - quoted
    return bool(row and row[0])


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
