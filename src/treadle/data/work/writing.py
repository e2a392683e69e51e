"""Writing a version's files into a folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.storage.contents import Contents
from treadle.data.tree.paths import pick
from treadle.data.tree.types import Entries, Mode
from treadle.data.work.arriving import Arrivals
from treadle.data.work.chunks import Chunk, Chunks
from treadle.data.work.placing import NEW, PARTIAL, PERMISSIONS, into_place, put
from treadle.data.work.plans import Plan
from treadle.data.work.scanning import Scan
from treadle.data.work.sharing import Sharing, can_share
from treadle.data.work.types import LinkKind
from treadle.kernel import progress
from treadle.kernel.copying import copy_hashed, reflink
from treadle.kernel.errors import CorruptData
from treadle.kernel.files import storage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 16_384
_SHARED_BATCH = 2_048  # so that whoever ends first needn't wait long for the other
_EXECUTABLE, _FOLDER = int(Mode.EXECUTABLE), int(Mode.FOLDER)
MANY = 10_000
"""From so many files on they are made by two processes."""


class Writer:
    """Writes what a plan says.

    Args:
        base: The folder that paths are relative to.
        contents: What gives the files.
        link: ``auto`` shares blocks where the file system can and copies otherwise; ``hardlink`` links large
            files, which are read-only then.
        lock: A descriptor that holds the lock of what is written.
        arrivals: Tells which packs are here, where they are still coming.
    """

    def __init__(
        self,
        base: Path,
        contents: Contents,
        link: LinkKind = "auto",
        lock: int | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._base, self._contents, self._link, self._lock = str(base), contents, link, lock
        self._arrivals = arrivals

    def write(self, target: Entries, plan: Plan, scan: Scan) -> Scan:
        """Writes and removes; returns what lies there then, a row for each of the target's.

        Raises:
            NotFound: If a content isn't kept here.
            CorruptData: If a content isn't what was put.
            StorageFull: If no space is left; what is there is as before or as in the target.
            StorageError: If a file can't be written.
        """
        import numpy as np

        stats = np.zeros((3, len(target)), np.int64)  # times of the content's change, of any change, inodes
        progress.expect(len(plan.write), int(target.sizes[plan.write].sum()))
        with storage_errors(self._base):
            self._remove(plan.remove)
            self._folders(target, plan.write)
            self._files(target, plan, stats)
        for mine, column in zip(stats, (scan.mtimes, scan.ctimes, scan.inodes), strict=True):
            mine[plan.keep] = column[plan.kept]
        no_files = target.modes >= Mode.LINK
        sizes = np.where(no_files, np.uint64(0), target.sizes) if no_files.any() else target.sizes
        mtimes, ctimes, inodes = stats
        return Scan(scan.base, target.paths, sizes, mtimes, ctimes, inodes.view(np.uint64), target.modes)

    # ── folders ──────────────────────────────────────────────────────────

    def _remove(self, paths: list[str]) -> None:
        emptied = set()
        for path in paths:
            whole = f"{self._base}/{path}"
            with contextlib.suppress(FileNotFoundError):
                if os.path.isdir(whole) and not os.path.islink(whole):  # noqa: PTH112, PTH114
                    os.rmdir(whole)  # noqa: PTH106
                else:
                    os.unlink(whole)  # noqa: PTH108
            emptied.add(os.path.dirname(path))  # noqa: PTH120
        for folder in sorted(emptied, key=len, reverse=True):
            while folder:
                try:
                    os.rmdir(f"{self._base}/{folder}")  # noqa: PTH106
                except OSError:  # something lies in it
                    break
                folder = os.path.dirname(folder)  # noqa: PTH120, PLW2901

    def _folders(self, target: Entries, rows: NDArray[np.int64]) -> None:
        os.makedirs(self._base, exist_ok=True)  # noqa: PTH103
        made = {""}
        for begin in range(0, len(rows), _BATCH):
            for path in pick(target.paths, rows[begin : begin + _BATCH]):
                folder = path.rpartition("/")[0]
                if folder not in made:
                    os.makedirs(f"{self._base}/{folder}", exist_ok=True)  # noqa: PTH103
                    made.add(folder)

    # ── files ────────────────────────────────────────────────────────────

    def _files(self, target: Entries, plan: Plan, stats: NDArray[np.int64]) -> None:
        """Writes all files, together with a helper where they are many."""
        shared = len(plan.write) >= MANY and can_share()
        most = _SHARED_BATCH if shared else _BATCH
        chunks = Chunks(target, plan, self._contents, most, self._arrivals)

        def made(rows: NDArray[np.int64], found: NDArray[np.int64]) -> None:
            stats[:, rows] = found.T

        sharing = Sharing(self._base, target, chunks, made, self._lock)
        with sharing.running() if shared else contextlib.nullcontext():
            for chunk in sharing.mine():
                made(chunk.rows, self._some(target, chunk))
        for chunk in sharing.left:
            made(chunk.rows, self._some(target, chunk))

    def _some(self, target: Entries, chunk: Chunk) -> NDArray[np.int64]:
        """Writes some rows; returns of each when its content changed, when anything did, and its inode."""
        import numpy as np

        rows = chunk.rows
        paths = pick(target.paths, rows)
        modes, over = target.modes[rows].tolist(), chunk.replace.tolist()
        found = [(0, 0, 0)] * len(rows)
        count = size = 0
        for row, data in chunk.contents.many(target.digests[rows]):
            stat = put(f"{self._base}/{paths[row]}", data, modes[row], replace=over[row])
            found[row] = stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
            count += 1
            size += len(data)
        progress.tell(count, size)
        for row, one in enumerate(found) if count < len(rows) else ():
            if not one[2]:
                length = int(target.sizes[rows[row]])
                digest = target.digests[rows[row]].tobytes().hex()
                stat = self._alone(paths[row], digest, length, modes[row], replace=over[row])
                found[row] = stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
                progress.tell(1, length)
        return np.array(found, np.int64).reshape(-1, 3)

    def _alone(self, path: str, digest: str, size: int, mode: int, *, replace: bool) -> os.stat_result:
        """Writes what is in no pack as it is: a large file, an empty one, an empty folder."""
        whole = f"{self._base}/{path}"
        if mode == _FOLDER:
            os.makedirs(whole, exist_ok=True)  # noqa: PTH103
            return os.lstat(whole)
        if not size:
            return put(whole, b"", mode, replace=replace)
        place = Path(whole + PARTIAL)
        place.unlink(missing_ok=True)
        source = self._contents.blobs.path(digest)
        if source is None:
            self._contents.fetch(digest, size, place)
        elif self._link == "hardlink":
            source.chmod(0o555 if mode == _EXECUTABLE else 0o444)
            os.link(source, place)
            return into_place(str(place), whole)
        elif not _shared(source, place):
            self._copy(source, place, digest)
        place.chmod(PERMISSIONS[mode])
        return into_place(str(place), whole)

    def _copy(self, source: Path, place: Path, digest: str) -> None:
        try:
            right = copy_hashed(source, place, sync=False, where=Path(self._base)) == digest
        except BaseException:
            place.unlink(missing_ok=True)
            raise
        if not right:
            place.unlink()
            raise CorruptData(
                f"content {digest[:12]} is not what was stored",
                where=str(source),
                fix="`treadle data verify --repair` fetches it again",
            )


def _shared(source: Path, place: Path) -> bool:
    """Lets a new file share another one's blocks; returns whether the file system can."""
    one = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        two = os.open(place, NEW, 0o644)
        try:
            done = reflink(one, two)
        finally:
            os.close(two)
    finally:
        os.close(one)
    if not done:
        place.unlink()
    return done
