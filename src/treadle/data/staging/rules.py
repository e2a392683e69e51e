"""A branch's head with what is staged on it, sorted. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from treadle.data.staging.types import Found, Staged
from treadle.data.tree.types import Difference, Entry, Mode

_LAST = chr(0x10FFFF)


def effective(committed: Iterator[Entry], staged: Iterator[Staged]) -> Iterator[Entry]:
    """What is committed, with what is staged instead or in addition; all sorted by path."""
    entry, change = next(committed, None), next(staged, None)
    while entry is not None or change is not None:
        if change is None or (entry is not None and entry.path < change.path):
            assert entry is not None  # noqa: S101 - one of the two is there
            yield entry
            entry = next(committed, None)
            continue
        if change.entry is not None:
            yield change.entry
        if entry is not None and entry.path == change.path:
            entry = next(committed, None)
        change = next(staged, None)


def list_sorted(
    entries: Callable[[str], Iterator[Entry]], prefix: str, *, after: str, limit: int, delimiter: str
) -> list[Found]:
    """A page of a listing, as an object store lists it; folders without files aren't objects.

    Args:
        entries: Gives what lies below the prefix after some path, sorted.
        prefix: Only paths that begin with it.
        after: Only what comes after this path or common prefix.
        limit: At most so many.
        delimiter: Paths with it after the prefix are told by their common prefix only.
    """
    found: list[Found] = []
    while len(found) < limit:
        # A common prefix is left behind at once, however much lies below it.
        for entry in entries(after + _LAST if delimiter and after.endswith(delimiter) else after):
            if entry.mode is Mode.FOLDER:
                continue
            cut = entry.path.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                after = entry.path[: cut + len(delimiter)]
                found.append(Found(after, None))
                break
            found.append(Found(entry.path, entry))
            if len(found) >= limit:
                return found
        else:
            return found
    return found


def real_changes(staged: Iterable[Staged], committed: Callable[[str], Entry | None]) -> Iterator[Difference]:
    """What is staged and isn't so already."""
    for one in staged:
        before = committed(one.path)
        if before != one.entry:
            yield Difference(one.path, before, one.entry)
