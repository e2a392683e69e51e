"""Trees: made, changed, looked into and compared, page by page."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from treadle.data.tree.finding import Finder
from treadle.data.tree.leaves import Leaves, begins_leaf
from treadle.data.tree.names import check_nesting, check_path
from treadle.data.tree.pages import (
    Root,
    as_columns,
    decode_leaf,
    decode_root,
    empty_root,
    entry_at,
    joined,
    part,
)
from treadle.data.tree.paths import Paths
from treadle.data.tree.types import Change, Difference, Entries, Entry, Mode, Pages, PageSink
from treadle.kernel.errors import NotFound

_Leaf: TypeAlias = tuple[str, str]


def build(entries: Iterable[Entries], sink: PageSink) -> str:
    """Keeps the pages of a tree.

    Args:
        entries: What it lists, sorted by path, in pieces of any size.
        sink: Where pages are kept.

    Returns:
        The digest of its root.
    """
    made = Leaves(sink)
    for one in entries:
        made.add(one)
    return made.finish()


def read_root(tree: str, pages: Pages) -> Root:
    """The root of a tree; raises what ``pages`` raises."""
    return decode_root(pages.page(tree), tree)


def entries(tree: str, pages: Pages) -> Iterator[Entries]:
    """Everything that a tree lists, leaf by leaf."""
    for digest in read_root(tree, pages).digests:
        yield decode_leaf(pages.page(digest), digest)


def all_entries(tree: str, pages: Pages) -> Entries:
    """Everything that a tree lists at once: 70 MB where it is a million short paths."""
    import numpy as np

    root = read_root(tree, pages)
    paths, sizes = Paths(), np.empty(root.count, np.uint64)
    digests, modes = np.empty((root.count, 32), np.uint8), np.empty(root.count, np.uint8)
    for leaf in entries(tree, pages):
        rows = slice(len(paths), len(paths) + len(leaf))
        paths.extend(leaf.paths)
        sizes[rows], digests[rows], modes[rows] = leaf.sizes, leaf.digests, leaf.modes
    return Entries(paths, sizes, digests, modes)


def lookup(tree: str, path: str, pages: Pages) -> Entry | None:
    """What lies at a path, if anything."""
    root = read_root(tree, pages)
    leaf = bisect.bisect_right(root.firsts, path) - 1
    if leaf < 0:
        return None
    found = decode_leaf(pages.page(root.digests[leaf]), root.digests[leaf])
    row = bisect.bisect_left(found.paths, path)
    return entry_at(found, row) if row < len(found) and found.paths[row] == path else None


def below(tree: str, prefix: str, pages: Pages, after: str = "") -> Iterator[Entry]:
    """What lies at paths that begin with a prefix, sorted, only those after a path."""
    root = read_root(tree, pages)
    begin = max(prefix, after)
    for leaf in range(max(0, bisect.bisect_right(root.firsts, begin) - 1), len(root)):
        if not root.firsts[leaf].startswith(prefix) and root.firsts[leaf] > prefix:
            return
        found = decode_leaf(pages.page(root.digests[leaf]), root.digests[leaf])
        start = bisect.bisect_left(found.paths, prefix)
        if after:
            start = max(start, bisect.bisect_right(found.paths, after))
        for row in range(start, len(found)):
            if not found.paths[row].startswith(prefix):
                return
            yield entry_at(found, row)


class Listed(msgspec.Struct, frozen=True):
    """A row of a listing: an entry, or what several have in common.

    Attributes:
        path: The entry's path, or the common prefix with its delimiter.
        entry: The entry; None for a common prefix.
    """

    path: str
    entry: Entry | None


def listing(
    tree: str, prefix: str, pages: Pages, *, after: str = "", limit: int = 1000, delimiter: str = ""
) -> list[Listed]:
    """What lies below a prefix, as an object store lists it.

    Args:
        tree: The tree.
        prefix: Only paths that begin with it.
        pages: Gives pages.
        after: Only what comes after this path or common prefix.
        limit: At most so many.
        delimiter: Paths with it after the prefix are told by their common prefix only.
    """
    found: list[Listed] = []
    while len(found) < limit:
        # A common prefix is left behind at once, however much lies below it.
        begin = after + chr(0x10FFFF) if delimiter and after.endswith(delimiter) else after
        for entry in below(tree, prefix, pages, begin):
            cut = entry.path.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                found.append(Listed(entry.path, entry))
                if len(found) >= limit:
                    return found
                continue
            after = entry.path[: cut + len(delimiter)]
            found.append(Listed(after, None))
            break
        else:
            return found
    return found


def apply(tree: str | None, changes: Iterable[Change], pages: Pages, sink: PageSink) -> str:
    """A tree in which some paths are as said; only the leaves that they lie in are made anew.

    Args:
        tree: What it begins as; nothing when None.
        changes: One a path, in any order.
        pages: Gives pages.
        sink: Keeps pages.

    Returns:
        The digest of its root. A folder that was listed as empty isn't any more if something lies in it.

    Raises:
        InvalidInput: If a path can't be one, or would be both a file and a folder.
        NotFound: If a path that shall go isn't there.
    """
    wanted = sorted(changes, key=lambda change: change.path)
    for change in wanted:
        check_path(change.path)
    root = read_root(tree, pages) if tree else empty_root()
    made = Leaves(sink, pages)
    at = 0
    for leaf, first in enumerate(root.firsts):
        begin = at
        end = root.firsts[leaf + 1] if leaf + 1 < len(root) else None
        while at < len(wanted) and (end is None or wanted[at].path < end):
            at += 1
        if begin == at and (leaf == 0 or begins_leaf(first)):
            made.reuse(root, leaf)
        else:
            old = decode_leaf(pages.page(root.digests[leaf]), root.digests[leaf])
            made.add(_changed(old, wanted[begin:at]))
    if not len(root):
        made.add(_changed(as_columns([]), wanted))
    found = made.finish()
    filled = _check_added(found, wanted, made)
    return apply(found, filled, made, sink) if filled else found


def _check_added(tree: str, wanted: Sequence[Change], pages: Pages) -> list[Change]:
    """Refuses what was added below a file, or where there is a folder.

    Returns:
        What takes the folders out that were listed as empty and aren't any more.
    """
    filled: dict[str, Change] = {}
    finder = Finder(tree, pages)
    added = [change.path for change in wanted if change.entry is not None]
    folders: dict[str, str] = {}
    for path in added:
        for at, letter in enumerate(path):
            if letter == "/":
                folders.setdefault(path[:at], path)
    for folder in sorted(folders):
        if there := finder.find(folder):
            if there.mode is not Mode.FOLDER:
                check_nesting([folder, folders[folder]])
            filled[folder] = Change(folder, None)
    for change in wanted:
        if change.entry is not None and (inner := finder.first_below(f"{change.path}/")):
            if change.entry.mode is not Mode.FOLDER:
                check_nesting([change.path, inner])
            filled[change.path] = Change(change.path, None)
    return list(filled.values())


def _changed(old: Entries, changes: Sequence[Change]) -> Entries:
    if len(changes) * 20 < len(old):
        return _patched(old, changes)
    rows = {path: entry_at(old, row) for row, path in enumerate(old.paths)}
    for change in changes:
        if change.entry is not None:
            rows[change.path] = change.entry
        elif rows.pop(change.path, None) is None:
            raise _absent(change.path)
    return as_columns([rows[path] for path in sorted(rows)])


def _patched(old: Entries, changes: Sequence[Change]) -> Entries:
    """The same for few changes, without looking at what stays."""
    parts: list[Entries] = []
    begin = 0
    for change in changes:
        row = bisect.bisect_left(old.paths, change.path)
        there = row < len(old) and old.paths[row] == change.path
        if change.entry is None and not there:
            raise _absent(change.path)
        parts.append(part(old, begin, row))
        if change.entry is not None:
            parts.append(as_columns([change.entry]))
        begin = row + there
    return joined([*parts, part(old, begin, len(old))])


def _absent(path: str) -> NotFound:
    return NotFound(f"there is no {path!r} to remove", fix="`treadle data ls` tells what there is")


def diff(before: str | None, after: str | None, pages: Pages) -> Iterator[Difference]:
    """The paths at which two trees differ, sorted; reads only leaves that aren't in both.

    Args:
        before: The first tree; nothing when None.
        after: The second.
        pages: Gives pages of both.
    """
    if before == after:
        return
    old, new = (_leaves(read_root(tree, pages)) if tree else [] for tree in (before, after))
    for left, right in _windows(old, new):
        if [digest for _, digest in left] != [digest for _, digest in right]:
            yield from _between(_read(left, pages), _read(right, pages))


def _leaves(root: Root) -> list[_Leaf]:
    return list(zip(root.firsts, root.digests, strict=True))


def _windows(old: list[_Leaf], new: list[_Leaf]) -> Iterator[tuple[list[_Leaf], list[_Leaf]]]:
    """Stretches of leaves that begin and end at the same paths in both trees."""
    borders = sorted({first for first, _ in old} & {first for first, _ in new})
    lefts, rights = ([bisect.bisect_left(rows, (border,)) for border in borders] for rows in (old, new))
    for begin, end in itertools.pairwise(zip([0, *lefts, len(old)], [0, *rights, len(new)], strict=True)):
        yield old[begin[0] : end[0]], new[begin[1] : end[1]]


def _read(leaves: list[_Leaf], pages: Pages) -> Entries:
    return joined([decode_leaf(pages.page(digest), digest) for _, digest in leaves])


def _between(old: Entries, new: Entries) -> Iterator[Difference]:
    import numpy as np

    if old.paths == new.paths:
        same = (old.digests == new.digests).all(axis=1) & (old.modes == new.modes)
        for row in np.flatnonzero(~same).tolist():
            yield Difference(old.paths[row], entry_at(old, row), entry_at(new, row))
        return
    rows = {path: row for row, path in enumerate(old.paths)}
    pairs = [(row, rows.pop(path, -1)) for row, path in enumerate(new.paths)]
    mine, theirs = np.array(pairs, np.int64).reshape(-1, 2).T
    there = theirs >= 0
    same = np.zeros(len(mine), dtype=bool)
    same[there] = (new.digests[mine[there]] == old.digests[theirs[there]]).all(axis=1)
    same[there] &= new.modes[mine[there]] == old.modes[theirs[there]]
    found = [Difference(path, entry_at(old, row), None) for path, row in rows.items()]
    for row in np.flatnonzero(~same).tolist():
        before = entry_at(old, int(theirs[row])) if there[row] else None
        found.append(Difference(new.paths[row], before, entry_at(new, row)))
    yield from sorted(found, key=lambda one: one.path)
