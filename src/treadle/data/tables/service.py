"""Tables: written, read back as they were, compared, restored, and cleaned up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.data.tables import writing
from treadle.data.tables.constraints import VIOLATED, asking, constraints_of, violated
from treadle.data.tables.differing import diff
from treadle.data.tables.files import active_files, types_of
from treadle.data.tables.opening import TablePlace
from treadle.data.tables.pinning import held, pinned_versions
from treadle.data.tables.sources import source_of
from treadle.data.tables.types import (
    ChangeRows,
    Constraint,
    MergeRows,
    NewConstraint,
    RestoreTable,
    TableColumn,
    TableDiff,
    TableEvent,
    TableState,
    Vacuumed,
    VacuumTable,
    Who,
    WriteRows,
    Wrote,
)
from treadle.kernel.errors import AlreadyExists, InvalidInput, NotFound, Refused
from treadle.kernel.names import check_name
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    from deltalake import DeltaTable

Events: TypeAlias = list[TableEvent]


class Tables:
    """The project's tables: datasets of ``treadle.toml`` with ``format = "delta"``.

    Every write is one commit of the Delta log, whole or absent; it says who made it, for which
    run and why. All methods raise NotFound for a dataset or table that isn't there, InvalidInput
    for one that isn't a table, CorruptData for a broken log and StorageError for a place that
    doesn't answer.

    Args:
        workspace: The project.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def state(self, name: str, at: str = "") -> TableState:
        """A table's schema, size and constraints at a version; the latest when none is named."""
        place = TablePlace(self._ws, name)
        return _state(place, place.open(at))

    def create(self, name: str, asked: WriteRows) -> Wrote:
        """Makes a table of rows.

        Raises:
            AlreadyExists: If there is one.
            InvalidInput: If the rows can't be in a table.
        """
        place = TablePlace(self._ws, name)
        taken = AlreadyExists("there is a table", where=place.url, fix="append to it, or choose another path")
        if place.exists():
            raise taken
        if not place.remote and Path(place.url).exists() and any(Path(place.url).iterdir()):
            raise AlreadyExists(
                "the folder isn't empty, and no table", where=place.url, fix="choose another path"
            )
        with source_of(self._ws, asked.rows) as source:
            return writing.create(place, source, asked.partition_by, asked.by)

    def append(self, name: str, asked: WriteRows) -> Wrote:
        """Appends rows; columns are added or widened as the dataset's policy allows.

        Raises:
            InvalidInput: If rows don't fit or violate a constraint; nothing was appended.
            Busy: If others wrote all the time; nothing was appended.
        """
        place = TablePlace(self._ws, name)
        with source_of(self._ws, asked.rows) as source:
            return writing.with_retries(
                place, lambda table: writing.append(place, table, source, asked.batch, asked.by)
            )

    def merge(self, name: str, asked: MergeRows) -> Wrote:
        """Replaces the rows that have the same key as new ones, and adds the others.

        Raises:
            InvalidInput: If the key doesn't name each new row once, rows don't fit, or violate a constraint.
            Busy: If others wrote all the time; nothing was merged.
        """
        place = TablePlace(self._ws, name)
        key = asked.key or tuple(filter(None, [place.config.key]))
        if not key:
            raise InvalidInput("no key says which rows are the same", fix=f"declare `key` in [data.{name}]")
        with source_of(self._ws, asked.rows) as source:
            return writing.with_retries(
                place, lambda table: writing.merge(place, table, source, key, asked.by)
            )

    def change(self, name: str, asked: ChangeRows) -> Wrote:
        """Deletes rows, or gives them new values.

        Raises:
            InvalidInput: If the condition can't be read or new values violate a constraint.
            Busy: If others wrote all the time; nothing was changed.
        """
        place = TablePlace(self._ws, name)
        return writing.with_retries(place, lambda table: writing.change(place, table, asked))

    def history(self, name: str, limit: int = 100) -> Events:
        """What made each version, the newest first."""
        place = TablePlace(self._ws, name)
        table = place.open()
        with place.errors():
            entries = table.history(limit)
        pins: dict[int, list[str]] = {}
        for number, version in pinned_versions(self._ws, name, str(table.metadata().id)):
            pins.setdefault(number, []).append(version.ref)
        return [_event(entry, tuple(sorted(pins.get(entry["version"], [])))) for entry in entries]

    def restore(self, name: str, asked: RestoreTable) -> Wrote:
        """Makes an earlier version the table's state again, as a new version.

        Raises:
            NotFound: If there is no such version.
            CorruptData: If a file of it is gone; nothing was changed.
        """
        place = TablePlace(self._ws, name)
        wanted = place.open(asked.to).version()
        table = place.open()
        if wanted == table.version():
            return Wrote(name=name, version=wanted, again=True)
        with place.errors(wanted):
            table.restore(
                wanted,
                commit_properties=writing.committing(asked.by),
                post_commithook_properties=writing.hooks(),
            )
        return Wrote(name=name, version=place.open().version())

    def diff(self, name: str, before: str, after: str = "", key: Sequence[str] = ()) -> TableDiff:
        """How two versions differ in rows, schema and statistics; files that both have aren't read."""
        place = TablePlace(self._ws, name)
        key = tuple(key) or tuple(filter(None, [place.config.key]))
        return diff(self._ws, place, place.open(before), place.open(after), key)

    def add_constraint(self, name: str, asked: NewConstraint) -> TableState:
        """Adds a condition that every row fulfils.

        Raises:
            InvalidInput: If rows of the table violate it, or it can't be read; it wasn't added.
            AlreadyExists: If there is one of that name.
        """
        place = TablePlace(self._ws, name)
        check_name("constraint", asked.name)
        table = place.open()
        if asked.name in {one.name for one in constraints_of(table)}:
            raise AlreadyExists(
                f"there is a constraint {asked.name!r}", where=name, fix="choose another name"
            )
        before = table.version()
        with place.errors(before):
            try:
                table.alter.add_constraint(
                    {asked.name: asked.check},
                    commit_properties=writing.committing(asked.by),
                    post_commithook_properties=writing.hooks(),
                )
            except Exception as error:
                if VIOLATED not in str(error):
                    raise
                one = Constraint(asked.name, asked.check)
                raise violated(
                    [one], "t", asking(place.open(before)), "it was not added", str(error)
                ) from error
        return self.state(name)

    def drop_constraint(self, name: str, constraint: str, by: Who) -> TableState:
        """Removes a condition.

        Raises:
            NotFound: If there is none of that name.
        """
        place = TablePlace(self._ws, name)
        table = place.open()
        known = [one.name for one in constraints_of(table)]
        if constraint not in known:
            raise NotFound(
                f"there is no constraint {constraint!r}",
                where=name,
                fix=f"there are: {', '.join(known)}" if known else "the table has none",
            )
        with place.errors():
            table.alter.drop_constraint(
                constraint,
                commit_properties=writing.committing(by),
                post_commithook_properties=writing.hooks(),
            )
        return self.state(name)

    def vacuum(self, name: str, asked: VacuumTable) -> Vacuumed:
        """Removes files that neither the latest version nor a dataset version needs; only tells by default.

        A dataset version is what a run, a model or a person was given of a table, so that what
        any of them needs stays. Files that were dropped lately stay too, for readers that still
        read them.

        Raises:
            InvalidInput: If the age isn't a duration.
            Refused: If a kept version can't be read by the log any more, so that nobody can tell
                which files it needs; nothing was removed.
        """
        place = TablePlace(self._ws, name)
        hours = (
            0
            if asked.older_than == "0"
            else math.ceil(parse_duration(asked.older_than).total_seconds() / 3600)
        )
        with held(self._ws, name, alone=True):
            table = place.open()
            pins = pinned_versions(self._ws, name, str(table.metadata().id))
            keep = sorted({number for number, _ in pins})
            for number in keep:
                self._check_readable(place, number)
            common: dict[str, Any] = {
                "retention_hours": hours,
                "enforce_retention_duration": False,
                "keep_versions": keep or None,
                "commit_properties": writing.committing(asked.by),
                "post_commithook_properties": writing.hooks(),
            }
            with place.errors():
                files = sorted(table.vacuum(dry_run=True, **common))
            needed = {file.path for _, version in pins for file in version.files}
            wrong = needed.intersection(files)
            if wrong:
                raise Refused(
                    f"a kept version needs {min(wrong)}; nothing was removed",
                    where=place.url,
                    fix="the table's log tells something else than the dataset version; see its history",
                )
            size = 0 if place.remote else sum(_size(Path(place.url) / file) for file in files)
            if asked.apply and files:
                with place.errors():
                    table.vacuum(dry_run=False, **common)
        refs = tuple(sorted(version.ref for _, version in pins))
        version = place.open().version()
        return Vacuumed(files=tuple(files), bytes=size, applied=asked.apply, kept_for=refs, version=version)

    def _check_readable(self, place: TablePlace, number: int) -> None:
        try:
            place.open(number)
        except (NotFound, InvalidInput) as error:
            raise Refused(
                f"version {number} is kept, and the log doesn't tell any more which files it needs; "
                "nothing was removed",
                where=place.url,
                fix="bring its log back from a copy",
            ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _state(place: TablePlace, table: DeltaTable) -> TableState:
    with place.errors(table.version()):
        files = active_files(table)
        rows = [file.rows for file in files]
        metadata, protocol = table.metadata(), table.protocol()
        nullable = {field.name: field.nullable for field in table.schema().fields}
        return TableState(
            name=place.name,
            id=str(metadata.id),
            version=table.version(),
            rows=table.count() if None in rows else sum(count or 0 for count in rows),
            bytes=sum(file.size for file in files),
            files=len(files),
            columns=tuple(
                TableColumn(column, kind, nullable[column])
                for column, kind in types_of(table.schema()).items()
            ),
            partitions=tuple(metadata.partition_columns),
            constraints=constraints_of(table),
            evolve=place.config.evolve,
            features=tuple(sorted(protocol.reader_features or ())),
        )


def _event(entry: dict[str, Any], pinned: tuple[str, ...]) -> TableEvent:
    metrics = entry.get("operationMetrics") or {}
    return TableEvent(
        version=entry["version"],
        at=datetime.fromtimestamp(entry.get("timestamp", 0) / 1000, UTC),
        operation=entry.get("operation", ""),
        actor=entry.get("treadle.actor", ""),
        run=entry.get("treadle.run", ""),
        message=entry.get("treadle.message", ""),
        engine=entry.get("engineInfo", ""),
        parameters={k: str(v) for k, v in (entry.get("operationParameters") or {}).items()},
        metrics={k: int(v) for k, v in metrics.items() if str(v).lstrip("-").isdigit()},
        pinned=pinned,
    )
