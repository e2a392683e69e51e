"""How two versions differ: by path and, for tables, by row and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from treadle.data.branches.comparing_types import ColumnDiff, ColumnStats, DataDiff, PathDiff, TableDiff
from treadle.data.branches.loose_tables import Changed, Side
from treadle.data.branches.merging import kind
from treadle.data.local import local_files
from treadle.data.storage.contents import Contents
from treadle.data.tree.trees import diff
from treadle.data.tree.types import Difference, Entry
from treadle.data.types import Column, DatasetVersion
from treadle.kernel.engine import Engine, quote
from treadle.kernel.files import staging
from treadle.kernel.workspace import Workspace


def compare(
    workspace: Workspace,
    before: DatasetVersion | None,
    after: DatasetVersion,
    contents: Contents,
    *,
    limit: int,
    rows: bool,
) -> DataDiff:
    """See :meth:`treadle.data.branches.service.Branches.compare`; beside nothing when ``before`` is None."""
    counts = {"added": 0, "modified": 0, "deleted": 0}
    size = 0
    told: list[PathDiff] = []
    described = rows and before is not None and bool(before.files and after.files)
    loose = Changed() if rows and not described else None
    for one in _paths(before, after, contents):
        what = kind(one.before, one.after)
        counts[what] += 1
        size += one.after.size if one.after else 0
        if len(told) < limit:
            old, new = (entry.size if entry else None for entry in (one.before, one.after))
            told.append(PathDiff(path=one.path, kind=what, before=old, after=new))
        if loose is not None:
            loose.add(one)
    table = _table(workspace, before, after) if before and described else None
    if loose:
        table = _loose(workspace, before, after, contents, loose)
    return DataDiff(
        before=before.ref if before else "",
        after=after.ref,
        **counts,
        bytes=size,
        paths=tuple(told),
        table=table,
    )


def _paths(before: DatasetVersion | None, after: DatasetVersion, contents: Contents) -> Iterator[Difference]:
    """What differs; files of a Delta table lie where the table has them, not in the version's tree."""
    if after.count or not after.files:
        yield from diff(before.tree if before else None, after.tree, contents)
        return
    old, new = (
        {one.path: Entry(one.path, one.size, one.digest) for one in side.files} if side else {}
        for side in (before, after)
    )
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            yield Difference(path, old.get(path), new.get(path))


def _table(workspace: Workspace, before: DatasetVersion, after: DatasetVersion) -> TableDiff:
    """Of versions that are known to be tables: what is in both versions isn't compared."""
    old, new = local_files(workspace, before), local_files(workspace, after)
    same = {*old} & {*new}  # a file lies under its digest, and one of a Delta table where the table has it
    sides = (
        Side(before.columns, old, [path for path in old if path not in same]),
        Side(after.columns, new, [path for path in new if path not in same]),
    )
    return _compared(workspace.engine, _key(workspace, before, after), *sides, partial=False)


def _loose(
    workspace: Workspace,
    before: DatasetVersion | None,
    after: DatasetVersion,
    contents: Contents,
    changed: Changed,
) -> TableDiff | None:
    """Of other versions: the files that differ, where they can be read as one table."""
    with staging(workspace.state / "tmp") as folder:
        sides = changed.read(workspace.engine, contents, folder)
        if sides is None:
            return None
        return _compared(workspace.engine, _key(workspace, before, after), *sides, partial=True)


def _key(workspace: Workspace, before: DatasetVersion | None, after: DatasetVersion) -> str:
    config = workspace.config.data.get(after.dataset)
    same = before is None or before.dataset == after.dataset
    return (config.key if config and same else None) or ""


def _compared(engine: Engine, key: str, before: Side, after: Side, *, partial: bool) -> TableDiff:
    old, new = before.files, after.files
    names = {column.name for column in before.columns} & {column.name for column in after.columns}
    if key not in names or not (_names_rows(engine, old, key) and _names_rows(engine, new, key)):
        key = ""
    shared = [column.name for column in after.columns if column.name in names]
    added, removed, changed = _rows(engine, key, shared, before, after)
    return TableDiff(
        added=added,
        removed=removed,
        changed=changed,
        key=key,
        columns=_columns(engine, before, after),
        partial=partial,
    )


def _names_rows(engine: Engine, files: list[Path], key: str) -> bool:
    sql = f"SELECT count(*), count(DISTINCT {quote(key)}) FROM t"  # noqa: S608 - the name is quoted
    [(rows, different)] = engine.rows(sql, tables={"t": files})
    return bool(rows == different)


def _rows(engine: Engine, key: str, shared: list[str], before: Side, after: Side) -> tuple[int, int, int]:
    """Rows that came, that went, and that changed, within files that aren't in both versions."""
    old, new = before.changed, after.changed
    if not old or not new:
        return _count(engine, new), _count(engine, old), 0
    tables = {"b": old, "a": new}
    if key:
        name = quote(key)
        differs = " OR ".join(
            f"a.{quote(one)} IS DISTINCT FROM b.{quote(one)}" for one in shared if one != key
        )
        sql = (
            f"SELECT count(*) FILTER (b.{name} IS NULL), count(*) FILTER (a.{name} IS NULL), "  # noqa: S608 - quoted
            f"count(*) FILTER (a.{name} IS NOT NULL AND b.{name} IS NOT NULL AND ({differs or 'false'})) "
            f"FROM a FULL JOIN b ON a.{name} = b.{name}"
        )
        [(added, removed, changed)] = engine.rows(sql, tables=tables)
        return int(added), int(removed), int(changed)
    if {column.name for column in before.columns} != {column.name for column in after.columns}:
        return _count(engine, new), _count(engine, old), 0
    columns = ", ".join(map(quote, shared))
    sql = (
        f"SELECT (SELECT count(*) FROM (SELECT {columns} FROM a EXCEPT ALL SELECT {columns} FROM b)), "  # noqa: S608 - quoted
        f"(SELECT count(*) FROM (SELECT {columns} FROM b EXCEPT ALL SELECT {columns} FROM a))"
    )
    [(added, removed)] = engine.rows(sql, tables=tables)
    return int(added), int(removed), 0


def _count(engine: Engine, files: list[Path]) -> int:
    return int(engine.rows("SELECT count(*) FROM t", tables={"t": files})[0][0]) if files else 0


def _columns(engine: Engine, before: Side, after: Side) -> tuple[ColumnDiff, ...]:
    had, has = _stats(engine, before.columns, before.files), _stats(engine, after.columns, after.files)
    types_before = {column.name: column.type for column in before.columns}
    types_after = {column.name: column.type for column in after.columns}
    return tuple(
        ColumnDiff(
            name=name,
            before=types_before.get(name, ""),
            after=types_after.get(name, ""),
            stats_before=had.get(name),
            stats_after=has.get(name),
        )
        for name in dict.fromkeys([*types_after, *types_before])
    )


_MEANS = ("INT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")
_UNORDERED = ("[", "STRUCT", "MAP", "UNION")


def _stats(engine: Engine, columns: tuple[Column, ...], files: list[Path]) -> dict[str, ColumnStats]:
    if not files:
        return {}
    asked = ["count(*)"]
    for column in columns:
        name = quote(column.name)
        plain = not any(mark in column.type for mark in _UNORDERED)
        number = plain and any(mark in column.type for mark in _MEANS) and column.type != "INTERVAL"
        asked += [
            f"count({name})",
            f"avg(CAST({name} AS DOUBLE))" if number else "NULL",
            f"CAST(min({name}) AS VARCHAR)" if plain else "NULL",
            f"CAST(max({name}) AS VARCHAR)" if plain else "NULL",
        ]
    [(count, *found)] = engine.rows(f"SELECT {', '.join(asked)} FROM t", tables={"t": files})  # noqa: S608 - quoted
    return {
        column.name: ColumnStats(
            count=count,
            nulls=count - found[4 * at],
            mean=found[4 * at + 1],
            min=found[4 * at + 2],
            max=found[4 * at + 3],
        )
        for at, column in enumerate(columns)
    }
