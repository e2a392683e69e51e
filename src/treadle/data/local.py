"""A version's files on this machine: fetched from the blob store once, checked against their digests."""

from __future__ import annotations

from pathlib import Path

from treadle.data.rules import check_live
from treadle.data.types import DatasetVersion
from treadle.kernel.ids import digest_file
from treadle.kernel.workspace import Workspace


def local_blob(workspace: Workspace, digest: str, check: bool = False) -> Path:
    """A blob as a Parquet file.

    Args:
        workspace: Where it is kept.
        digest: Which.
        check: Whether to read a file that is here already again, and to replace it if it rotted.

    Raises:
        NotFound: If neither the blob store nor the remote has it.
        CorruptData: If the blob store has something else.
        StorageFull: If no space is left.
    """
    path = workspace.state / "cache" / "blobs" / f"{digest}.parquet"
    if not path.exists() or (check and digest_file(path) != digest):
        workspace.readable.fetch(digest, path)
    return path


def local_files(workspace: Workspace, version: DatasetVersion, check: bool = False) -> list[Path]:
    """All files of a version as Parquet, in their order.

    Raises:
        Deleted: If the version was deleted.
        NotFound: If neither the blob store nor the remote has one.
        CorruptData: If the blob store has something else.
        StorageFull: If no space is left.
    """
    check_live(version)
    if any(source.kind == "table" for source in version.origin):
        from treadle.data.tables.files import table_files

        return table_files(workspace, version, check)
    return [local_blob(workspace, file.parquet or file.digest, check) for file in version.files]
