"""What lakeFS's references name: branches with what is staged on them, versions, and those before them."""

from __future__ import annotations

import re
from typing import NamedTuple

from treadle.api.lakefs.route import Ask
from treadle.data import DatasetVersion
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, Refused
from treadle.kernel.names import unknown

_REF = re.compile(r"(?P<name>[^~^@$]+)(?P<steps>(?:[~^]\d*)*)(?P<committed>@?)")
_COMMIT = re.compile(r"[0-9a-f]{64}")
_STEP = re.compile(r"([~^])(\d*)")


class Spot(NamedTuple):
    """What a reference names.

    Attributes:
        version: The version, deleted or not; None for a branch without one.
        branch: The branch, if what is staged on it counts; empty otherwise.
    """

    version: DatasetVersion | None
    branch: str


def spot(ask: Ask, ref: str) -> Spot:
    """What a reference names: a branch (``main@`` without what is staged), tag, commit, ``ref~2``, ``ref^2``.

    Raises:
        InvalidInput: If it isn't written like a reference.
        NotFound: If there is no such repository or reference.
    """
    found = _REF.fullmatch(ref)
    if found is None:
        raise InvalidInput(f"{ref[:200]!r} is no reference", fix="name a branch, a tag or a commit")
    name, dataset = found["name"], ask.repository
    version: DatasetVersion | None = None
    if _COMMIT.fullmatch(name):
        version = ask.rooms.staging.version(dataset, name)
    elif _is_branch(ask, name):
        version = ask.rooms.branches.head(dataset, name)
        if not found["steps"] and not found["committed"]:
            return Spot(version, name)
    else:
        version = ask.rooms.branches.resolve(f"{dataset}@{name}", deleted=True)
    for kind, number in _STEP.findall(found["steps"]):
        version = _before(ask, version, kind, int(number or 1), ref)
    return Spot(version, "")


def _is_branch(ask: Ask, name: str) -> bool:
    branches, dataset = ask.rooms.branches, ask.repository
    # Versions of older Treadles are on no branch until somebody asks for it.
    return branches.is_branch(dataset, name) or (name == "main" and branches.head(dataset, name) is not None)


def _before(ask: Ask, version: DatasetVersion | None, kind: str, number: int, ref: str) -> DatasetVersion:
    steps = [1] * min(number, 100_000) if kind == "~" else [number] * (number > 0)
    for which in steps:
        if version is None or len(version.parents) < which:
            raise NotFound(f"{ref!r} names no commit: there are not so many before it")
        parent = f"{ask.repository}@{version.parents[which - 1]}"
        version = ask.rooms.branches.resolve(parent, deleted=True)
    if version is None:
        raise NotFound(f"{ref!r} names no commit")
    return version


def version_at(ask: Ask, ref: str) -> DatasetVersion:
    """The version that a reference names; of a branch, its head.

    Raises:
        As :func:`spot`.
        NotFound: If the branch has none.
    """
    version = spot(ask, ref).version
    if version is None:
        raise NotFound(f"branch {ref!r} has no commit yet", fix="upload an object and commit")
    return version


def writable(ask: Ask) -> str:
    """The branch that is asked about, if it may be written to.

    Raises:
        NotFound: If there is no such repository or branch.
        Refused: If it is protected.
    """
    branch = ask.path["branch"]
    if not _is_branch(ask, branch):
        names = [one.name for one in ask.rooms.branches.refs(ask.repository, "branch")]
        raise unknown("branch", branch, names)
    check_open(ask, branch)
    return branch


def check_open(ask: Ask, branch: str) -> None:
    """Refuses to write to a protected branch.

    Raises:
        Refused: If it is one.
    """
    try:
        ask.rooms.branches.check_open(ask.repository, branch)
    except Conflict as error:
        raise Refused(error.message, where=error.where, fix=error.fix) from None
