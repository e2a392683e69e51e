"""Writing a version's files into a folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.storage.contents import Contents
from treadle.data.tree.types import Entries, Mode
from treadle.data.work.plans import Plan
from treadle.data.work.scanning import PARTIAL, Scan
from treadle.data.work.types import LinkKind
from treadle.kernel import progress
from treadle.kernel.copying import copy_hashed, reflink
from treadle.kernel.errors import CorruptData
from treadle.kernel.files import storage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 16_384
_PERMISSIONS = (0o644, 0o755)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_EXECUTABLE, _LINK, _FOLDER = int(Mode.EXECUTABLE), int(Mode.LINK), int(Mode.FOLDER)


class Writer:
    """Writes what a plan says.

    Args:
        base: The folder that paths are relative to.
        contents: What gives the files.
        link: ``auto`` shares blocks where the file system can and copies otherwise; ``hardlink`` links large
            files, which are read-only then.
    """

    def __init__(
        self,
        base: Path,
        contents: Contents,
        link: LinkKind = "auto",
    ) -> None:
        self._base, self._contents, self._link = str(base), contents, link

    def write(self, target: Entries, plan: Plan, scan: Scan) -> Scan:
        """Writes and removes; returns what lies there then, a row for each of the target's.

        Raises:
            NotFound: If a content isn't kept here.
            CorruptData: If a content isn't what was put.
            StorageFull: If no space is left; what is there is as before or as in the target.
            StorageError: If a file can't be written.
        """
        import numpy as np

        mtimes, ctimes, inodes = (np.zeros(len(target), np.int64) for _ in range(3))
        sizes = target.sizes.copy()
        with storage_errors(self._base):
            self._remove(plan.remove)
            self._folders(target, plan.write)
            for begin in range(0, len(plan.write), _BATCH):
                rows = plan.write[begin : begin + _BATCH]
                found = self._some(target, rows, plan.replace[begin : begin + _BATCH])
                mtimes[rows], ctimes[rows], inodes[rows] = found
        mtimes[plan.keep] = scan.mtimes[plan.kept]
        ctimes[plan.keep] = scan.ctimes[plan.kept]
        inodes[plan.keep] = scan.inodes[plan.kept].astype(np.int64)
        sizes[target.modes >= Mode.LINK] = 0
        return Scan(scan.base, target.paths, sizes, mtimes, ctimes, inodes.astype(np.uint64), target.modes)

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
        paths = target.paths
        for row in rows.tolist():
            folder = paths[row].rpartition("/")[0]
            if folder not in made:
                os.makedirs(f"{self._base}/{folder}", exist_ok=True)  # noqa: PTH103
                made.add(folder)

    # ── files ────────────────────────────────────────────────────────────

    def _some(
        self, target: Entries, rows: NDArray[np.int64], replace: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Writes some rows; returns times of the content's change, of any change, and inodes."""
        import numpy as np

        count = len(rows)
        found = np.zeros((3, count), np.int64)
        paths = [target.paths[row] for row in rows.tolist()]
        modes, over = target.modes[rows].tolist(), replace.tolist()
        written = np.zeros(count, dtype=bool)
        mtimes, ctimes, inodes = ([0] * count for _ in range(3))
        size = 0
        for row, data in self._contents.many(target.digests[rows]):
            stat = self._put(paths[row], data, modes[row], replace=over[row])
            mtimes[row], ctimes[row], inodes[row] = stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
            written[row] = True
            size += len(data)
        progress.tell(int(written.sum()), size)
        found[:] = (mtimes, ctimes, inodes)
        for row in np.flatnonzero(~written).tolist():
            length = int(target.sizes[rows[row]])
            digest = target.digests[rows[row]].tobytes().hex()
            stat = self._alone(paths[row], digest, length, modes[row], replace=over[row])
            found[:, row] = stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
            progress.tell(1, length)
        return found[0], found[1], found[2]

    def _put(self, path: str, data: bytes, mode: int, *, replace: bool) -> os.stat_result:
        """Writes a small content."""
        whole = f"{self._base}/{path}"
        if mode == _LINK:
            return self._put_link(whole, os.fsdecode(data))
        place = whole + PARTIAL if replace else whole
        try:
            descriptor = os.open(place, _NEW, _PERMISSIONS[mode])
        except FileExistsError:
            _clear(place)
            descriptor = os.open(place, _NEW, _PERMISSIONS[mode])
        try:
            _write(descriptor, data)
            if not replace:
                return os.fstat(descriptor)
        except BaseException:
            os.unlink(place)  # noqa: PTH108 - half a file is nobody's data
            raise
        finally:
            os.close(descriptor)
        return _into_place(place, whole)

    def _alone(self, path: str, digest: str, size: int, mode: int, *, replace: bool) -> os.stat_result:
        """Writes what is in no pack as it is: a large file, an empty one, an empty folder."""
        whole = f"{self._base}/{path}"
        if mode == _FOLDER:
            os.makedirs(whole, exist_ok=True)  # noqa: PTH103
            return os.lstat(whole)
        if not size:
            return self._put(path, b"", mode, replace=replace)
        place = Path(whole + PARTIAL)
        place.unlink(missing_ok=True)
        source = self._contents.blobs.path(digest)
        if source is None:
            self._contents.fetch(digest, size, place)
        elif self._link == "hardlink":
            source.chmod(0o555 if mode == _EXECUTABLE else 0o444)
            os.link(source, place)
            return _into_place(str(place), whole)
        elif not _shared(source, place):
            self._copy(source, place, digest)
        place.chmod(_PERMISSIONS[mode])
        return _into_place(str(place), whole)

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

    @staticmethod
    def _put_link(whole: str, target: str) -> os.stat_result:
        place = whole + PARTIAL
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)  # noqa: PTH108
        os.symlink(target, place)  # noqa: PTH211
        return _into_place(place, whole)


def _write(descriptor: int, data: bytes) -> None:
    """Writes all of it: a disk that is almost full takes a part, and only then tells."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def _into_place(place: str, whole: str) -> os.stat_result:
    try:
        os.replace(place, whole)  # noqa: PTH105
    except IsADirectoryError:
        os.rmdir(whole)  # noqa: PTH106
        os.replace(place, whole)  # noqa: PTH105
    return os.lstat(whole)


def _clear(place: str) -> None:
    """Takes away what a checkout that broke off left where a new file shall be."""
    if os.path.isdir(place) and not os.path.islink(place):  # noqa: PTH112, PTH114
        os.rmdir(place)  # noqa: PTH106
    else:
        os.unlink(place)  # noqa: PTH108


def _shared(source: Path, place: Path) -> bool:
    """Lets a new file share another one's blocks; returns whether the file system can."""
    one = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        two = os.open(place, _NEW, 0o644)
        try:
            done = reflink(one, two)
        finally:
            os.close(two)
    finally:
        os.close(one)
    if not done:
        place.unlink()
    return done
