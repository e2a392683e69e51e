"""A project whose data is added and brought back."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

import pytest

from treadle.data import AddPath, Checkout, DatasetVersion, WorkingTree, WorkStatus
from treadle.kernel.workspace import Workspace


class Place:
    """A folder of data in a project, and what is done with it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.tree = WorkingTree(workspace)
        self.folder = workspace.root / "pets"
        self.pointer = workspace.root / "pets.treadle"

    def write(self, files: Mapping[str, bytes] | None = None, /, **named: bytes) -> None:
        """Files by path, or by name; in a name ``__`` is a slash."""
        plain = {name.replace("__", "/"): data for name, data in named.items()}
        for name, data in {**(files or {}), **plain}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def add(self, **asked: object) -> DatasetVersion:
        return self.tree.add(AddPath(path="pets", **asked))  # type: ignore[arg-type]

    def status(self) -> WorkStatus:
        [found] = self.tree.status(["pets"])
        return found

    def changes(self) -> list[tuple[str, str]]:
        return [(one.path, one.kind) for one in self.status().changes]

    def checkout(self, **asked: object) -> tuple[int, int, int]:
        """Brings the data back; how many were written, removed and kept."""
        [done] = self.tree.checkout(Checkout(paths=("pets",), **asked))  # type: ignore[arg-type]
        return done.written, done.removed, done.kept

    def seen(self) -> dict[str, object]:
        """What lies in the folder: bytes and whether they can be run, links, empty folders."""
        found: dict[str, object] = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_symlink():
                found[name] = f"→ {os.readlink(path)}"  # noqa: PTH115
            elif path.is_file():
                found[name] = (path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))
            elif not any(path.iterdir()):
                found[name] = None
        return found

    def packs(self) -> int:
        """How many bytes the store holds."""
        store = self.workspace.root / ".treadle" / "blobs"
        return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


@pytest.fixture
def pets(workspace: Workspace) -> Place:
    """A folder ``pets`` with nothing in it yet."""
    place = Place(workspace)
    place.folder.mkdir()
    return place
