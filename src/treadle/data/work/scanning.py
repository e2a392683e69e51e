"""What lies in a folder now: one pass over its names and what the file system says of them."""

from __future__ import annotations

import os
import stat
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.tree.paths import Paths
from treadle.data.tree.types import Mode
from treadle.data.work.placing import PARTIAL
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.files import storage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FIRST = itemgetter(0)


@dataclass(frozen=True, eq=False, slots=True)
class Scan:
    """The paths below a folder, sorted by their bytes, and what the file system says of each; n of them.

    Attributes:
        base: The folder that the paths are relative to.
        paths: With forward slashes.
        sizes: In bytes, uint64; 0 for links and empty folders.
        mtimes: When the content changed, in nanoseconds since 1970, int64.
        ctimes: When anything about it changed, int64.
        inodes: uint64.
        modes: :class:`~treadle.data.tree.types.Mode`, uint8.
    """

    base: Path
    paths: Sequence[str]
    sizes: NDArray[np.uint64]
    mtimes: NDArray[np.int64]
    ctimes: NDArray[np.int64]
    inodes: NDArray[np.uint64]
    modes: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many."""
        return len(self.paths)


def nothing_in(base: Path) -> Scan:
    """The scan of a folder in which nothing lies."""
    import numpy as np

    counts, times = np.empty(0, np.uint64), np.empty(0, np.int64)
    return Scan(base, [], counts, times, times, counts, np.empty(0, np.uint8))


def scan(root: Path) -> Scan:
    """Looks at everything below a folder, or at one file.

    Raises:
        NotFound: If there is nothing.
        InvalidInput: If something lies there that can't be kept: a device, a name that isn't UTF-8.
        StorageError: If a folder can't be read.
    """
    import numpy as np

    sizes, mtimes, ctimes, inodes, modes = array("Q"), array("q"), array("q"), array("Q"), bytearray()
    paths = Paths()

    def add(path: str, found: os.stat_result, mode: Mode) -> None:
        paths.append(path)
        sizes.append(found.st_size if mode <= Mode.EXECUTABLE else 0)
        mtimes.append(found.st_mtime_ns)
        ctimes.append(found.st_ctime_ns)
        inodes.append(found.st_ino)
        modes.append(mode)

    with storage_errors(str(root)):
        try:
            top = root.lstat()
        except FileNotFoundError:
            raise NotFound(
                "there is no such file or folder",
                where=str(root),
                fix="`treadle data checkout` brings it back",
            ) from None
        if stat.S_ISDIR(top.st_mode):
            for path, found in _below(str(root), ""):
                add(path, found, _mode(path, found.st_mode, root))
        else:
            add(root.name, top, _mode(root.name, top.st_mode, root.parent))
    return Scan(
        root if stat.S_ISDIR(top.st_mode) else root.parent,
        paths,
        np.asarray(sizes, np.uint64),
        np.asarray(mtimes, np.int64),
        np.asarray(ctimes, np.int64),
        np.asarray(inodes, np.uint64),
        np.array(modes, np.uint8),
    )


def _below(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Files, links and empty folders, in the order of their whole paths' bytes."""
    # A folder sorts as if its name ended with a slash, as it does within a path.
    with os.scandir(folder) as found:
        entries = [(f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name, e) for e in found]
    entries.sort(key=_FIRST)
    for name, entry in entries:
        if name[-1] == "/":
            empty = True
            for one in _below(entry.path, prefix + name):
                empty = False
                yield one
            if empty:
                yield prefix + name[:-1], entry.stat(follow_symlinks=False)
        elif not name.endswith(PARTIAL):
            yield prefix + name, entry.stat(follow_symlinks=False)


def _mode(path: str, found: int, root: Path) -> Mode:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            f"the name {os.fsencode(path)!r} is not UTF-8", where=str(root), fix="rename the file"
        ) from None
    if stat.S_ISREG(found):
        return Mode.EXECUTABLE if found & stat.S_IXUSR else Mode.FILE
    if stat.S_ISLNK(found):
        return Mode.LINK
    if stat.S_ISDIR(found):
        return Mode.FOLDER
    raise InvalidInput(
        "it is neither a file, a folder nor a link", where=f"{root}/{path}", fix="move it out of the data"
    )


def read_link(base: Path, path: str) -> bytes:
    """The target of a symbolic link within the data.

    Raises:
        InvalidInput: If it leads out of the data: the version would not hold what it shows.
    """
    with storage_errors(f"{base}/{path}"):
        target = os.readlink(f"{base}/{path}")  # noqa: PTH115 - a path of millions
    whole = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120
    if os.path.isabs(target) or whole.split("/", 1)[0] == "..":  # noqa: PTH117
        raise InvalidInput(
            f"the link leads to {target!r}, outside of the data",
            where=f"{base}/{path}",
            fix="put a copy there instead of the link, or a relative link to a file of the data",
        )
    return os.fsencode(target)


def clashes(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of paths that are one where upper and lower case, or forms of accents, aren't told apart."""
    seen: dict[str, str] = {}
    found = []
    for path in paths:
        folded = unicodedata.normalize("NFC", path).casefold()
        if (other := seen.setdefault(folded, path)) != path:
            found.append((other, path))
    return found
