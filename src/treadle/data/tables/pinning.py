"""Dataset versions that are versions of a table: made once, and kept by vacuums."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from treadle.data import rules, store
from treadle.data.branches.commits import NewVersion
from treadle.data.branches.types import DEFAULT_BRANCH
from treadle.data.snapshot import write_down
from treadle.data.storage.writing import Written
from treadle.data.tables.files import active_files, check_here, sql_columns
from treadle.data.tables.opening import TablePlace
from treadle.data.tables.rules import origin, pin_of, version_digest
from treadle.data.types import DatasetVersion, FileEntry
from treadle.kernel.errors import InvalidInput
from treadle.kernel.files import storage_errors
from treadle.kernel.workspace import Workspace

PINS = "time-travel"
"""The branch of dataset versions that are earlier versions of a table."""


@contextlib.contextmanager
def held(workspace: Workspace, name: str, alone: bool = False) -> Iterator[None]:
    """Keeps pinning and vacuuming of a table apart; the operating system lets go when a process dies."""
    path = workspace.state / "locks" / f"table-{name}"
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def pin_table(workspace: Workspace, name: str, actor: str, at: str = "") -> DatasetVersion:
    """Makes a dataset version of a version of a table, or returns the one that there is.

    Args:
        workspace: The project.
        name: The dataset.
        actor: Who asks.
        at: A Delta version or a moment; the latest when empty.

    Raises:
        NotFound: If there is no such table, or no such version of it.
        InvalidInput: If it has no rows, or lacks a declared column.
        CorruptData: If a file of the version is missing, or its log is broken.
    """
    place = TablePlace(workspace, name)
    with held(workspace, name):
        table = place.open(at)
        with place.errors():
            files = active_files(table)
            schema, identity, number = table.schema(), str(table.metadata().id), table.version()
        check_here(place, files, number)
        columns = sql_columns(schema)
        rules.check_roles(name, rules.roles_of(place.config), columns)
        counts = [file.rows for file in files]
        with place.errors(number):
            rows = table.count() if None in counts else sum(count or 0 for count in counts)
        if not rows:
            raise InvalidInput(
                "the table has no rows",
                where=f"{name}, version {number}",
                fix=f"append some: treadle data table append {name} --from FILE",
            )
        new = NewVersion(
            dataset=name,
            # Who looks back must not move `main`, where the latest is.
            branch=PINS if at else DEFAULT_BRANCH,
            tree="",
            written=Written(),
            expected=None,
            digest=version_digest(identity, schema.to_json(), files),
            rows=rows,
            bytes=sum(file.size for file in files),
            columns=columns,
            # The digest of a file's deleted rows stands where other datasets have the file's own.
            files=tuple(FileEntry(file.path, file.size, file.deleted) for file in files),
            actor=actor,
            origin=(origin(place.config.path, identity, number),),
        )
        if at:
            with workspace.database.read() as connection:
                known = store.by_digest(connection, name, new.digest)
            if known:
                return known
        return write_down(workspace, new, ())  # the table keeps its files, not the blob store


def pinned_versions(workspace: Workspace, name: str, table: str) -> list[tuple[int, DatasetVersion]]:
    """The dataset versions that are of a table and weren't given up, with their Delta versions."""
    with workspace.database.read() as connection:
        found = store.newest_first(connection, name)
    pins = [(pin_of(version), version) for version in found if version.freed_at is None]
    return [(pin[1], version) for pin, version in pins if pin and pin[0] == table]
