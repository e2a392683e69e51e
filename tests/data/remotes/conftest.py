from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers import azure, azure_server, full_disk, postgres_server, s3, s3_server  # noqa: F401
from treadle.data import AddPath, Branches, CheckedOut, Checkout, DatasetVersion, WorkingTree
from treadle.data.remotes.remote import Remote
from treadle.data.remotes.service import Remotes
from treadle.data.remotes.types import Fetch, FetchedVersion, Push, PushedVersions, Verified, Verify
from treadle.kernel.workspace import Workspace

TOML = '[project]\nname = "pets"\n'


@dataclass
class Clone:
    """A clone of a project: its folder, and what one does in it."""

    root: Path
    workspace: Workspace

    @property
    def branches(self) -> Branches:
        return Branches(self.workspace)

    @property
    def remote(self) -> Remote:
        return Remote.open(self.workspace.config, self.root)

    def write(self, files: dict[str, bytes], folder: str = "data") -> None:
        for name, data in files.items():
            path = self.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def add(self, files: dict[str, bytes], folder: str = "data", branch: str = "") -> DatasetVersion:
        self.write(files, folder)
        return WorkingTree(self.workspace).add(AddPath(path=folder, branch=branch))

    def checkout(self, ref: str = "") -> list[CheckedOut]:
        return WorkingTree(self.workspace).checkout(Checkout(ref=ref, paths=("data",) if ref else ()))

    def push(self, *refs: str, depth: int = 0) -> PushedVersions:
        return Remotes(self.workspace).push(Push(refs=refs, depth=depth))

    def fetch(self, *refs: str, depth: int = 0, contents: bool = True) -> list[FetchedVersion]:
        return Remotes(self.workspace).fetch(Fetch(refs=refs, depth=depth, contents=contents, actor="ben"))

    def verify(self, *refs: str, at_remote: bool = False, repair: bool = False) -> Verified:
        return Remotes(self.workspace).verify(Verify(refs=refs, at_remote=at_remote, repair=repair))

    def take(self, other: Clone) -> None:
        """What Git would bring: the pointers."""
        for pointer in other.root.glob("?*.treadle"):
            (self.root / pointer.name).write_bytes(pointer.read_bytes())

    def holds(self, folder: str = "data") -> dict[str, bytes]:
        base = self.root / folder
        return {p.relative_to(base).as_posix(): p.read_bytes() for p in base.rglob("*") if p.is_file()}

    def read(self, ref: str) -> dict[str, bytes]:
        """All that a version has, by way of its tree."""
        from treadle.data.tree.trees import below

        version = self.branches.resolve(ref)
        contents = self.branches.contents(version)
        return {
            e.path: contents.read(e.digest, e.size) if e.size else b""
            for e in below(version.tree, "", contents)
        }


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Callable[..., Clone]]:
    """Makes clones of a project with a remote: a folder beside it unless told."""
    made: list[Clone] = []

    def make(
        name: str, url: str = "../remote", options: dict[str, str] | None = None, *, stores: bool = False
    ) -> Clone:
        """A clone whose remote is there, or one whose own blob store is."""
        root = tmp_path / name
        root.mkdir(parents=True)
        listed = "".join(f'{key} = "{value}"\n' for key, value in (options or {}).items())
        section, key = ("store", "blobs") if stores else ("remotes.origin", "url")
        text = f'{TOML}\n[{section}]\n{key} = "{url}"\n[{section}.options]\n{listed}'
        (root / "treadle.toml").write_text(text)
        made.append(Clone(root, Workspace.open(root)))
        return made[-1]

    yield make
    for one in made:
        one.workspace.close()


def together(*does: Callable[[], object]) -> None:
    """Does several things at once; raises what one of them raised."""
    failed: list[BaseException] = []
    start = threading.Barrier(len(does))

    def run(do: Callable[[], object]) -> None:
        start.wait()
        try:
            do()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(do,)) for do in does]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
