"""How two versions of a table differ: only files that aren't in both are read."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as url_quote

from treadle.data.tables.files import active_files, check_here, sql_columns, write_rows
from treadle.data.tables.opening import TablePlace
from treadle.data.tables.types import ActiveFile, ColumnChange, RowExample, TableDiff
from treadle.data.types import Column
from treadle.kernel.engine import quote, text
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    from deltalake import DeltaTable

_EXAMPLES = 5
# obstore takes these apart from the store's own; `s3_...` are delta-rs's.
_OF_CLIENT = ("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "timeout")


class _Side:
    """One of the two versions."""

    def __init__(self, place: TablePlace, table: DeltaTable) -> None:
        self.table = table
        with place.errors(table.version()):
            self.files = active_files(table)
            self.columns = sql_columns(table.schema())
            self.partitions = tuple(table.metadata().partition_columns)
            mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
            rows = [file.rows for file in self.files]
            self.rows = table.count() if None in rows else sum(count or 0 for count in rows)
        self.whole = mapping != "none" or any(file.deleted for file in self.files)
        """Whether delta-rs must read it, for the files alone don't say what the rows are."""


def diff(
    workspace: Workspace, place: TablePlace, before: DeltaTable, after: DeltaTable, key: Sequence[str]
) -> TableDiff:
    """Compares two versions of a table.

    Rows are matched by key where there is one that names rows once, and compared whole otherwise.
    Memory is the engine's; what doesn't fit goes to disk.

    Raises:
        InvalidInput: If a key column isn't in both.
        CorruptData: If a file is missing.
    """
    a, b = _Side(place, before), _Side(place, after)
    for name in key:
        for side in (a, b):
            known = [column.name for column in side.columns]
            if name not in known:
                raise InvalidInput(f"the table has no column {name!r}", fix=did_you_mean(name, known))
    shared = set() if a.whole or b.whole else set(a.files) & set(b.files)
    only = [[file for file in side.files if file not in shared] for side in (a, b)]
    parent = workspace.state / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as staging:
        sources = [
            _rows(workspace, place, side, files, Path(staging) / f"{number}")
            for number, (side, files) in enumerate(zip((a, b), only, strict=True))
        ]
        found = _Comparison(workspace, sources, a, b).run(key)
    changed = found.pop("by_column")
    return TableDiff(
        name=place.name,
        before=before.version(),
        after=after.version(),
        rows=(a.rows, b.rows),
        columns=_columns(a, b, changed),
        read=len(only[0]) + len(only[1]),
        shared=len(shared),
        **found,
    )


def _rows(workspace: Workspace, place: TablePlace, side: _Side, files: list[ActiveFile], target: Path) -> str:
    """SQL of the rows of some files of a version, with all its columns."""
    nothing = ", ".join(f"NULL::{column.type} AS {quote(column.name)}" for column in side.columns)
    if not files:
        return f"SELECT {nothing} WHERE false"
    if side.whole:
        path = target.with_suffix(".parquet")
        write_rows(workspace, place, side.table, path)
        return f"SELECT * FROM read_parquet({text(str(path))})"  # noqa: S608 - quoted
    check_here(place, files, side.table.version())
    groups: dict[tuple[tuple[str, str | None], ...], list[str]] = {}
    for number, file in enumerate(files):
        path = Path(place.url) / file.path
        if place.remote:
            path = target / f"{number}.parquet"
            _fetch(place, file, path, side.table.version())
        groups.setdefault(file.partition, []).append(str(path))
    parts = [_group(side, dict(values), paths) for values, paths in groups.items()]
    return " UNION ALL BY NAME ".join((f"SELECT {nothing} WHERE false", *parts))


def _group(side: _Side, values: dict[str, str | None], paths: Sequence[str]) -> str:
    types = {column.name: column.type for column in side.columns}
    given = "".join(
        f", {'NULL' if value is None else text(value)}::{types[name]} AS {quote(name)}"
        for name, value in values.items()
    )
    listed = ", ".join(map(text, paths))
    return f"SELECT *{given} FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"  # noqa: S608


def _fetch(place: TablePlace, file: ActiveFile, target: Path, version: int) -> None:
    """Brings a file of a table in a bucket here, piece by piece."""
    import obstore
    from obstore.store import from_url

    target.parent.mkdir(parents=True, exist_ok=True)
    told = {name.lower().removeprefix("aws_"): value for name, value in place.config.options.items()}
    client: Any = {name: value for name, value in told.items() if name in _OF_CLIENT}
    config: Any = {name: v for name, v in told.items() if name not in client and not name.startswith("s3_")}
    with place.errors(version):
        try:
            store = from_url(place.url, client_options=client, **config)
            with target.open("wb") as out:
                for piece in obstore.get(store, file.path).stream():
                    out.write(piece)
        except FileNotFoundError as error:
            raise RuntimeError(f"Object at location {url_quote(file.path)} not found") from error


class _Comparison:
    def __init__(self, workspace: Workspace, sources: Sequence[str], a: _Side, b: _Side) -> None:
        self._engine = workspace.engine
        self._a, self._b = sources
        types = {column.name: column.type for column in b.columns}
        self._common = [column for column in a.columns if types.get(column.name) is not None]
        self._types = types

    def run(self, key: Sequence[str]) -> dict[str, Any]:
        note = self._why_not(key) if key else ""
        return self._by_rows(note) if note or not key else self._by_key(key)

    def _side(self, sql: str, columns: Sequence[Column]) -> str:
        # Both sides in the later version's types, so that a wider type alone is no change.
        names = ", ".join(
            f"CAST({quote(c.name)} AS {self._types[c.name]}) AS {quote(c.name)}" for c in columns
        )
        return f"SELECT {names} FROM ({sql})"  # noqa: S608 - quoted

    def _why_not(self, key: Sequence[str]) -> str:
        """Why rows can't be matched by the key; empty if they can."""
        names = ", ".join(map(quote, key))
        nulls = " OR ".join(f"{quote(name)} IS NULL" for name in key)
        for sql in (self._a, self._b):
            [(wrong,)] = self._engine.rows(
                f"SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n, {names} FROM ({sql}) "  # noqa: S608
                f"GROUP BY {names} HAVING n > 1 OR {nulls})"
            )
            if wrong:
                return f"{', '.join(key)} doesn't name {int(wrong):,} rows once, so whole rows were compared"
        return ""

    def _by_key(self, key: Sequence[str]) -> dict[str, Any]:
        others = [column.name for column in self._common if column.name not in key]
        on = " AND ".join(f"a.{quote(name)} = b.{quote(name)}" for name in key)
        first = quote(key[0])
        # "Distinct from" says that NULL is NULL; a NaN is a NaN for the engine anyway.
        differs = [f"a.{quote(name)} IS DISTINCT FROM b.{quote(name)}" for name in others]
        left, right = self._side(self._a, self._common), self._side(self._b, self._common)
        joined = f"({left}) a FULL JOIN ({right}) b ON {on}"
        both = f"a.{first} IS NOT NULL AND b.{first} IS NOT NULL"
        any_differs = f"({' OR '.join(differs)})" if differs else "false"
        kinds = {
            "added": f"a.{first} IS NULL",
            "removed": f"b.{first} IS NULL",
            "changed": f"{both} AND {any_differs}",
        }
        counts = [f"count(*) FILTER ({one})" for one in kinds.values()]
        counts += [f"count(*) FILTER ({both} AND {one})" for one in differs]
        [(added, removed, changed, *each)] = self._engine.rows(f"SELECT {', '.join(counts)} FROM {joined}")  # noqa: S608
        names = ", ".join(f"coalesce(a.{quote(n)}, b.{quote(n)}) AS {quote(n)}" for n in key)
        examples: list[RowExample] = []
        for kind, count in (("added", added), ("removed", removed), ("changed", changed)):
            if count:
                sql = f"SELECT {names} FROM {joined} WHERE {kinds[kind]}"  # noqa: S608 - quoted
                examples += self._examples(kind, sql, key)
        return {
            "key": tuple(key),
            "added": added,
            "removed": removed,
            "changed": changed,
            "by_column": dict(zip(others, each, strict=True)),
            "examples": tuple(examples),
            "note": "",
        }

    def _by_rows(self, note: str) -> dict[str, Any]:
        a, b = self._side(self._a, self._common), self._side(self._b, self._common)
        examples: list[RowExample] = []
        counts = {}
        names = [column.name for column in self._common]
        for kind, left, right in (("added", b, a), ("removed", a, b)):
            rest = f"(({left}) EXCEPT ALL ({right}))"
            [(count,)] = self._engine.rows(f"SELECT count(*) FROM {rest}")  # noqa: S608 - quoted
            counts[kind] = count
            if count:
                examples += self._examples(kind, f"SELECT * FROM {rest}", names)  # noqa: S608 - quoted
        return {"key": (), "changed": 0, "by_column": {}, "examples": tuple(examples), "note": note, **counts}

    def _examples(self, kind: Any, sql: str, names: Sequence[str]) -> list[RowExample]:
        first = f"{sql} ORDER BY ALL LIMIT {_EXAMPLES}"
        found = self._engine.rows(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({first})")  # noqa: S608 - quoted
        return [RowExample(kind, dict(zip(names, row, strict=True))) for row in found]


def _columns(a: _Side, b: _Side, changed: dict[str, int]) -> tuple[ColumnChange, ...]:
    """What differs of schema and statistics; columns of which nothing does are left out."""
    types = [{column.name: column.type for column in side.columns} for side in (a, b)]
    stats = [_statistics(side.table) for side in (a, b)]
    empty = (None, None, None)
    found = []
    for name in dict.fromkeys([*types[0], *types[1]]):
        (n0, low0, high0), (n1, low1, high1) = (one.get(name, empty) for one in stats)
        one = ColumnChange(
            name=name,
            before=types[0].get(name, ""),
            after=types[1].get(name, ""),
            changed=changed.get(name, 0),
            nulls=(n0, n1),
            least=(low0, low1),
            greatest=(high0, high1),
        )
        if one.changed or one.before != one.after or (n0, low0, high0) != (n1, low1, high1):
            found.append(one)
    return tuple(found)


def _statistics(table: DeltaTable) -> dict[str, tuple[int | None, str | None, str | None]]:
    """Missing values, least and greatest value of each column, as the log tells of all files."""
    actions: Any = table.get_add_actions(flatten=True)
    listed = {name: actions[name].to_pylist() for name in actions.schema.names}
    found = {}
    for whole, nulls in listed.items():
        if not whole.startswith("null_count."):
            continue
        name = whole.removeprefix("null_count.")
        low, high = listed.get(f"min.{name}", []), listed.get(f"max.{name}", [])
        given = [v for v in low if v is not None], [v for v in high if v is not None]
        found[name] = (
            None if None in nulls else sum(nulls),
            str(_plain(min(given[0]))) if given[0] else None,
            str(_plain(max(given[1]))) if given[1] else None,
        )
    return found


def _plain(value: Any) -> Any:
    """A value, zero without a sign: Parquet's statistics write the least zero as -0.0."""
    return 0.0 if isinstance(value, float) and value == 0 else value
