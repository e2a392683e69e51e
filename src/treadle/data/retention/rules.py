"""Which versions are meant, and which ones a policy keeps. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from treadle.data.branches.graph import Graph
from treadle.data.branches.rules import parse_ref
from treadle.data.retention.types import PruneVersions
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import InvalidInput

_RANGE = re.compile(r"v?([1-9]\d{0,15})\.\.v?([1-9]\d{0,15})")
_LONGEST_REASON = 1000


def parse_range(text: str) -> tuple[int, int] | None:
    """Reads ``v3..v9``, both ends included; None for what is no range.

    Raises:
        InvalidInput: If it ends before it begins.
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        if ".." in text:
            raise InvalidInput(f"{text[:80]!r} is no range of versions", fix="write it like v3..v9")
        return None
    first, last = int(found[1]), int(found[2])
    if first > last:
        raise InvalidInput(f"{text!r} ends before it begins", fix=f"write v{last}..v{first}")
    return first, last


def parse_version(dataset: str, text: str) -> tuple[str, str]:
    """Reads ``v3`` or the beginning of a commit; returns ``number`` or ``commit``, and which.

    Raises:
        InvalidInput: If it is neither: branches and tags move, or stay for a reason.
    """
    named = parse_ref(f"{dataset}@{text}")
    if named.kind not in ("number", "commit"):
        raise InvalidInput(
            f"{text[:80]!r} is no number of a version", where=dataset, fix="write v3, v3..v9, or a commit"
        )
    return named.kind, named.value


def check_reason(reason: str) -> str:
    """The reason itself, without blanks around it.

    Raises:
        InvalidInput: If it is too long, or has control characters.
    """
    if len(reason) > _LONGEST_REASON or any(ord(letter) < 32 for letter in reason):
        raise InvalidInput(
            f"a reason is one line of at most {_LONGEST_REASON:,} characters",
            where="reason",
            fix="shorten it",
        )
    return reason.strip()


def check_policy(asked: PruneVersions) -> None:
    """Refuses a policy that keeps nothing.

    Raises:
        InvalidInput: If neither a number nor a time is given, or the number is negative.
    """
    if asked.keep_last < 0:
        raise InvalidInput(f"{asked.keep_last} versions can't be kept", fix="keep 1 or more")
    if not asked.keep_last and not asked.keep_for:
        raise InvalidInput(
            "nothing says which versions are kept", fix="say --keep-last N, --keep-for TIME, or both"
        )


def said(asked: PruneVersions) -> str:
    """A policy as a reason."""
    last = [f"the last {asked.keep_last:,} of each branch"] if asked.keep_last else []
    young = [f"those of the last {asked.keep_for}"] if asked.keep_for else []
    return f"pruned: kept were {' and '.join([*last, *young])}"


def outlived(
    versions: Sequence[DatasetVersion],
    graph: Graph,
    heads: Iterable[str],
    keep_last: int,
    since: datetime | None,
) -> list[DatasetVersion]:
    """The versions that a policy doesn't keep.

    Args:
        versions: Those that aren't deleted.
        graph: How versions follow each other.
        heads: Where branches stand.
        keep_last: So many are kept of each branch: its head, what that follows first, and so on.
        since: What was made since then is kept.
    """
    live = {version.commit_id: version for version in versions}
    kept = {commit for head in heads for commit in _line(graph, head, live, keep_last)}
    return [
        version
        for version in versions
        if version.commit_id not in kept and (since is None or version.created_at < since)
    ]


def _line(graph: Graph, head: str, live: Mapping[str, DatasetVersion], most: int) -> list[str]:
    found: list[str] = []
    commit = head
    while len(found) < most and commit in graph:
        if commit in live:
            found.append(commit)
        parents = graph[commit].parents
        if not parents:
            break
        commit = parents[0]
    return found
