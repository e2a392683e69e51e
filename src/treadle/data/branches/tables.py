"""Merging two tables by key, row by row and column by column.

A value that only one side changed is that side's. A row that one side removed goes if the
other left it as it was. Rows stay in the order of the target; what only the source has comes after.
Text files are compared as text, so that what nobody changed stays as it was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from treadle.data.branches.merge_types import RowConflict
from treadle.kernel.engine import Engine, in_micros, quote, text
from treadle.kernel.errors import CorruptData

_CSV = "header = true, delim = ',', quote = '\"', escape = '\"', all_varchar = true, sample_size = -1"
_ROW, _HERE = '"treadle row"', '"treadle here"'
_TOLD = 100


class Unmergeable(Exception):
    """Why two tables can't be merged by key."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the tables: SQL that reads it, and its columns with their types."""

    sql: str
    types: dict[str, str]

    def has(self, name: str) -> bool:
        return name in self.types


def is_table(path: str) -> bool:
    """Whether a path is a table, by its ending."""
    return path.lower().endswith((".parquet", ".csv"))


def merge_tables(
    engine: Engine, base: Path | None, ours: Path, theirs: Path, keys: list[str], target: Path
) -> list[RowConflict]:
    """Writes the rows that two sides of a table make together.

    Args:
        engine: Does it.
        base: What both began with; None if they began with nothing.
        ours: The target's table. All have the same ending, that of a Parquet or CSV file.
        theirs: The source's.
        keys: The columns that name a row.
        target: Where to write.

    Returns:
        The first hundred conflicts; nothing is written if there are any.

    Raises:
        Unmergeable: If a table can't be read, its keys don't name its rows, or the columns can't be made one.
        StorageFull: If no space is left.
    """
    is_csv = ours.suffix.lower() == ".csv"
    try:
        mine, other = _side(engine, ours), _side(engine, theirs)
        began = _side(engine, base) if base else _Side(f"{mine.sql} LIMIT 0", {})
        named = [(began, "the common base"), (mine, "the target"), (other, "the source")]
        for side, name in named if base else named[1:]:
            _check_keys(engine, side, keys, name)
        columns = _columns(engine, began, mine, other, keys)
        query = _Query(began, mine, other, keys, columns)
        found = [RowConflict(**one) for (many,) in engine.rows(query.conflicts()) for one in many]
        if found:
            return found[:_TOLD]
        if is_csv:
            engine.rows(f"COPY ({query.merged()}) TO {text(str(target))} (FORMAT csv, HEADER)")
        else:
            engine.write_parquet(target, query.merged())
    except CorruptData as error:
        raise Unmergeable(error.message) from error
    return []


def _side(engine: Engine, path: Path) -> _Side:
    if path.suffix.lower() == ".csv":
        source = f"read_csv({text(str(path))}, {_CSV})"
        sql = f"SELECT *, row_number() OVER () AS {_ROW}, true AS {_HERE} FROM {source}"  # noqa: S608 - quoted
    else:
        source = f"read_parquet({text(str(path))}, file_row_number = true)"
        sql = f"SELECT * RENAME (file_row_number AS {_ROW}), true AS {_HERE} FROM {source}"  # noqa: S608 - quoted
    kinds = {name: kind for name, kind, *_ in engine.rows(f"DESCRIBE {sql}")}
    types = {name: kind for name, kind in kinds.items() if quote(name) not in {_ROW, _HERE}}
    zoned = [
        f"CAST({quote(name)} AS {in_micros(kind)}) AS {quote(name)}"
        for name, kind in types.items()
        if kind == "TIMESTAMPTZ_NS"  # can't be compared
    ]
    if zoned:
        sql = f"SELECT * REPLACE ({', '.join(zoned)}) FROM ({sql})"  # noqa: S608 - names are quoted
    return _Side(sql, types)


def _check_keys(engine: Engine, side: _Side, keys: list[str], name: str) -> None:
    shown = ", ".join(keys)
    if lacking := [key for key in keys if not side.has(key)]:
        raise Unmergeable(f"{name} has no column {lacking[0]!r}, the key")
    columns = ", ".join(map(quote, keys))
    missing = " OR ".join(f"{quote(key)} IS NULL" for key in keys)
    sql = f"SELECT count(*), count(DISTINCT ({columns})), count(*) FILTER ({missing}) FROM ({side.sql})"  # noqa: S608 - quoted
    [(rows, different, nulls)] = engine.rows(sql)
    if nulls:
        raise Unmergeable(f"{nulls:,} rows of {name} have no {shown}, the key")
    if rows != different:
        raise Unmergeable(f"{shown} doesn't name the rows of {name}: {rows - different:,} appear again")


def _columns(engine: Engine, base: _Side, ours: _Side, theirs: _Side, keys: list[str]) -> dict[str, str]:
    """The columns of the merged table with their types: ours in their order, then what theirs added."""
    found: dict[str, str] = {}
    for name in dict.fromkeys([*ours.types, *theirs.types]):
        began, mine, other = (side.types.get(name) for side in (base, ours, theirs))
        if mine and other:
            if mine != other and began not in {mine, other}:
                raise Unmergeable(f"column {name!r} is {mine} in the target and {other} in the source")
            found[name] = other if mine == began else mine
        elif began is None:
            found[name] = mine or other or ""
        else:  # one side dropped it
            left = ours if mine else theirs
            if (mine or other) != began or _differs(engine, base, left, name, keys):
                raise Unmergeable(f"one side dropped column {name!r}, and the other changed it")
    return found


def _differs(engine: Engine, base: _Side, side: _Side, name: str, keys: list[str]) -> bool:
    column = quote(name)
    sql = (
        f"SELECT count(*) FROM ({base.sql}) b JOIN ({side.sql}) s ON {_same('b', 's', keys)} "  # noqa: S608 - quoted
        f"WHERE b.{column} IS DISTINCT FROM s.{column}"
    )
    return bool(engine.rows(sql)[0][0])


def _same(one: str, other: str, keys: list[str]) -> str:
    return " AND ".join(f"{one}.{quote(key)} = {other}.{quote(key)}" for key in keys)


@dataclass(frozen=True, slots=True)
class _Query:
    """The SQL of a merge; ``b``, ``o`` and ``t`` are base, ours and theirs."""

    base: _Side
    ours: _Side
    theirs: _Side
    keys: list[str]
    columns: dict[str, str]

    def _joined(self) -> str:
        both = " AND ".join(f"coalesce(o.{quote(k)}, b.{quote(k)}) = t.{quote(k)}" for k in self.keys)
        return (
            f"FROM ({self.base.sql}) b FULL JOIN ({self.ours.sql}) o ON {_same('b', 'o', self.keys)} "
            f"FULL JOIN ({self.theirs.sql}) t ON {both}"
        )

    def _shared(self) -> list[str]:
        return [name for name in self.columns if self.ours.has(name) and self.theirs.has(name)]

    def _changed(self, side: str, types: dict[str, str]) -> str:
        """Whether a row of a side isn't as it was."""
        names = [quote(name) for name in types if self.base.has(name)]
        return " OR ".join(f"{side}.{name} IS DISTINCT FROM b.{name}" for name in names) or "false"

    def _clash(self, name: str) -> str:
        column = quote(name)
        clash = f"o.{_HERE} AND t.{_HERE} AND o.{column} IS DISTINCT FROM t.{column}"
        if self.base.has(name):
            clash += (
                f" AND (b.{_HERE} IS NULL OR (o.{column} IS DISTINCT FROM b.{column}"
                f" AND t.{column} IS DISTINCT FROM b.{column}))"
            )
        return clash

    def conflicts(self) -> str:
        """For each row that conflicts, what does."""
        key = " || ', ' || ".join(
            f"CAST(coalesce(o.{quote(k)}, t.{quote(k)}, b.{quote(k)}) AS VARCHAR)" for k in self.keys
        )
        # A row that one side removed and the other changed.
        gone = f"(b.{_HERE} AND o.{_HERE} AND t.{_HERE} IS NULL AND ({self._changed('o', self.ours.types)}))"
        went = (
            f"(b.{_HERE} AND t.{_HERE} AND o.{_HERE} IS NULL AND ({self._changed('t', self.theirs.types)}))"
        )
        either = (
            f"CASE WHEN {gone} THEN {_told(key, '', 'NULL', _text('changed'), _text('removed'))} "
            f"WHEN {went} THEN {_told(key, '', 'NULL', _text('removed'), _text('changed'))} END"
        )
        told = [either]
        for name in self._shared():
            column = quote(name)
            base = f"CAST(b.{column} AS VARCHAR)" if self.base.has(name) else "NULL"
            value = _told(key, name, base, f"CAST(o.{column} AS VARCHAR)", f"CAST(t.{column} AS VARCHAR)")
            told.append(f"CASE WHEN {self._clash(name)} THEN {value} END")
        any_of = " OR ".join([gone, went, *(f"({self._clash(name)})" for name in self._shared())])
        return (
            f"SELECT list_filter([{', '.join(told)}], lambda x: x IS NOT NULL) "
            f"{self._joined()} WHERE {any_of} ORDER BY o.{_ROW}, t.{_ROW} LIMIT {_TOLD}"
        )

    def merged(self) -> str:
        """The rows of the merged table."""
        values = [
            f"CAST({self._value(name)} AS {kind}) AS {quote(name)}" for name, kind in self.columns.items()
        ]
        return (
            f"SELECT {', '.join(values)} {self._joined()} "
            f"WHERE b.{_HERE} IS NULL OR (o.{_HERE} AND t.{_HERE}) ORDER BY o.{_ROW} NULLS LAST, t.{_ROW}"
        )

    def _value(self, name: str) -> str:
        column = quote(name)
        if not self.theirs.has(name):
            return f"o.{column}"
        if not self.ours.has(name):
            return f"t.{column}"
        taken = f"WHEN o.{_HERE} IS NULL THEN t.{column} WHEN t.{_HERE} IS NULL THEN o.{column}"
        if self.base.has(name):
            taken += f" WHEN b.{_HERE} AND o.{column} IS NOT DISTINCT FROM b.{column} THEN t.{column}"
        return f"CASE {taken} ELSE o.{column} END"


def _told(key: str, column: str, base: str, ours: str, theirs: str) -> str:
    return f"{{'key': {key}, 'column': {text(column)}, 'base': {base}, 'ours': {ours}, 'theirs': {theirs}}}"


def _text(value: str) -> str:
    return f"CAST({text(value)} AS VARCHAR)"
