"""Making one file, whole or not at all."""

from __future__ import annotations

import contextlib
import os

PARTIAL = ".treadle-partial"
"""How a file's name ends that a checkout is writing; nobody's data."""

PERMISSIONS = (0o644, 0o755)
"""Of files, by :class:`~treadle.data.tree.types.Mode`."""

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LINK = 2


def put(whole: str, data: bytes | memoryview, mode: int, *, replace: bool) -> os.stat_result:
    """Writes a small content to where it belongs.

    Args:
        whole: The path.
        data: The bytes; the target, if it is a link.
        mode: What lies there then, a :class:`~treadle.data.tree.types.Mode`.
        replace: Whether something lies there, which stays as it is until the new file is whole.

    Returns:
        What the file system says of it.
    """
    if mode == _LINK:
        return _put_link(whole, os.fsdecode(bytes(data)))
    place = whole + PARTIAL if replace else whole
    descriptor = _new(place, PERMISSIONS[mode])
    try:
        try:
            _write(descriptor, data)
            if not replace:
                return os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return into_place(place, whole)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(place)  # noqa: PTH108 - half a file is nobody's data
        raise


def _new(place: str, permissions: int) -> int:
    """A file where nothing lies, or what lies there is nobody's."""
    try:
        try:
            return os.open(place, NEW, permissions)
        except FileExistsError:
            _clear(place)
            return os.open(place, NEW, permissions)
    except OSError:
        raise
    except BaseException:  # Ctrl-C, or the helper's end: it is told after the call that made the file
        with contextlib.suppress(OSError):
            os.unlink(place)  # noqa: PTH108
        raise


def into_place(place: str, whole: str) -> os.stat_result:
    """Moves a file that is whole to where it belongs, over what lies there; what is said of it then."""
    try:
        os.replace(place, whole)  # noqa: PTH105
    except IsADirectoryError:
        os.rmdir(whole)  # noqa: PTH106
        os.replace(place, whole)  # noqa: PTH105
    return os.lstat(whole)


def _put_link(whole: str, target: str) -> os.stat_result:
    place = whole + PARTIAL
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)  # noqa: PTH108
    try:
        os.symlink(target, place)  # noqa: PTH211
        return into_place(place, whole)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(place)  # noqa: PTH108
        raise


def _write(descriptor: int, data: bytes | memoryview) -> None:
    """Writes all of it: a disk that is almost full takes a part, and only then tells."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def _clear(place: str) -> None:
    """Takes away what a checkout that broke off left where a new file shall be."""
    if os.path.isdir(place) and not os.path.islink(place):  # noqa: PTH112, PTH114
        os.rmdir(place)  # noqa: PTH106
    else:
        os.unlink(place)  # noqa: PTH108
