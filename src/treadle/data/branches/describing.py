"""What versions of a table hold: found again after merges and commits by path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from treadle.data import reading, rules
from treadle.data.branches.commits import NewVersion
from treadle.data.branches.tables import is_table
from treadle.data.storage.contents import Contents
from treadle.data.tree.pages import entry_at
from treadle.data.tree.trees import entries
from treadle.data.tree.types import Entry
from treadle.data.types import DatasetVersion, FileEntry
from treadle.kernel.files import staging
from treadle.kernel.workspace import Workspace


def described(
    workspace: Workspace, new: NewVersion, contents: Contents, before: Sequence[DatasetVersion]
) -> NewVersion:
    """Says of a version of a table how many rows and which columns and files it has.

    Args:
        workspace: Where it is kept.
        new: The version that shall be made.
        contents: Reads it.
        before: The versions that it comes from; if none of them is a table, it is none either.

    Raises:
        InvalidInput: If its files don't fit each other.
        CorruptData: If one can't be read.
        StorageFull: If no space is left.
    """
    from msgspec.structs import replace

    tables = [one for one in before if one.files]
    if new.files or not tables:
        return new
    for one in tables:
        if one.tree == new.tree:
            return replace(new, digest=one.digest, rows=one.rows, columns=one.columns, files=one.files)
    listed = [entry_at(leaf, row) for leaf in entries(new.tree, contents) for row in range(len(leaf))]
    if not listed or not all(is_table(entry.path) for entry in listed):
        return new
    known = {file.digest: file.parquet for one in tables for file in one.files}
    with staging(workspace.state / "tmp") as folder:
        places: dict[str, Path] = {}
        files = tuple(
            _file(workspace, contents, entry, known, folder / str(number), places)
            for number, entry in enumerate(listed)
        )
        engine = workspace.engine
        rules.check_alike(reading.file_columns(engine, places))
        columns, rows = reading.table(engine, list(places.values()))
    return replace(new, digest=rules.version_digest(files), rows=rows, columns=columns, files=files)


def _file(
    workspace: Workspace,
    contents: Contents,
    entry: Entry,
    known: dict[str, str],
    staged: Path,
    places: dict[str, Path],
) -> FileEntry:
    """A file as tables know it: a blob of its own, and beside CSV its rows as Parquet."""
    is_csv = entry.path.lower().endswith(".csv")
    digest, parquet = entry.digest, known.get(entry.digest, "")
    source, table = staged.with_suffix(".csv" if is_csv else ".parquet"), staged.with_suffix(".parquet")
    if parquet:
        workspace.readable.fetch(parquet, table)
    else:
        contents.fetch(entry.digest, entry.size, source)
        if entry.digest not in known:
            digest = workspace.blobs.put_file(source)  # another one for what lies in a bucket
        if is_csv:
            reading.csv_to_parquet(workspace.engine, source, table)
            parquet = workspace.blobs.put_file(table)
    places[entry.path] = table
    return FileEntry(entry.path, entry.size, digest, parquet)
