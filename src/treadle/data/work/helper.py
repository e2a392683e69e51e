"""The second process of a large checkout: it makes files out of packs, as it is told.

What comes and what goes are frames: a length (u32, little-endian) and so many bytes. A frame that
comes is a :class:`Job` in MessagePack; one that goes has three numbers (i64, in the machine's own order)
for each of the job's files: when its content changed, when anything changed, its inode. They are
zeros for a file that it didn't make, because its content is damaged or the file system refused:
whoever asked tries it again, and tells what is wrong.

It ends at SIGTERM, and when its standard input does, for then whoever asked is dead. A file that it has
begun goes then, as it does where Ctrl-C ends a checkout.
"""

from __future__ import annotations

import os
import queue
import signal
import struct
import sys
import threading
from array import array
from typing import IO

import msgspec

from treadle.data.storage.cutting import cut
from treadle.data.work.placing import put

LENGTH = struct.Struct("<I")


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """Contents that lie side by side in a pack, and where they belong; n of them.

    Attributes:
        pack: The pack's file.
        offset: Where in it the first content begins.
        size: How many bytes they have, with what lies between them.
        bounds: Where each begins and before where it ends, after the first, and how many bytes it has
            unpacked; int64 of shape (3, n).
        zipped: Whether each is compressed; n bytes.
        digests: 32 n bytes.
        paths: Where each belongs, below the folder.
        modes: What each is, a :class:`~treadle.data.tree.types.Mode`; n bytes.
        replace: Whether something lies there; n bytes.
    """

    pack: bytes
    offset: int
    size: int
    bounds: bytes
    zipped: bytes
    digests: bytes
    paths: list[str]
    modes: bytes
    replace: bytes


class Job(msgspec.Struct, frozen=True, array_like=True):
    """Files to make.

    Attributes:
        stretches: Out of what.
    """

    stretches: list[Stretch]


def main() -> None:
    """Does what standard input says, in the folder that the first argument names."""
    signal.signal(signal.SIGTERM, _end)
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    try:
        _work(sys.argv[1], jobs, sys.stdout.buffer)
    except SystemExit:
        os._exit(0)  # the other thread holds standard input


def _end(*_: object) -> None:
    raise SystemExit


def _listen(jobs: queue.SimpleQueue[Job]) -> None:
    decode = msgspec.msgpack.Decoder(Job).decode
    while frame := read_frame(sys.stdin.buffer):
        jobs.put(decode(frame))
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _work(base: str, jobs: queue.SimpleQueue[Job], out: IO[bytes]) -> None:
    while True:
        answer = array("q")
        for stretch in jobs.get().stretches:
            answer.extend(_make(base, stretch))
        out.write(LENGTH.pack(len(answer) * answer.itemsize) + answer.tobytes())
        out.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """The next frame, which may be empty; None where the stream has ended, or breaks off."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    [length] = LENGTH.unpack(head)
    found = stream.read(length)
    return found if len(found) == length else None


def _make(base: str, stretch: Stretch) -> array[int]:
    """Makes the files of a stretch; what the file system says of each, three numbers."""
    count = len(stretch.paths)
    found, bounds = array("q", bytes(24 * count)), array("q", stretch.bounds)
    starts, ends, lengths = (bounds[at : at + count] for at in (0, count, 2 * count))
    try:
        data = _read(stretch)
        contents = cut(data, stretch.digests, starts, ends, lengths, stretch.zipped)
        each = zip(contents, stretch.paths, stretch.modes, stretch.replace, strict=True)
        for row, (content, path, mode, replace) in enumerate(each):
            if content is not None:
                stat = put(f"{base}/{path}", content, mode, replace=bool(replace))
                found[3 * row] = stat.st_mtime_ns
                found[3 * row + 1] = stat.st_ctime_ns
                found[3 * row + 2] = stat.st_ino
    except OSError:
        return found
    return found


def _read(stretch: Stretch) -> memoryview:
    descriptor = os.open(stretch.pack, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return memoryview(os.pread(descriptor, stretch.size, stretch.offset))
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
