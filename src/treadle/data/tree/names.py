"""Which paths a tree may have."""

from __future__ import annotations

from collections.abc import Iterable

from treadle.kernel.errors import InvalidInput

_LONGEST = 255


def check_path(path: str) -> str:
    """The path itself, if it may name something in a dataset.

    Raises:
        InvalidInput: If it is empty, absolute, not UTF-8, has a part that is empty, ``.``, ``..`` or
            longer than 255 bytes, or a NUL.
    """
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise _refused(path, "it is not UTF-8") from None
    parts = raw.split(b"/")
    if b"" in parts:
        raise _refused(path, "it has an empty part" if path else "it is empty")
    if b"." in parts or b".." in parts:
        raise _refused(path, "it has a part that is . or ..")
    if b"\0" in raw:
        raise _refused(path, "it has a NUL")
    if len(raw) > _LONGEST and any(len(one) > _LONGEST for one in parts):
        raise _refused(path, f"it has a part of more than {_LONGEST} bytes")
    return path


def check_nesting(paths: Iterable[str]) -> None:
    """Refuses sorted paths of which one would be both a file and a folder, or which appear twice.

    Raises:
        InvalidInput: Naming both.
    """
    before: list[str] = []  # what may be a folder of what follows
    for path in paths:
        while before and not path.startswith(before[-1]):
            before.pop()
        for other in reversed(before):
            if path == other:
                raise _refused(path, "it is there twice")
            if path[len(other)] == "/":
                raise InvalidInput(
                    f"{other!r} is a file and, in {path!r}, a folder", where=path, fix="rename one of them"
                )
        before.append(path)


def _refused(path: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path!r} can't be a path of a dataset: {why}",
        fix="write a relative path with forward slashes, such as images/0001.png",
    )
