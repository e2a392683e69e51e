"""Versions and differences, as lakeFS's clients read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from treadle.api.lakefs.route import Ask
from treadle.api.lakefs.wire import CommitOut, DiffOut
from treadle.data import About, DatasetVersion, Difference

_LAST = chr(0x10FFFF)


def tell_commits(ask: Ask, versions: Sequence[DatasetVersion]) -> list[CommitOut]:
    """Versions, as commits."""
    about = ask.rooms.staging.about_commits(ask.repository, [one.commit_id for one in versions])
    return [_commit(one, about) for one in versions]


def tell_commit(ask: Ask, version: DatasetVersion) -> CommitOut:
    """A version, as a commit."""
    return tell_commits(ask, [version])[0]


def _commit(version: DatasetVersion, about: Mapping[str, About]) -> CommitOut:
    return CommitOut(
        id=version.commit_id,
        parents=version.parents,
        committer=version.actor,
        message=version.message,
        creation_date=int(version.created_at.timestamp()),
        meta_range_id=version.tree,
        metadata=about.get(version.commit_id, About()).values,
        generation=version.number,
    )


def tell_differences(
    found: Iterable[Difference], ask: Ask, others: Mapping[str, Difference] | None = None
) -> Iterator[DiffOut]:
    """Differences below the prefix and after the path that are asked for, perhaps by folder.

    Args:
        found: Sorted by path.
        ask: The request, with ``prefix``, ``after`` and ``delimiter``.
        others: What the other side of a three-way comparison did, by path.
    """
    prefix, after, delimiter = ask.get("prefix"), ask.get("after"), ask.get("delimiter")
    if delimiter and after.endswith(delimiter):
        after += _LAST
    folder = ""
    for one in found:
        if not one.path.startswith(prefix) or one.path <= after:
            continue
        cut = one.path.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            if one.path[: cut + len(delimiter)] != folder:
                folder = one.path[: cut + len(delimiter)]
                yield DiffOut("prefix_changed", folder, "common_prefix", 0)
            continue
        other = others.get(one.path) if others else None
        if other and other.after == one.after:
            continue  # both did the same
        entry = one.after or one.before
        size = entry.size if entry else 0
        if other:
            yield DiffOut("conflict", one.path, "object", size)
        elif one.before is None:
            yield DiffOut("added", one.path, "object", size)
        else:
            yield DiffOut("changed" if one.after else "removed", one.path, "object", size)
