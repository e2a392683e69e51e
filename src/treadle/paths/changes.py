"""What shall be changed on a branch, gathered until it becomes a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.data import ChangePaths, CopyPath, Entry

if TYPE_CHECKING:
    from treadle.data import Pack


class Changes:
    """Changes of a branch, the last one to a path counts.

    Args:
        dataset: The dataset.
        branch: The branch.

    Attributes:
        dataset: The dataset.
        branch: The branch.
    """

    def __init__(self, dataset: str, branch: str) -> None:
        self.dataset, self.branch = dataset, branch
        self._put: dict[str, Entry] = {}
        self._packs: dict[str, Pack] = {}
        self._copies: dict[str, CopyPath] = {}
        self._removed: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._put or self._copies or self._removed)

    def put(self, entry: Entry, packs: tuple[Pack, ...]) -> None:
        """A file whose bytes are with the server."""
        self._copies.pop(entry.path, None)
        self._removed.pop(entry.path, None)
        self._put[entry.path] = entry
        self._packs.update({pack.digest: pack for pack in packs})

    def copy(self, copy: CopyPath) -> None:
        """Something that lies elsewhere too."""
        self._put.pop(copy.target, None)
        self._copies[copy.target] = copy

    def remove(self, path: str) -> bool:
        """Something that goes; returns whether it is only taken back from what was to come."""
        came = [self._put.pop(path, None), self._copies.pop(path, None)]
        if path.endswith("/"):
            came += [self._put.pop(one) for one in list(self._put) if one.startswith(path)]
            came += [self._copies.pop(one) for one in list(self._copies) if one.startswith(path)]
        return any(came)

    def forget(self, path: str) -> None:
        """Something that lies there now and goes."""
        self._removed[path] = None

    def asked(self, base: str, message: str) -> ChangePaths:
        """The changes, as the API takes them."""
        return ChangePaths(
            branch=self.branch,
            base=base,
            put=tuple(self._put.values()),
            packs=tuple(self._packs.values()),
            copies=tuple(self._copies.values()),
            remove=tuple(self._removed),
            message=message,
        )
