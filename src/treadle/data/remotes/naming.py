"""Which versions people mean when they push, fetch and verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from treadle.data.branches.service import Branches
from treadle.data.branches.types import DEFAULT_BRANCH, RefKind
from treadle.data.work.pointer import Pointer, find_pointers, pointer_path, read_pointer
from treadle.kernel.workspace import Workspace


class Wanted(NamedTuple):
    """A version that somebody named.

    Attributes:
        ref: How it may be resolved: ``flights@COMMIT``, ``flights@main``.
        kind: What the name is, if it is a branch's or a tag's, or comes from a pointer's branch.
        name: That name; empty where there is none.
        below: Only what lies at this path or below it is wanted; all when empty.
    """

    ref: str
    kind: RefKind | None = None
    name: str = ""
    below: str = ""

    @property
    def dataset(self) -> str:
        """The dataset."""
        return self.ref.partition("@")[0]


def wanted(workspace: Workspace, refs: Sequence[str]) -> list[Wanted]:
    """What references and paths name; all pointers when there are none.

    Raises:
        InvalidInput: If a pointer can't be read.
    """
    if not refs:
        return [pointed(read_pointer(place)) for place in find_pointers(workspace.root)]
    return [found for ref in refs for found in _named(workspace, ref)]


def heads(workspace: Workspace) -> list[Wanted]:
    """The branch ``main`` of every dataset that has one."""
    branches = Branches(workspace)
    return [
        Wanted(f"{one.name}@{DEFAULT_BRANCH}", "branch", DEFAULT_BRANCH)
        for one in branches.datasets()
        if branches.head(one.name, DEFAULT_BRANCH)
    ]


def _named(workspace: Workspace, ref: str) -> list[Wanted]:
    whole = workspace.root / ref.rstrip("/").removesuffix(".treadle")
    inside = whole.is_relative_to(workspace.root)
    at = whole
    while inside and at != workspace.root:
        place = pointer_path(at)
        if place.is_file():
            below = whole.relative_to(at).as_posix() if whole != at else ""
            return [pointed(read_pointer(place), below)]
        at = at.parent
    if inside and whole.is_dir() and "@" not in ref:
        found = [pointed(read_pointer(place)) for place in find_pointers(whole)]
        if found:
            return found
    dataset, _, name = ref.partition("@")
    return [Wanted(ref if name else f"{dataset}@{DEFAULT_BRANCH}", None, name or DEFAULT_BRANCH)]


def pointed(pointer: Pointer, below: str = "") -> Wanted:
    """What a pointer names."""
    return Wanted(f"{pointer.dataset}@{pointer.commit}", "branch", pointer.branch, below)
