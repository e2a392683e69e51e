"""Copying and hashing large files at the speed of the disk.

What is hashed is the copy, not the source: whatever somebody writes into the source meanwhile,
the digest is that of the bytes that are kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from treadle.kernel.errors import CorruptData
from treadle.kernel.files import storage_errors

_SEGMENT = 16 << 20
_BUFFER = 8 << 20
_HOT = 2 << 20  # stays in the processor's cache between reading and hashing
_FICLONE = 0x40049409  # linux/fs.h
_WRITE = 2  # SYNC_FILE_RANGE_WRITE of linux/fs.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)


def copy_hashed(source: Path, target: Path, *, sync: bool = True, where: Path | None = None) -> str:
    """Copies a file's bytes to a new file, as a reflink where the file system can; returns their digest.

    Args:
        source: What to copy.
        target: A new file, in a folder of the store for what is on its way.
        sync: Whether to wait until the copy is on the disk.
        where: What errors name as the place that can't be written; the store when None.

    Raises:
        CorruptData: If the source changed while it was read.
        StorageFull: If no space is left in the store.
        StorageError: If a file can't be read or written.
    """
    with _unchanging(source) as (descriptor, size), storage_errors(str(where or target.parent.parent)):
        out = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            if not reflink(descriptor, out):
                os.truncate(out, size)
            digest = copy_pieces(descriptor, out, size)
            if sync:
                os.fsync(out)
        finally:
            os.close(out)
    return digest


def hash_file(path: Path) -> str:
    """The BLAKE3 digest of a file's bytes, on two threads.

    Raises:
        CorruptData: If the file changed while it was read.
        StorageError: If it can't be read.
    """
    from blake3 import blake3

    with _unchanging(path) as (descriptor, size), storage_errors(str(path)):
        if size < _BUFFER:
            hasher = blake3()
            while piece := os.read(descriptor, _BUFFER):
                hasher.update(piece)
            return hasher.hexdigest()
        return _hash_ahead(descriptor)


def read_checked(path: Path, digest: str) -> Iterator[bytes]:
    """A file's bytes; an error instead of their end, which stops the upload, if they aren't the digest's."""
    from blake3 import blake3

    hasher = blake3()
    with storage_errors(str(path)), path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
            yield chunk
    if hasher.hexdigest() != digest:
        raise CorruptData("the file changed while it was read", where=str(path), fix="add it again")


def reflink(source: int, target: int) -> bool:
    """Makes an open empty file share another one's blocks; returns whether the file system can."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def copy_bytes(source: int, target: int, offset: int, count: int) -> int:
    """Copies bytes between open files at the same offset, within the kernel where it can.

    Returns:
        How many were copied; fewer where the source ends.
    """
    done = 0
    while done < count:
        try:
            moved = os.copy_file_range(source, target, count - done, offset + done, offset + done)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            piece = os.pread(source, min(_BUFFER, count - done), offset + done)
            moved = os.pwrite(target, piece, offset + done) if piece else 0
        if not moved:
            break
        done += moved
    return done


def begin_writing(descriptor: int, offset: int, count: int) -> None:
    """Lets the kernel begin to write bytes to the disk, so that waiting for it at the end is short."""
    if _libc is not None:
        _libc.sync_file_range(descriptor, ctypes.c_int64(offset), ctypes.c_int64(count), _WRITE)


@contextlib.contextmanager
def _unchanging(path: Path) -> Iterator[tuple[int, int]]:
    """An open file and its size; an error at the end if it isn't as it was."""
    with storage_errors(str(path)):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        yield descriptor, before.st_size
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise CorruptData("the file changed while it was read", where=str(path), fix="add it again")


def copy_pieces(
    source: int,
    target: int,
    size: int,
    piece: int = _SEGMENT,
    have: AbstractSet[int] = frozenset(),
    copied: Callable[[int, int], object] = lambda *_: None,
) -> str:
    """Copies an open file's bytes into another open one; returns the digest of what that has then.

    Args:
        source: What to copy.
        target: Where to.
        size: How many bytes.
        piece: How many of them at a time.
        have: Numbers of the pieces that the target has already.
        copied: Called after each other piece with its number and how many bytes it has.
    """
    from blake3 import blake3

    if not size:
        return str(blake3().hexdigest())
    ready: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    hasher = blake3()

    def follow() -> None:
        buffer, offset = bytearray(_HOT), 0
        view = memoryview(buffer)
        while (end := ready.get()) is not None:
            while offset < end and (count := os.preadv(target, [view[: min(_HOT, end - offset)]], offset)):
                hasher.update(view[:count])
                offset += count

    thread = threading.Thread(target=follow, name="treadle-hash")
    thread.start()
    try:
        for number, offset in enumerate(range(0, size, piece)):
            count = min(piece, size - offset)
            if number not in have:
                count = copy_bytes(source, target, offset, count)
                begin_writing(target, offset, count)
                copied(number, count)
            ready.put(offset + count)
    finally:
        ready.put(None)
        thread.join()
    return str(hasher.hexdigest())


def _hash_ahead(descriptor: int) -> str:
    """Reads into one buffer while the other one is hashed."""
    from blake3 import blake3

    hasher: Any = blake3()
    free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
    full: queue.SimpleQueue[tuple[bytearray, int]] = queue.SimpleQueue()
    for _ in range(3):
        free.put(bytearray(_BUFFER))

    def follow() -> None:
        while (taken := full.get())[1]:
            hasher.update(memoryview(taken[0])[: taken[1]])
            free.put(taken[0])

    thread = threading.Thread(target=follow, name="treadle-hash")
    thread.start()
    try:
        while count := os.readv(descriptor, [buffer := free.get()]):
            full.put((buffer, count))
    finally:
        full.put((bytearray(), 0))
        thread.join()
    return str(hasher.hexdigest())
