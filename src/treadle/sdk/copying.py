"""Copying what a run is to keep into its folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from treadle.experiment import LogArtifact, check_artifact_path
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.files import replacing


def copy_in(source: Path, files: Path, name: str) -> list[LogArtifact]:
    """Copies a file or a folder to ``files/name``; each file is there whole or not at all.

    Args:
        source: The file or folder.
        files: The run's ``files/``.
        name: Its path within the run.

    Returns:
        A record for each file.

    Raises:
        NotFound: If there is no such file.
        InvalidInput: If the folder is empty or has links to folders, or a name can't be used.
        StorageError: If the disk is full or fails.
    """
    if source.is_file():
        found = [(name, source)]
    elif source.is_dir():
        found = [(f"{name}/{path.relative_to(source).as_posix()}", path) for path in _walk(source)]
    else:
        raise NotFound("there is no such file or folder", where=str(source))
    for path, _ in found:
        check_artifact_path(path)
    return [LogArtifact(path, _copy(origin, files / path)) for path, origin in found]


def _walk(folder: Path) -> list[Path]:
    found = sorted(_files(folder))
    if not found:
        raise InvalidInput("the folder has no files", where=str(folder))
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        for name in folders:
            if (link := Path(place, name)).is_symlink():
                raise InvalidInput("links to folders are not followed", where=str(link))
        yield from (Path(place, name) for name in names)


def _copy(source: Path, target: Path) -> int:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
        return temporary.stat().st_size
