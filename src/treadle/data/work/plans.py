"""What a checkout would do, decided before anything is touched."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.data.tree.paths import places
from treadle.data.tree.types import Entries, Mode
from treadle.data.work.scanning import Scan
from treadle.data.work.state import Comparison

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What a checkout does.

    Attributes:
        write: Rows of the target that are written.
        replace: Which of those are written over something; bool, as long as ``write``.
        keep: Rows of the target that lie there already.
        kept: The rows of the scan that they are.
        remove: Paths that go.
        conflicts: Paths whose content would be lost: it is in no version.
    """

    write: NDArray[np.int64]
    replace: NDArray[np.bool_]
    keep: NDArray[np.int64]
    kept: NDArray[np.int64]
    remove: list[str]
    conflicts: list[str]


def plan(
    target: Entries,
    scan: Scan,
    found: Comparison,
    holds: Callable[[int, int], bool | None],
    *,
    force: bool = False,
) -> Plan:
    """Decides what becomes of each path.

    Args:
        target: What shall lie there.
        scan: What lies there.
        found: What of it is known to be as in a version.
        holds: Says of a row of the scan and one of the target whether it holds what the target has;
            None if it is the beginning of that, which a checkout that broke off left.
        force: Whether what is in no version may be lost.
    """
    import numpy as np

    if not len(scan):
        every = np.arange(len(target))
        none = np.empty(0, np.int64)
        return Plan(every, np.zeros(len(target), dtype=bool), none, none, [], [])
    here = np.arange(len(scan)) if scan.paths == target.paths else places(target.paths, scan.paths)
    there = here >= 0
    same = there.copy()
    same[there] &= found.known[here[there]]
    same[there] &= (found.digests[here[there]] == target.digests[there]).all(axis=1)
    same[there] &= scan.modes[here[there]] == target.modes[there]
    write = np.flatnonzero(~same)
    conflicts: list[str] = []
    extra: list[int] = []
    for row in write[there[write] & ~found.known[here[write]]].tolist():
        if scan.modes[here[row]] == Mode.FOLDER:  # an empty folder loses nothing
            continue
        state = holds(int(here[row]), row)
        if state and scan.modes[here[row]] == target.modes[row]:
            extra.append(row)
        elif state is False and not force:
            conflicts.append(target.paths[row])
    if extra:
        same[extra] = True
        write = np.flatnonzero(~same)
    keep = np.flatnonzero(same)
    left = np.ones(len(scan), dtype=bool)
    left[here[there]] = False
    remove = [scan.paths[row] for row in np.flatnonzero(left & found.known).tolist()]
    strange = np.flatnonzero(left & ~found.known & (scan.modes != Mode.FOLDER))
    others = [scan.paths[row] for row in strange.tolist()]
    blocking = _in_the_way(target, others)
    (remove if force else conflicts).extend(blocking)
    return Plan(write, there[write], keep, here[keep], remove, sorted(conflicts))


def _in_the_way(target: Entries, others: list[str]) -> list[str]:
    """Files that lie where the target has a folder, or below where it has a file."""
    paths = target.paths

    def is_folder(path: str) -> bool:
        at = bisect.bisect_left(paths, f"{path}/")
        return at < len(paths) and paths[at].startswith(f"{path}/")

    @functools.cache
    def is_file(path: str) -> bool:
        at = bisect.bisect_left(paths, path)
        return at < len(paths) and paths[at] == path and target.modes[at] != Mode.FOLDER

    return [path for path in others if is_folder(path) or any(map(is_file, _parents(path)))]


def _parents(path: str) -> list[str]:
    return [path[:at] for at, letter in enumerate(path) if letter == "/"]
