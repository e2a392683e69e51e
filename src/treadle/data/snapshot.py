"""Making a version: look at the files, validate all of them, keep them, write the version down."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from treadle.data import files, reading, rules, store
from treadle.data.branches.adopting import tree_of_files
from treadle.data.branches.commits import NewVersion
from treadle.data.branches.forwarding import forward
from treadle.data.branches.service import Branches
from treadle.data.branches.types import DEFAULT_BRANCH
from treadle.data.files import Fingerprint, LocalFile
from treadle.data.local import local_blob
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.types import Column, DatasetVersion, FileEntry
from treadle.kernel.config import DatasetConfig
from treadle.kernel.errors import Conflict, InvalidInput
from treadle.kernel.files import staging
from treadle.kernel.workspace import Workspace


def snapshot(
    workspace: Workspace, name: str, config: DatasetConfig, actor: str, branch: str = DEFAULT_BRANCH
) -> DatasetVersion:
    """See :meth:`treadle.data.Datasets.snapshot`."""
    if config.format == "delta":
        from treadle.data.tables.pinning import pin_table

        return pin_table(workspace, name, actor)
    source = workspace.root / config.path
    seen_ns = time.time_ns()  # the file system's clock, not the workspace's, which may be replayed
    found = files.scan(source, name)
    cache = workspace.state / "cache" / "fingerprints" / f"{name}.json"
    cached = files.load_fingerprints(cache)
    known = {f.path: cached[f.path] for f in found if f.path in cached and cached[f.path].stat == f.stat}
    latest = Branches(workspace).head(name, branch)
    rules.check_live(*filter(None, [latest]))  # the whole dataset was deleted, and can be restored
    if latest and len(known) == len(found) and _digest(known) == latest.digest:
        rules.check_roles(name, rules.roles_of(config), latest.columns)
        return latest
    with staging(workspace.state / "tmp") as folder:
        tables = _tables(workspace, found, known, folder)
        columns, rows = _validate(workspace, name, config, tables, known)
        stored = {file.digest for file in latest.files} if latest else set[str]()
        kept = {f.path: _keep(workspace, f, tables[f.path], known.get(f.path), stored) for f in found}
    files.check_unchanged(found, files.scan(source, name))
    files.save_fingerprints(cache, kept, seen_ns)
    new = NewVersion(
        dataset=name,
        branch=branch,
        tree="",
        written=Written(),
        expected=None,
        digest=_digest(kept),
        rows=rows,
        columns=columns,
        files=_entries(kept),
        actor=actor,
    )
    return write_down(workspace, new, new.files)


def _tables(
    workspace: Workspace, found: list[LocalFile], known: Mapping[str, Fingerprint], folder: Path
) -> dict[str, Path]:
    """Where each file can be read as Parquet."""
    tables = {}
    for number, file in enumerate(found):
        if not file.is_csv:
            tables[file.path] = file.at
        elif file.path in known:
            tables[file.path] = local_blob(workspace, known[file.path].parquet)
        else:
            tables[file.path] = folder / f"{number}.parquet"
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


def write_down(workspace: Workspace, new: NewVersion, listed: Iterable[FileEntry]) -> DatasetVersion:
    """Adds a version on its branch, unless the latest one there is the same by now.

    Args:
        workspace: Where.
        new: The version, without its tree.
        listed: What its tree lists: files that are blobs.
    """
    branches = Branches(workspace)
    with PackWriter(workspace.blobs) as writer:
        tree = tree_of_files(listed, writer)
        new = replace(new, tree=tree, written=writer.finish())
    while True:
        head = branches.head(new.dataset, new.branch)
        rules.check_live(*filter(None, [head]))
        if head and head.digest == new.digest:
            return head
        try:
            if same := _same(workspace, branches, new, head):
                forward(workspace, new.branch, same, head.number if head else None, new.actor)
                return same
            return branches.commit_tree(replace(new, expected=head.number if head else None))
        except Conflict:
            after = branches.head(new.dataset, new.branch)
            if after == head:  # it isn't that another process was first
                raise


def _same(
    workspace: Workspace, branches: Branches, new: NewVersion, head: DatasetVersion | None
) -> DatasetVersion | None:
    """A version on another branch that has this content and follows the head: it needn't be made again.

    ``main`` has versions of its own: which branch another was made on is nothing to whoever reads its log.
    """
    if head is None or new.branch == DEFAULT_BRANCH:
        return None
    with workspace.database.read() as connection:
        found = store.by_digest(connection, new.dataset, new.digest)
    base = branches.base(head.ref, found.ref) if found else None
    return found if base is not None and base.number == head.number else None


def _entries(found: Mapping[str, Fingerprint]) -> tuple[FileEntry, ...]:
    return tuple(sorted(FileEntry(path, f.stat.size, f.digest, f.parquet) for path, f in found.items()))


def _digest(found: Mapping[str, Fingerprint]) -> str:
    return rules.version_digest(_entries(found))
