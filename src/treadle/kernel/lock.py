"""One holder at a time, across processes, let go by the operating system when the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from treadle.kernel.errors import Busy
from treadle.kernel.files import storage_errors

_LOOKS, _PAUSE = 20, 0.005


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock.

    Attributes:
        pid: The process.
        doing: What it is doing, such as ``treadle up``.
        url: Where its API answers, if it serves one.
        config: The digest of the ``treadle.toml`` that it goes by.
    """

    pid: int
    doing: str
    url: str | None = None
    config: str = ""


def holder(path: Path) -> Holder | None:
    """Who holds the lock at ``path`` right now; ``None`` when nobody does."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            for _ in range(_LOOKS):  # who has just taken it is about to write
                with contextlib.suppress(msgspec.DecodeError):
                    return msgspec.json.decode(file.read(), type=Holder)
                time.sleep(_PAUSE)
                file.seek(0)
            return Holder(0, "starting")
    return None


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def exclusive(path: Path, me: Holder) -> Iterator[int]:
    """Holds the lock at ``path`` for the block, with a descriptor; so does a process that inherits that.

    Raises:
        Busy: If another process holds it; the error says which and what it is doing.
        StorageError: If the file can't be made.
    """
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not _taken(descriptor):
            other = holder(path)
            if other:
                raise Busy(
                    f"{other.doing} (process {other.pid}) is driving this workspace",
                    where=str(path.parent),
                    fix="wait for it to end, or start `treadle up` once and send it everything",
                )
            time.sleep(0.001)  # somebody only looked who holds it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(me), 0)
        yield descriptor
    finally:
        os.close(descriptor)
