"""A Delta table partitioned by day, to which batches are appended exactly once.

A batch's identity is committed with its rows, as a Delta application transaction, so no
moment exists in which the one is there without the other: a process killed at any point
appends the batch again or finds it appended. Two that append one batch at the same time
conflict, and the later one finds it.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from treadle.kernel.errors import Busy, Conflict, StorageError, StorageFull, TreadleError

if TYPE_CHECKING:
    from arro3.core import Array
    from deltalake import DeltaTable

_log = logging.getLogger("treadle.monitor")

COMPACT_EVERY = 100
"""After so many commits, small files are made one a day."""

UNTOLD = 1
"""In place of a batch's content where its name alone says what it is."""

_TRIES = 20
_BROKEN = frozenset("[]|^%")  # delta-rs makes URLs of paths, and makes these wrong
_KEEP_HOURS = 7 * 24
_CONFIGURATION = {
    "delta.checkpointInterval": "20",
    # A batch is known for a week; whoever sends it again later adds rows that readers see once anyway.
    "delta.setTransactionRetentionDuration": "interval 7 days",
}
_SQL = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "long": "BIGINT",
    "timestamp": "TIMESTAMPTZ",
    "date": "DATE",
    "array": "FLOAT[]",
}


class DayTable:
    """A Delta table with a ``day`` column by which it is partitioned; made when first written.

    What is read from one instance is one version of the table, the latest when it was first read.

    Args:
        url: A folder, or ``s3://bucket/prefix``.
        options: The object store's options.

    Raises:
        StorageError: If the folder's path has a character that Delta tables can't lie under.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self._url = url
        self._options = dict(options)
        self._seen: DeltaTable | None = None
        self._remote = "://" in url
        if not self._remote and _BROKEN & set(url):
            raise StorageError(
                f"tables can't be kept under a path with any of {' '.join(sorted(_BROKEN))}",
                where=url,
                fix="move the project, or name another folder under [store] tables",
            )

    def append(self, batch: str, columns: Mapping[str, Array], content: int = UNTOLD) -> bool:
        """Appends the rows of a batch; columns that are new are added to the table.

        Args:
            batch: The batch's identity.
            columns: All columns, ``day`` among them.
            content: A number by which another batch of the same name is told from this one.

        Returns:
            Whether it was appended now; False if it had been before.

        Raises:
            Conflict: If a column has another type in the table, or another batch had this name; nothing was
                appended.
            Busy: If so many others wrote that it didn't get through; nothing was appended.
            StorageFull: If no space is left; nothing was appended.
            StorageError: If the table can't be written.
        """
        from arro3.core import Table
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError

        rows = Table(dict(columns))
        commit = CommitProperties(app_transactions=[Transaction(batch, content)], max_commit_retries=_TRIES)
        for attempt in range(_TRIES):
            with self._errors():
                try:
                    table = self._open() or self._create(rows)
                    known = table.transaction_version(batch)
                    if known is not None:
                        self._check_same(batch, known, content)
                        return False
                    self._check_types(table, rows)
                    write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=commit)
                except CommitFailedError:
                    # Somebody wrote in between: look again whether it was this very batch.
                    time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311 - spreads writers
                    continue
            self._tidy(table)
            return True
        raise Busy(
            "too many others write to this table; nothing was appended", where=self._url, fix="try again"
        )

    def columns(self) -> dict[str, str]:
        """The columns and their SQL types; none before the first append."""
        with self._errors():
            table = self._latest()
            return {name: _SQL[kind] for name, kind in _types(table).items()} if table else {}

    def days(self) -> list[date]:
        """The days that have rows, in order."""
        with self._errors():
            table = self._latest()
            found = table.partitions() if table else []
        return sorted(date.fromisoformat(str(partition["day"])) for partition in found)

    def version(self) -> str:
        """What is read: the table and its version."""
        with self._errors():
            table = self._latest()
            return f"{self._url}@{table.version() if table else None}"

    def read(self, since: date, until: date) -> list[Path] | Any | None:
        """The rows of some days, for the engine: Parquet files where they lie, or an Arrow table.

        Args:
            since: The first day.
            until: The last day, inclusive.

        Returns:
            None if there are no rows in those days.
        """
        wanted = f"day >= '{since}' AND day <= '{until}'"
        with self._errors():
            table = self._latest()
            files = table.file_uris(file_pruning_predicate=wanted) if table else []
            if table is None or not files:
                return None
            if not self._remote:
                return [Path(unquote(file)) for file in files]
            from deltalake import QueryBuilder

            query = f"SELECT * FROM t WHERE {wanted}"  # noqa: S608 - the values are dates
            return QueryBuilder().register("t", table).execute(query).read_all()

    def delete(self, before: date) -> None:
        """Deletes the rows of the days before one. Their files go when no reader can need them, after a week.

        Raises:
            Busy: If so many others wrote that it didn't get through; nothing was deleted.
            StorageError: If the table can't be written.
        """
        from deltalake.exceptions import CommitFailedError

        for attempt in range(_TRIES):
            with self._errors():
                table = self._open()
                if table is None:
                    return
                try:
                    table.delete(f"day < '{before}'")
                except CommitFailedError:
                    time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311 - spreads writers
                    continue
                table.vacuum(retention_hours=_KEEP_HOURS, dry_run=False)
            self._seen = None
            return
        raise Busy(
            "too many others write to this table; nothing was deleted", where=self._url, fix="try again"
        )

    def _latest(self) -> DeltaTable | None:
        self._seen = self._seen or self._open()
        return self._seen

    def _open(self) -> DeltaTable | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self._url, storage_options=self._options)
        except TableNotFoundError:
            return None

    def _create(self, rows: Any) -> DeltaTable:
        from deltalake import DeltaTable

        if not self._remote:
            Path(self._url).mkdir(parents=True, exist_ok=True)
        return DeltaTable.create(
            self._url,
            rows.schema,
            mode="ignore",
            partition_by=["day"],
            configuration=_CONFIGURATION,
            storage_options=self._options,
        )

    def _check_same(self, batch: str, known: int, content: int) -> None:
        if UNTOLD not in (known, content) and known != content:
            raise Conflict(
                f"other rows were sent as batch {batch[:60]!r} before; nothing was appended",
                where="batch",
                fix="give each batch a name of its own; one that is sent again has the same rows",
            )

    def _check_types(self, table: DeltaTable, rows: Any) -> None:
        from deltalake import Schema

        there = _types(table)
        for field in Schema.from_arrow(rows.schema).fields:
            before, now = there.get(field.name), _type(field)
            if before is not None and before != now:
                raise Conflict(
                    f"{field.name} is {before} in the table and {now} in this batch; nothing was appended",
                    where=self._url,
                    fix="give a feature that changes its type another name",
                )

    def _tidy(self, table: DeltaTable) -> None:
        """Makes small files large, now and then. Readers keep the old files for a week."""
        from deltalake.exceptions import DeltaError

        if table.version() % COMPACT_EVERY:
            return
        try:
            table.optimize.compact()
            table.vacuum(retention_hours=_KEEP_HOURS, dry_run=False)
        except (DeltaError, OSError) as error:
            # The rows are safe; the next round tidies up.
            _log.warning("%s could not be compacted: %s", self._url, error)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TreadleError:
            raise
        except Exception as error:  # deltalake raises its own, OSError, ValueError and Rust's panics
            message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if any(sign in str(error) for sign in ("No space left", "os error 28", "os error 122")):
                raise StorageFull(
                    "no space is left where the tables are; nothing was appended",
                    where=self._url,
                    fix="free some space and send the batch again",
                ) from error
            raise StorageError(f"the table can't be used: {message}", where=self._url) from error


def _types(table: DeltaTable) -> dict[str, str]:
    return {field.name: _type(field) for field in table.schema().fields}


def _type(field: Any) -> str:
    return str(field.type.type)


def typed_rows(columns: Mapping[str, str], table: str | None) -> str:
    """SQL for a table's rows with all columns, where its files may lack some or there are none.

    Args:
        columns: The columns and their SQL types.
        table: The table's name; None for no rows.
    """
    from treadle.kernel.engine import quote

    names = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in columns.items())
    empty = f"SELECT {names} WHERE false"
    return f"{empty} UNION ALL BY NAME FROM {table}" if table else empty
