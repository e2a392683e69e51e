"""A model's files on this machine, checked once and checked again cheaply."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from treadle.kernel.files import write_atomic
from treadle.kernel.ids import digest_file
from treadle.registry.types import ModelFile

SEEN = ".checked.json"

# Size, modification time in ns and inode: a file that has all three unchanged has its bytes unchanged.
_Stamp: TypeAlias = tuple[int, int, int]


class Source(Protocol):
    """Has files by their digests, such as a blob store."""

    def fetch(self, digest: str, path: Path, /) -> object:
        """Writes the bytes of a digest to a file."""


def materialise(blobs: Source, files: Iterable[ModelFile], folder: Path) -> Path:
    """Brings every file into the folder that isn't there as registered.

    Raises:
        NotFound: If a file isn't in the blob store.
        CorruptData: If what the blob store holds isn't what was registered.
    """
    seen = _read_seen(folder)
    stamps = {}
    for file in files:
        path = folder / file.path
        stamp = _stamp(path)
        fresh = stamp is not None and stamp == seen.get(file.path)
        if not fresh and (stamp is None or digest_file(path) != file.digest):
            blobs.fetch(file.digest, path)
            stamp = _stamp(path)
        stamps[file.path] = stamp
    if stamps != seen:
        write_atomic(folder / SEEN, msgspec.json.encode(stamps))
    return folder


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _read_seen(folder: Path) -> dict[str, _Stamp | None]:
    try:
        return msgspec.json.decode((folder / SEEN).read_bytes(), type=dict[str, _Stamp | None])
    except (OSError, msgspec.DecodeError):
        return {}
