"""The active files of a version of a table, and its rows for the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from treadle.data import reading
from treadle.data.tables.opening import TablePlace
from treadle.data.tables.rules import pin_of
from treadle.data.tables.types import ActiveFile
from treadle.data.types import Column, DatasetVersion, FileEntry
from treadle.kernel.engine import quote
from treadle.kernel.errors import CorruptData
from treadle.kernel.files import replacing
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    from deltalake import DeltaTable

_SQL = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ntz": "TIMESTAMP",
}


def types_of(schema: Any) -> dict[str, str]:
    """The columns of a Delta schema and their types as the protocol writes them."""
    fields = msgspec.json.decode(schema.to_json())["fields"]
    return {field["name"]: _told(field["type"]) for field in fields}


def _told(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    if kind["type"] == "array":
        return f"array<{_told(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{_told(kind['keyType'])},{_told(kind['valueType'])}>"
    inner = ",".join(f"{field['name']}:{_told(field['type'])}" for field in kind["fields"])
    return f"struct<{inner}>"


def sql_columns(schema: Any) -> tuple[Column, ...]:
    """The columns with the types as which the engine reads them."""
    fields = msgspec.json.decode(schema.to_json())["fields"]
    return tuple(Column(field["name"], _sql(field["type"])) for field in fields)


def _sql(kind: Any) -> str:
    if isinstance(kind, str):
        return _SQL.get(kind) or kind.upper()  # decimal(10,2)
    if kind["type"] == "array":
        return f"{_sql(kind['elementType'])}[]"
    if kind["type"] == "map":
        return f"MAP({_sql(kind['keyType'])}, {_sql(kind['valueType'])})"
    inner = ", ".join(f"{quote(field['name'])} {_sql(field['type'])}" for field in kind["fields"])
    return f"STRUCT({inner})"


def active_files(table: DeltaTable) -> list[ActiveFile]:
    """The files that hold the rows of the table's version, by path."""
    found: Any = table.get_add_actions(flatten=False)
    names = set(found.schema.names)

    def column(name: str) -> list[Any]:
        return list(found[name].to_pylist()) if name in names else [None] * found.num_rows

    deleted = _deleted(table)
    listed = [
        ActiveFile(
            path=unquote(path),
            size=size,
            rows=rows if rows is None else rows - deleted.get(unquote(path), ("", 0))[1],
            partition=tuple((key, None if v is None else str(v)) for key, v in (values or {}).items()),
            deleted=deleted.get(unquote(path), ("", 0))[0],
        )
        for path, size, rows, values in zip(
            column("path"), column("size_bytes"), column("num_records"), column("partition"), strict=True
        )
    ]
    return sorted(listed, key=lambda file: file.path)


def _deleted(table: DeltaTable) -> dict[str, tuple[str, int]]:
    """What identifies the deleted rows of each file that has some, and how many they are."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    found = {}
    for batch in table.deletion_vectors():
        paths, vectors = batch["filepath"], batch["selection_vector"]
        for path, kept in zip(paths.to_pylist(), vectors.to_pylist(), strict=True):
            digest = hashlib.blake2b(bytes(kept), digest_size=16).hexdigest()
            found[_within(unquote(path), table)] = (digest, kept.count(False))
    return found


def _within(uri: str, table: DeltaTable) -> str:
    root = unquote(table.table_uri)
    bare = root.partition("://")[2] if "://" in root else root
    return uri.partition("://")[2].removeprefix(bare.rstrip("/") + "/") if "://" in uri else uri


def check_here(place: TablePlace, files: Iterable[ActiveFile | FileEntry], version: int) -> None:
    """Sees that a version's files are there, each of its size; of a table in a bucket nothing is asked.

    Raises:
        CorruptData: Naming the first file that isn't, and the version.
    """
    if place.remote:
        return
    for file in files:
        path = Path(place.url) / file.path
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            problem = "is missing"
        else:
            if size == file.size:
                continue
            problem = f"has {size:,} bytes instead of {file.size:,}"
        raise CorruptData(
            f"a file of version {version} {problem}",
            where=str(path),
            fix="bring it back from a copy, or restore a version whose files are there",
        )


def table_files(workspace: Workspace, version: DatasetVersion, check: bool = False) -> list[Path]:
    """The rows of a pinned version as Parquet files on this machine.

    The active files themselves, where they lie here and hold the columns as the schema has them;
    otherwise one file that is made of them once: of tables in buckets, with partitions, deletion
    vectors, mapped columns or columns that some files lack.

    Args:
        workspace: The project.
        version: A dataset version that is of a table.
        check: Whether to make that one file again.

    Raises:
        NotFound: If the table, or the version of it, isn't there any more.
        CorruptData: If a file is missing or another than it was; names it and the version.
    """
    place = TablePlace(workspace, version.dataset)
    pinned = pin_of(version)
    assert pinned is not None  # noqa: S101 - the caller asked
    number = pinned[1]
    cached = workspace.state / "cache" / "tables" / f"{version.digest}.parquet"
    if cached.exists() and not check:
        return [cached]
    check_here(place, version.files, number)
    paths = [Path(place.url) / file.path for file in version.files]
    if paths and not place.remote and not any(file.digest for file in version.files):
        found = reading.file_columns(workspace.engine, {str(path): path for path in paths})
        if all(set(columns) == set(version.columns) for columns in found.values()):
            return paths
    table = place.open(number)
    if str(table.metadata().id) != pinned[0]:
        raise CorruptData(
            "another table lies there now",
            where=place.url,
            fix=f"the version is of table {pinned[0]}; bring it back, or use a newer version",
        )
    with replacing(cached) as target:
        write_rows(workspace, place, table, target)
    return [cached]


def write_rows(workspace: Workspace, place: TablePlace, table: DeltaTable, target: Path) -> int:
    """Writes all rows of a table's version to one Parquet file; returns how many they are."""
    names = ", ".join(
        f"CAST({quote(column.name)} AS {column.type}) AS {quote(column.name)}"
        for column in sql_columns(table.schema())
    )
    with place.errors(table.version()):
        try:
            tables: Mapping[str, Any] = {"t": table.scan()}
            return workspace.engine.write_parquet(target, f"SELECT {names} FROM t", tables=tables)  # noqa: S608
        except CorruptData as error:
            raise RuntimeError(error.message) from error  # what delta-rs said, for `errors`
