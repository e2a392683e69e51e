"""Making a version: look at the files, validate all of them, keep them, write the version down."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy.exc import IntegrityError

from treadle.data import files, reading, rules, store
from treadle.data.files import Fingerprint, LocalFile
from treadle.data.local import local_blob
from treadle.data.types import Column, DatasetVersion, FileEntry
from treadle.kernel.config import DatasetConfig
from treadle.kernel.errors import InvalidInput
from treadle.kernel.events import record
from treadle.kernel.files import storage_errors
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace


def snapshot(workspace: Workspace, name: str, config: DatasetConfig, actor: str) -> DatasetVersion:
    """See :meth:`treadle.data.Datasets.snapshot`."""
    source = workspace.root / config.path
    seen_ns = time.time_ns()  # the file system's clock, not the workspace's, which may be replayed
    found = files.scan(source, name)
    cache = workspace.state / "cache" / "fingerprints" / f"{name}.json"
    cached = files.load_fingerprints(cache)
    known = {f.path: cached[f.path] for f in found if f.path in cached and cached[f.path].stat == f.stat}
    with workspace.database.read() as connection:
        latest = store.latest(connection, name)
    if latest and len(known) == len(found) and _digest(known) == latest.digest:
        rules.check_roles(name, rules.roles_of(config), latest.columns)
        return latest
    with _staging(workspace) as staging:
        tables = _tables(workspace, found, known, staging)
        columns, rows = _validate(workspace, name, config, tables, known)
        stored = {file.digest for file in latest.files} if latest else set[str]()
        kept = {f.path: _keep(workspace, f, tables[f.path], known.get(f.path), stored) for f in found}
    files.check_unchanged(found, files.scan(source, name))
    files.save_fingerprints(cache, kept, seen_ns)
    version = DatasetVersion(
        dataset=name,
        number=1,
        digest=_digest(kept),
        created_at=workspace.clock.now(),
        rows=rows,
        bytes=sum(file.stat.size for file in kept.values()),
        columns=columns,
        files=_entries(kept),
        actor=actor,
    )
    return _write_down(workspace, version)


@contextmanager
def _staging(workspace: Workspace) -> Iterator[Path]:
    parent = workspace.state / "tmp"
    with storage_errors(str(parent)):
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            yield Path(folder)


def _tables(
    workspace: Workspace, found: list[LocalFile], known: Mapping[str, Fingerprint], staging: Path
) -> dict[str, Path]:
    """Where each file can be read as Parquet."""
    tables = {}
    for number, file in enumerate(found):
        if not file.is_csv:
            tables[file.path] = file.at
        elif file.path in known:
            tables[file.path] = local_blob(workspace, known[file.path].parquet)
        else:
            tables[file.path] = staging / f"{number}.parquet"
            reading.csv_to_parquet(workspace.engine, file.at, tables[file.path])
    return tables


def _validate(
    workspace: Workspace,
    name: str,
    config: DatasetConfig,
    tables: Mapping[str, Path],
    known: Mapping[str, Fingerprint],
) -> tuple[tuple[Column, ...], int]:
    """Columns and rows of all files, if they are what they should be."""
    engine = workspace.engine
    rules.check_alike(reading.file_columns(engine, tables))
    reading.check_readable(engine, {path: at for path, at in tables.items() if path not in known})
    columns, rows = reading.table(engine, list(tables.values()))
    rules.check_roles(name, rules.roles_of(config), columns)
    if not rows:
        raise InvalidInput(
            "the data has no rows",
            where=str(workspace.root / config.path),
            fix=f"put rows there, or change `path` in [data.{name}] of treadle.toml",
        )
    return columns, rows


def _keep(
    workspace: Workspace, file: LocalFile, table: Path, known: Fingerprint | None, stored: set[str]
) -> Fingerprint:
    """Puts a file into the blob store, unless the version before has it."""
    if known and known.digest in stored:
        return known
    digest = workspace.blobs.put_file(file.at)
    parquet = workspace.blobs.put_file(table) if file.is_csv else ""
    return Fingerprint(file.stat, digest, parquet)


def _write_down(workspace: Workspace, version: DatasetVersion) -> DatasetVersion:
    """Adds a version, unless the latest one is the same by now."""
    while True:
        try:
            with workspace.database.write() as connection:
                latest = store.latest(connection, version.dataset)
                if latest and latest.digest == version.digest:
                    return latest
                version = msgspec.structs.replace(version, number=latest.number + 1 if latest else 1)
                store.insert(connection, version)
                record(connection, _made(version))
                return version
        except IntegrityError:  # another process took the number first
            continue


def _made(version: DatasetVersion) -> Event:
    return Event(
        id=f"data:{version.ref}",
        at=version.created_at,
        recorded_at=datetime.now(UTC),
        subject=f"data:{version.dataset}",
        kind="versioned",
        actor=version.actor,
        message=f"{version.ref} was made: {version.rows:,} rows in {len(version.files):,} files",
        facts={"digest": version.digest},
    )


def _entries(found: Mapping[str, Fingerprint]) -> tuple[FileEntry, ...]:
    return tuple(sorted(FileEntry(path, f.stat.size, f.digest, f.parquet) for path, f in found.items()))


def _digest(found: Mapping[str, Fingerprint]) -> str:
    return rules.version_digest(_entries(found))
