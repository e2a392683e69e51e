"""Writing files so that a crash leaves the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from treadle.kernel.errors import StorageError, StorageFull, TreadleError


@contextlib.contextmanager
def storage_errors(where: str) -> Iterator[None]:
    """Turns the operating system's errors inside the block into :class:`StorageError`.

    Raises:
        StorageFull: When no space is left.
        StorageError: For every other operating-system error.
    """
    try:
        yield
    except TreadleError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "no space is left on the disk",
                where=where,
                fix="free some space and run the same command again; nothing was half-written",
            ) from error
        closed = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        fix = "make it readable and writable for this user" if closed else None
        raise StorageError(error.strerror or str(error), where=where, fix=fix) from error


def keep_out_of_git(state: Path) -> None:
    """Makes a folder of local state that Git ignores, whatever the project's ``.gitignore`` says.

    Raises:
        StorageError: If it can't be written.
    """
    ignore = state / ".gitignore"
    if ignore.exists():
        return
    with storage_errors(str(state)):
        state.mkdir(parents=True, exist_ok=True)
        ignore.write_text("*\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place, durably, when the block succeeds.

    On any error the temporary file goes and ``path`` stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with storage_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A new folder below another one, which is made if need be; it goes with all that is in it.

    Raises:
        StorageFull: If no space is left.
        StorageError: If it can't be made.
    """
    import tempfile

    with storage_errors(str(parent)):
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=parent)
    with folder as path:
        yield Path(path)


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes) -> None:
    """Replaces a file's content, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
