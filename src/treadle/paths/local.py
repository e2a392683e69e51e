"""Versions as files of this machine, for programs that know no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.kernel import progress
from treadle.kernel.errors import CorruptData
from treadle.kernel.files import replacing, storage_errors
from treadle.paths.places import Place, needs_names, read_place
from treadle.paths.reader import Origin, checked

if TYPE_CHECKING:
    from treadle.client import Client
    from treadle.data import DatasetVersion, PathEntry

_AT_ONCE = 8


def find_place(client: Client, text: str) -> Place:
    """What ``flights@exp/new/day=1`` names; branches with slashes in their names are known.

    Raises:
        NotFound: If there is no such dataset.
        InvalidInput: If the version is missing after its ``@``.
        Unavailable: If the server doesn't answer.
    """
    names: list[str] = []
    if dataset := needs_names(text):
        names = [one.name for one in client.data_refs(dataset)]
        names += [one.name for one in client.data_refs(dataset, "tag")]
    return read_place(text, names)


def bring(client: Client, version: DatasetVersion, path: str, folder: Path) -> Path:
    """Brings a file of a version, or all below a folder of it, to this machine; what is there stays.

    The files are read-only and belong to the version: a program that was killed goes on where it was.

    Args:
        client: Asks the server, or the workspace.
        version: Which.
        path: Of the version; all of it when empty.
        folder: Keeps versions; each has a folder of its own in it.

    Returns:
        Where it lies.

    Raises:
        NotFound: If the version has nothing there.
        CorruptData: If what came isn't what was stored.
        StorageFull: If no space is left.
        StorageError: If it can't be written.
    """
    base = folder / version.dataset / version.commit_id[:16]
    entry = client.data_entry(version.dataset, version.commit_id, path)
    if entry.kind == "file":
        found = [entry]
    else:
        found = client.data_paths(version.dataset, version.commit_id, path, deep=True)
        with storage_errors(str(base)):
            _place(base, path).mkdir(parents=True, exist_ok=True)
    with storage_errors(str(base)), ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="treadle-path") as pool:
        for came in pool.map(lambda one: _bring(client, version, one, base), found):
            progress.tell(1, came)
    return _place(base, path)


def _bring(client: Client, version: DatasetVersion, entry: PathEntry, base: Path) -> int:
    """Brings what lies at a path; returns how many bytes came."""
    place = _place(base, entry.path)
    if entry.kind == "folder":
        place.mkdir(parents=True, exist_ok=True)
        return 0
    with contextlib.suppress(FileNotFoundError):
        if place.stat().st_size == entry.size:
            return 0
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as temporary, temporary.open("wb") as file:
        for piece in _pieces(client, version, entry):
            file.write(piece)
        temporary.chmod(0o555 if entry.mode == 1 else 0o444)
    return entry.size


def _pieces(client: Client, version: DatasetVersion, entry: PathEntry) -> Iterator[bytes]:
    origin = Origin(
        version.dataset, version.commit_id, entry.path, entry.size, entry.digest, bool(entry.external)
    )
    return checked(origin, client.read_data(origin.dataset, origin.commit, origin.path))


def _place(base: Path, path: str) -> Path:
    if any(part in {"", ".", ".."} for part in path.split("/")) and path:
        raise CorruptData(f"{path[:200]!r} can't be a path of a version", where=str(base))
    return base / path
