"""Writes to a table: each is one commit, whole or absent, that says who made it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from treadle.data.tables.constraints import VIOLATED, asking, constraints_of, violated
from treadle.data.tables.files import types_of
from treadle.data.tables.opening import TablePlace
from treadle.data.tables.rules import fit
from treadle.data.tables.sources import Source
from treadle.data.tables.types import ChangeRows, Who, Wrote
from treadle.kernel.engine import quote
from treadle.kernel.errors import Busy, InvalidInput
from treadle.kernel.names import did_you_mean

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

_TRIES = 12
_MERGE_MEMORY = 1 << 30
_MERGE_DISK = 64 << 30


def committing(by: Who, batch: str = "") -> CommitProperties:
    """What a commit says of who made it."""
    from deltalake import CommitProperties, Transaction

    said = {"treadle.actor": by.actor, "treadle.run": by.run, "treadle.message": by.message}
    transactions = [Transaction(batch, 1)] if batch else None
    told = {name: value for name, value in said.items() if value}
    return CommitProperties(custom_metadata=told, max_commit_retries=_TRIES, app_transactions=transactions)


def hooks() -> Any:
    """The log is never cleaned up here: a pinned version is read by it."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


def with_retries(place: TablePlace, do: Callable[[DeltaTable], Wrote]) -> Wrote:
    """Does something to the latest version, again where others wrote meanwhile.

    Raises:
        Busy: If others wrote each time; nothing was written.
    """
    for attempt in range(_TRIES):
        try:
            table = place.open()
            with place.errors(table.version()):
                return do(table)
        except Busy:
            if attempt == _TRIES - 1:
                raise
            time.sleep(random.uniform(0, 0.05 * (attempt + 1)))  # noqa: S311 - spreads writers
    raise AssertionError


def create(place: TablePlace, source: Source, partition_by: Sequence[str], by: Who) -> Wrote:
    """Makes a table of rows, in one commit; the caller saw that there is none.

    Raises:
        InvalidInput: If a column isn't there, or its type doesn't fit a table.
        Busy: If another was made meanwhile.
    """
    from deltalake import DeltaTable, write_deltalake

    types = source.types()
    for name in partition_by:
        if name not in types:
            raise InvalidInput(f"the rows have no column {name!r}", fix=did_you_mean(name, types))
    with place.errors():
        write_deltalake(
            place.url,
            source.relation(),
            mode="error",
            partition_by=list(partition_by) or None,
            configuration={"delta.enableExpiredLogCleanup": "false"},
            storage_options=place.config.options,
            commit_properties=committing(by),
            post_commithook_properties=hooks(),
        )
        table = DeltaTable(place.url, version=0, storage_options=place.config.options)
        return wrote(place, table)


def append(place: TablePlace, table: DeltaTable, source: Source, batch: str, by: Who) -> Wrote:
    """Appends rows to the latest version; columns are added or widened as the policy allows.

    Raises:
        InvalidInput: If rows don't fit, or violate a constraint; nothing was appended.
    """
    from deltalake import write_deltalake

    if batch and table.transaction_version(batch) is not None:
        return Wrote(name=place.name, version=table.version(), again=True)
    there = types_of(table.schema())
    fitting = fit(there, source.types(), place.config.evolve)
    given = [name for name in there if name in source.names] + list(fitting.added)
    rows = f"SELECT {', '.join(map(quote, given))} FROM rows"  # noqa: S608 - names are quoted
    changed = (*fitting.added, *(name for name, _ in fitting.widened))
    options: dict[str, Any] = {"mode": "append"}
    tables = {}
    if fitting.widened:
        _check_rewritable(place, table)
        tables = {"before": table.scan()}
        rows = f"FROM before UNION ALL BY NAME {rows}"
        options = {
            "mode": "overwrite",
            "schema_mode": "overwrite",
            "partition_by": table.metadata().partition_columns or None,
        }
    elif fitting.added or len(given) < len(there):
        options["schema_mode"] = "merge"
    before = table.version()
    try:
        write_deltalake(
            table,
            source.relation(rows, **tables),
            commit_properties=committing(by, batch),
            post_commithook_properties=hooks(),
            **options,
        )
    except Exception as error:
        raise _explained(error, table, source) from error
    done = wrote(place, table, columns=changed)
    if fitting.widened:
        kept = sum(asking(place.open(before))("SELECT count(*) AS n FROM t")[0].values())
        done = Wrote(name=done.name, version=done.version, added=done.added - kept, columns=changed)
    return done


def _check_rewritable(place: TablePlace, table: DeltaTable) -> None:
    """A wider type rewrites the table, which must not lose what delta-rs doesn't write."""
    fixed = [field.name for field in table.schema().fields if not field.nullable]
    if fixed or table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        raise InvalidInput(
            "types can't be widened here: the table has columns that are mapped or never null",
            where=place.url,
            fix="cast the rows to the table's types",
        )


def _explained(error: Exception, table: DeltaTable, source: Source) -> Exception:
    if VIOLATED not in str(error):
        return error

    def ask(sql: str) -> list[dict[str, Any]]:
        relation = source.relation(sql)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    return violated(constraints_of(table), "rows", ask, "nothing was written", str(error))


def merge(place: TablePlace, table: DeltaTable, source: Source, key: Sequence[str], by: Who) -> Wrote:
    """Replaces rows that have the same key as new ones, and adds the others, in one commit.

    Raises:
        InvalidInput: If the key doesn't name a row once, rows don't fit, or violate a constraint.
    """
    there = types_of(table.schema())
    for name in key:
        for where, names in (("table", there), ("rows", source.names)):
            if name not in names:
                raise InvalidInput(f"the {where} has no key column {name!r}", fix=did_you_mean(name, names))
    _check_key(source, key)
    fitting = fit(there, source.types(), place.config.evolve)
    if fitting.widened:
        raise InvalidInput(
            f"{fitting.widened[0][0]!r} holds more in the new rows than in the table; a merge doesn't widen",
            fix="cast it in a query, or append a row of the wider type first",
        )
    updates = {_name(name): f"s.{_name(name)}" for name in source.names}
    try:
        done = (
            table.merge(
                source.relation(),
                predicate=" AND ".join(f"t.{_name(name)} = s.{_name(name)}" for name in key),
                source_alias="s",
                target_alias="t",
                merge_schema=bool(fitting.added),
                max_spill_size=_MERGE_MEMORY,
                max_temp_directory_size=_MERGE_DISK,
                commit_properties=committing(by),
                post_commithook_properties=hooks(),
            )
            .when_matched_update(updates=updates)
            .when_not_matched_insert(updates=updates)
            .execute()
        )
    except Exception as error:
        raise _explained(error, table, source) from error
    return Wrote(
        name=place.name,
        version=table.version(),
        added=int(done["num_target_rows_inserted"]),
        updated=int(done["num_target_rows_updated"]),
        columns=fitting.added,
    )


def _check_key(source: Source, key: Sequence[str]) -> None:
    names = ", ".join(map(quote, key))
    missing = " OR ".join(f"{quote(name)} IS NULL" for name in key)
    [(nulls,)] = source.rows(f"SELECT count(*) FROM rows WHERE {missing}")  # noqa: S608 - names are quoted
    if nulls:
        raise InvalidInput(
            f"{nulls:,} of the new rows have no {', '.join(key)}; nothing was merged", fix="fill or drop them"
        )
    twice = source.rows(
        f"SELECT {names}, count(*) AS n, count(*) OVER () FROM rows GROUP BY {names} HAVING n > 1 "  # noqa: S608
        f"ORDER BY {names} LIMIT 3"
    )
    if twice:
        examples = ", ".join("/".join(map(str, row[:-2])) for row in twice)
        raise InvalidInput(
            f"{twice[0][-1]:,} keys stand in several of the new rows, such as {examples}; nothing was merged",
            fix="keep one row of each key",
        )


def change(place: TablePlace, table: DeltaTable, asked: ChangeRows) -> Wrote:
    """Deletes or updates the rows that fulfil a condition, in one commit.

    Raises:
        InvalidInput: If the condition can't be read, or the new values violate a constraint.
    """
    common: dict[str, Any] = {
        "predicate": asked.where,
        "commit_properties": committing(asked.by),
        "post_commithook_properties": hooks(),
    }
    if not asked.where.strip():
        raise InvalidInput("the condition is empty", fix="write one; `true` means every row")
    before = table.version()
    if not asked.set:
        done = table.delete(**common)
        deleted = int(done.get("num_deleted_rows") or 0)
        return Wrote(
            name=place.name, version=table.version(), deleted=deleted, again=table.version() == before
        )
    there = types_of(table.schema())
    for name in asked.set:
        if name not in there:
            raise InvalidInput(f"the table has no column {name!r}", fix=did_you_mean(name, there))
    try:
        done = table.update(updates={_name(name): value for name, value in asked.set.items()}, **common)
    except Exception as error:
        if VIOLATED not in str(error):
            raise
        table = place.open(before)
        columns = ", ".join(
            f"({asked.set[name]}) AS {_name(name)}" if name in asked.set else _name(name) for name in there
        )
        rows = f"(SELECT {columns} FROM t WHERE {asked.where})"  # noqa: S608 - it is SQL
        raise violated(
            constraints_of(table), rows, asking(table), "nothing was written", str(error)
        ) from error
    updated = int(done.get("num_updated_rows") or 0)
    return Wrote(name=place.name, version=table.version(), updated=updated, again=table.version() == before)


def _name(name: str) -> str:
    """A column's name as delta-rs's engine writes it."""
    return '"' + name.replace('"', '""') + '"'


def wrote(place: TablePlace, table: DeltaTable, columns: tuple[str, ...] = ()) -> Wrote:
    """What the commit did at which a table stands, as its log says."""
    metrics = table.history(1)[0].get("operationMetrics") or {}
    added = int(metrics.get("num_added_rows") or 0)
    return Wrote(name=place.name, version=table.version(), added=added, columns=columns)
