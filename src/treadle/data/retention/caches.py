"""What this machine has cached of data that was given up."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import sqlalchemy as sa

from treadle.data.store import versions

_SHORT = 16


def unneeded(state: Path, connection: sa.Connection, needed: AbstractSet[str]) -> Iterator[Path]:
    """Cached files and folders that are of no version, and of no blob that is needed.

    Args:
        state: The workspace's folder of its own.
        connection: Where versions are.
        needed: The digests of all blobs that are needed.
    """
    columns = versions.c.dataset, versions.c.number, versions.c.commit_id, versions.c.digest
    rows = list(connection.execute(sa.select(*columns).where(versions.c.freed_at.is_(None))))
    contents = {digest for *_, digest in rows}
    names = {f"{dataset}@v{number}" for dataset, number, *_ in rows}
    commits = {(dataset, commit[:_SHORT]) for dataset, _, commit, _ in rows}
    cache = state / "cache"
    for folder, kept in (
        ("slices", contents),
        ("tables", contents),
        ("rows", names),
        ("blobs", needed),
        ("packs", needed),
    ):
        yield from (path for path in _in(cache / folder) if path.stem not in kept)
    for dataset in _in(cache / "versions"):
        yield from (path for path in _in(dataset) if (dataset.name, path.name) not in commits)
    for start in _in(cache / "ranges"):
        yield from (path for path in _in(start) if start.name + path.name not in needed)


def _in(folder: Path) -> Iterator[Path]:
    """What lies in a folder, but for what is being written."""
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if not path.name.startswith("."))
