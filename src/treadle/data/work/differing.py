"""What files hold that look changed, and how a folder differs from a version."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from treadle.data.storage.contents import Contents
from treadle.data.tree.types import Entries, Mode
from treadle.data.work.scanning import Scan, read_link
from treadle.data.work.state import Comparison
from treadle.data.work.types import PathChange, WorkStatus
from treadle.kernel.copying import hash_file
from treadle.kernel.files import storage_errors
from treadle.kernel.ids import digest_bytes

_SMALL = 1 << 20


def read_unknown(found: Scan, known: Comparison) -> Entries:
    """What lies in a folder, with digests of all; reads what isn't known, and fills it in where it may.

    Raises:
        CorruptData: If a file changes meanwhile.
        StorageError: If a file can't be read.
    """
    import numpy as np

    digests = known.digests if known.digests.flags.writeable else known.digests.copy()
    links = np.flatnonzero(found.modes == Mode.LINK)
    sizes = found.sizes.copy() if len(links) else found.sizes
    for row in np.flatnonzero(~known.known).tolist():
        digests[row] = np.frombuffer(bytes.fromhex(_digest(found, row)), np.uint8)
    for row in links.tolist():
        sizes[row] = len(read_link(found.base, found.paths[row]))
    return Entries(found.paths, sizes, digests, found.modes)


def recognised(known: Comparison, found: Scan, version: Entries) -> Comparison:
    """What is known of a folder, and what turns out to be as a version has it; reads what isn't known.

    So that nothing of it counts as lost when it is overwritten or removed.
    """
    import numpy as np

    digests, still = known.digests.copy(), known.known.copy()
    for row in np.flatnonzero(~known.known).tolist():
        at = bisect.bisect_left(version.paths, found.paths[row])
        if at == len(version) or version.paths[at] != found.paths[row]:
            continue
        kept = version.digests[at].tobytes()
        same_size = found.modes[row] > Mode.EXECUTABLE or found.sizes[row] == version.sizes[at]
        if same_size and found.modes[row] == version.modes[at] and _digest(found, row) == kept.hex():
            digests[row], still[row] = version.digests[at], True
    return Comparison(digests, still, known.gone)


def only_stored(known: Comparison, found: Scan, contents: Contents) -> Comparison:
    """What is known of a folder, but only of files that are stored where a version can refer to them."""
    import numpy as np

    rows = np.flatnonzero(known.known & (found.modes <= Mode.EXECUTABLE) & (found.sizes > 0))
    unpacked = rows[contents.indexes.missing(known.digests[rows])]
    lost = [
        row
        for row in unpacked.tolist()
        if found.sizes[row] < _SMALL or not contents.blobs.claim(known.digests[row].tobytes().hex())
    ]
    still = known.known.copy()
    still[lost] = False
    return Comparison(known.digests, still, known.gone)


def _digest(found: Scan, row: int) -> str:
    mode, path = found.modes[row], found.base / found.paths[row]
    if mode == Mode.LINK:
        return digest_bytes(read_link(found.base, found.paths[row]))
    if mode == Mode.FOLDER:
        return digest_bytes(b"")
    if found.sizes[row] >= _SMALL:
        return hash_file(path)
    with storage_errors(str(path)):
        return digest_bytes(path.read_bytes())


def tell(base: WorkStatus, kept: Iterable[Entries], mine: Entries, limit: int) -> WorkStatus:
    """How what lies in a folder differs from what a version has.

    Args:
        base: What is known of both.
        kept: What the version has, in pieces of which only one is looked at at once.
        mine: What lies there.
        limit: How many paths are told of each kind of change.
    """
    import numpy as np

    added: list[str] = []
    modified: list[str] = []
    deleted: list[str] = []
    at = 0
    for piece in kept:
        end = at + len(piece)
        if mine.paths[at:end] == piece.paths:
            same = (piece.digests == mine.digests[at:end]).all(axis=1) & (piece.modes == mine.modes[at:end])
            modified += [piece.paths[row] for row in np.flatnonzero(~same).tolist()]
        else:
            end = bisect.bisect_right(mine.paths, piece.paths[-1], at)
            left = {path: row for row, path in enumerate(mine.paths[at:end], at)}
            pairs = [(row, left.pop(path, -1)) for row, path in enumerate(piece.paths)]
            modified += [
                piece.paths[one] for one, two in pairs if two >= 0 and not _same(piece, one, mine, two)
            ]
            deleted += [piece.paths[one] for one, two in pairs if two < 0]
            added += left
        at = end
    added += mine.paths[at:]
    changes = [PathChange(path, "added") for path in added[:limit]]
    changes += [PathChange(path, "modified") for path in modified[:limit]]
    changes += [PathChange(path, "deleted") for path in deleted[:limit]]
    return msgspec.structs.replace(
        base,
        added=len(added),
        modified=len(modified),
        deleted=len(deleted),
        changes=tuple(sorted(changes, key=lambda change: change.path)[:limit]),
    )


def _same(kept: Entries, one: int, mine: Entries, two: int) -> bool:
    digests = kept.digests[one].tobytes(), mine.digests[two].tobytes()
    return digests[0] == digests[1] and int(kept.modes[one]) == int(mine.modes[two])


class Holding:
    """Says what files hold that are in no version.

    Args:
        found: What lies in the folder.
        wanted: What shall lie there.
        contents: What gives its contents.
        broke_off: Whether a checkout broke off there: what it had begun to write may be overwritten.
    """

    def __init__(self, found: Scan, wanted: Entries, contents: Contents, *, broke_off: bool) -> None:
        self._found, self._wanted, self._contents, self._broke_off = found, wanted, contents, broke_off

    def __call__(self, here: int, row: int) -> bool | None:
        """Whether a file holds what is wanted; None if it is only the beginning of that."""
        wanted = self._wanted.digests[row].tobytes().hex()
        if _digest(self._found, here) == wanted:
            return True
        size, length = int(self._wanted.sizes[row]), int(self._found.sizes[here])
        if not self._broke_off or length >= size or self._found.modes[here] > Mode.EXECUTABLE:
            return False
        begun = (self._found.base / self._found.paths[here]).read_bytes()
        return None if self._contents.read(wanted, size, 0, length) == begun else False


def folds_case(folder: Path, probe: str) -> bool:
    """Whether a folder's file system takes names that differ in case for one."""
    one = folder / f"{probe.lower()}"
    with storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(one, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC)
        os.close(descriptor)
        try:
            return one.with_name(one.name.upper()).exists()
        finally:
            one.unlink()
