"""What the engine finds in a dataset's files, and Parquet made of CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.data.types import Column
from treadle.kernel.engine import Engine, in_micros, text
from treadle.kernel.errors import CorruptData

# One dialect, so that a file means the same wherever it is read: RFC 4180 in UTF-8 with a header.
_CSV = "header = true, delim = ',', quote = '\"', escape = '\"', sample_size = -1"


def csv_to_parquet(engine: Engine, source: Path, target: Path) -> None:
    """Writes the rows of a CSV file (comma-separated, UTF-8, with a header) as Parquet.

    Each column gets the narrowest type that holds all its values: boolean, integer, double,
    date, timestamp or text. An empty field is a missing value.

    Raises:
        CorruptData: If it isn't such a file.
        StorageFull: If no space is left.
    """
    sql = f"SELECT * FROM read_csv({text(str(source))}, {_CSV})"  # noqa: S608 - the path is quoted
    try:
        engine.write_parquet(target, sql)
    except CorruptData as error:
        raise CorruptData(
            f"not readable as CSV: {_ragged(source) or _reason(error, source)}",
            where=str(source),
            fix="write it comma-separated in UTF-8 with a header, or as Parquet",
        ) from error


def _ragged(source: Path) -> str | None:
    """Which line of a CSV file has more or fewer fields than its header; the engine doesn't tell."""
    try:
        with source.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            width = len(next(lines, []))
            for fields in lines:
                if fields and len(fields) != width:
                    return f"line {lines.line_num} has {len(fields)} fields, the header {width}"
    except (OSError, UnicodeDecodeError, csv.Error):
        pass
    return None


def _reason(error: CorruptData, path: Path) -> str:
    """What the engine said, without its own words around it."""
    said = re.sub(r"^[A-Z][A-Za-z ]*? Error: ", "", error.message.removeprefix("the data can't be read: "))
    return re.sub(rf""" ?['"]?{re.escape(str(path))}['"]?""", "", said)


def file_columns(engine: Engine, files: Mapping[str, Path]) -> dict[str, tuple[Column, ...]]:
    """The columns of each Parquet file, from their footers, with the types as which the engine reads them.

    Args:
        engine: Reads them.
        files: Where each file lies, by its name in the dataset.

    Raises:
        CorruptData: Naming the first file that isn't whole Parquet.
    """
    found: dict[str, list[Column]] = {str(path): [] for path in files.values()}
    skip: dict[str, int] = dict.fromkeys(found, 0)
    for path, name, kind, children in _each(
        engine, files, "SELECT file_name, name, duckdb_type, num_children FROM parquet_schema([{files}])"
    ):
        if kind is None and not found[path] and not skip[path]:
            continue  # the root
        if skip[path]:
            skip[path] += (children or 0) - 1
            continue
        found[path].append(Column(name, in_micros(kind)))
        skip[path] = children or 0
    return {name: tuple(found[str(path)]) for name, path in files.items()}


def check_readable(engine: Engine, files: Mapping[str, Path]) -> None:
    """Decodes every value of some Parquet files.

    Raises:
        CorruptData: Naming the first file that isn't whole.
    """
    _each(engine, files, "SELECT bit_xor(hash(t)) FROM read_parquet([{files}], union_by_name = true) t")


def table(engine: Engine, files: Sequence[Path]) -> tuple[tuple[Column, ...], int]:
    """The columns and the number of rows of all files as one table."""
    tables = {"t": list(files)}
    columns = tuple(Column(row[0], row[1]) for row in engine.rows("DESCRIBE SELECT * FROM t", tables=tables))
    return columns, int(engine.rows("SELECT count(*) FROM t", tables=tables)[0][0])


def _each(engine: Engine, files: Mapping[str, Path], sql: str) -> list[tuple[Any, ...]]:
    """One query over all files; if it fails, file by file, to name the one that is broken."""

    def run(paths: Sequence[Path]) -> list[tuple[Any, ...]]:
        return engine.rows(sql.format(files=", ".join(text(str(path)) for path in paths)))

    if not files:
        return []
    try:
        return run(list(files.values()))
    except CorruptData:
        for path in files.values():
            try:
                run([path])
            except CorruptData as error:
                raise CorruptData(
                    f"not a whole Parquet file: {_reason(error, path)}",
                    where=str(path),
                    fix="write it again, or take it out of the dataset; no version was made",
                ) from error
        raise
