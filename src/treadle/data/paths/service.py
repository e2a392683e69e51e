"""Versions by path: what lies there, its bytes, and changes of a few paths."""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock

import msgspec

from treadle.data import store as versions
from treadle.data.branches.commits import NewVersion, packs_of, read_commit
from treadle.data.branches.service import Branches
from treadle.data.branches.types import DEFAULT_BRANCH
from treadle.data.paths import rules
from treadle.data.paths.types import ChangePaths, CopyPath, PathEntry, PathPage
from treadle.data.rules import check_paths
from treadle.data.storage.contents import EMPTY, Contents
from treadle.data.storage.naming import named
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.names import check_path
from treadle.data.tree.trees import Listed, apply, below, diff, listing, lookup
from treadle.data.tree.types import Change, Entry, Mode
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.names import check_name, unknown
from treadle.kernel.workspace import Workspace

_OPEN = 16
_PAGES = 256
_TRIES = 20
_WHOLE_ID = 64


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file of a version, and what reads it.

    Attributes:
        version: The version.
        entry: The file.
        contents: What has its bytes.
    """

    version: DatasetVersion
    entry: PathEntry
    contents: Contents

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Its bytes from ``start`` to before ``end``, in pieces; the first is read at once.

        Raises:
            NotFound: If they aren't kept here.
            CorruptData: If what is kept isn't what was put.
        """
        pieces = self.contents.stream(self.entry.digest, self.entry.size, start, end)
        if self.entry.external:
            pieces = named(pieces, f"{self.version.ref}/{self.entry.path}")
        first = next(pieces, b"")
        return itertools.chain([first] if first else [], pieces)


class _Pages:
    """The pages of a version, the last ones used kept in memory."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def page(self, digest: str) -> bytes:
        with self._lock:
            if found := self._kept.get(digest):
                self._kept.move_to_end(digest)
                return found
        found = self._contents.page(digest)
        with self._lock:
            self._kept[digest] = found
            while len(self._kept) > _PAGES:
                self._kept.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class _Open:
    version: DatasetVersion
    contents: Contents
    pages: _Pages


class DataPaths:
    """Versions as whoever sees them who reads and writes files.

    Args:
        workspace: Where everything is kept.
        branches: The branches.
    """

    def __init__(self, workspace: Workspace, branches: Branches) -> None:
        self._ws = workspace
        self._branches = branches
        self._kept: OrderedDict[str, _Open] = OrderedDict()
        self._lock = Lock()

    # ── reading ──────────────────────────────────────────────────────────

    def entry(self, ref: str, path: str) -> PathEntry:
        """What lies at a path of a version; symbolic links are followed.

        Args:
            ref: The version, as for :meth:`Branches.resolve`.
            path: Which; the whole version when empty.

        Raises:
            InvalidInput: If the reference isn't written like one, or links lead in a circle.
            NotFound: If there is no such version, or nothing lies there.
        """
        opened = self._open(ref)
        return self._entry(opened, path, followed=0) if path else PathEntry(path="", kind="folder")

    def page(
        self, ref: str, folder: str, *, after: str = "", limit: int = 1000, deep: bool = False
    ) -> PathPage:
        """A page of what lies in a folder of a version.

        Args:
            ref: The version, as for :meth:`Branches.resolve`.
            folder: Which; the whole version when empty.
            after: Only what comes after: where the page before ended.
            limit: At most so many.
            deep: Whether everything below is told, instead of what lies directly in it.

        Raises:
            InvalidInput: If the reference isn't written like one.
            NotFound: If there is no such version.
        """
        opened = self._open(ref)
        path = folder.strip("/")
        entry = self._entry(opened, path, followed=0) if path else None
        if entry is not None and entry.kind == "file":
            raise InvalidInput(f"{path!r} is a file, not a folder", where=opened.version.ref)
        base = entry.target or path if entry else ""
        prefix, shown = (f"{one}/" if one else "" for one in (base, path))
        found = listing(
            opened.version.tree,
            prefix,
            opened.pages,
            after=prefix + after.removeprefix(shown) if after else "",
            limit=limit,
            delimiter="" if deep else "/",
        )
        files = [one.entry.digest for one in found if one.entry]
        where = {digest: one.url for digest, one in opened.contents.externals(files).items()}
        rows = [self._row(opened, one, shown + one.path.removeprefix(prefix), where) for one in found]
        last = shown + found[-1].path.removeprefix(prefix) if len(found) == limit else ""
        return PathPage(entries=tuple(rows), after=last)

    def _row(self, opened: _Open, one: Listed, path: str, where: Mapping[str, str]) -> PathEntry:
        if one.entry is None:
            return PathEntry(path=path.rstrip("/"), kind="folder")
        told = _told(one.entry, where.get(one.entry.digest, ""))
        if one.entry.mode is Mode.LINK:
            with contextlib.suppress(NotFound, InvalidInput):  # one that leads nowhere is told as it is
                told = self._entry(opened, one.entry.path, followed=0)
        return msgspec.structs.replace(told, path=path)

    def file(self, ref: str, path: str) -> FileBytes:
        """A file of a version, to be read.

        Raises:
            InvalidInput: If the reference isn't written like one, or a folder lies there.
            NotFound: If there is no such version, or nothing lies there.
        """
        opened = self._open(ref)
        entry = self._entry(opened, path, followed=0)
        if entry.kind == "folder":
            raise InvalidInput(f"{path!r} is a folder", where=opened.version.ref, fix="name a file in it")
        return FileBytes(opened.version, entry, opened.contents)

    def _entry(self, opened: _Open, path: str, followed: int) -> PathEntry:
        rules.check_links(path, followed)
        found = lookup(opened.version.tree, path, opened.pages)
        if found is None:
            if next(below(opened.version.tree, f"{path}/", opened.pages), None):
                return PathEntry(path=path, kind="folder")
            return self._through_link(opened, path, followed)
        if found.mode is not Mode.LINK:
            elsewhere = opened.contents.external(found.digest) if found.size else None
            return _told(found, elsewhere.url if elsewhere else "")
        target = opened.contents.read(found.digest, found.size).decode()
        led = rules.led_to(path, target)
        if led is None:
            raise NotFound(f"{path!r} is a link to {target!r}, outside of the dataset")
        there = self._entry(opened, led, followed + 1)
        return PathEntry(
            path=path,
            kind=there.kind,
            size=there.size,
            digest=there.digest,
            mode=there.mode,
            target=led,
            external=there.external,
        )

    def _through_link(self, opened: _Open, path: str, followed: int) -> PathEntry:
        """What lies below a folder that is a link."""
        parts = path.split("/")
        for count in range(len(parts) - 1, 0, -1):
            folder = "/".join(parts[:count])
            link = lookup(opened.version.tree, folder, opened.pages)
            if link is not None and link.mode is Mode.LINK:
                target = opened.contents.read(link.digest, link.size).decode()
                led = rules.led_to(folder, target)
                if led is not None:
                    rest = "/".join(parts[count:])
                    inner = f"{led}/{rest}" if led else rest
                    there = self._entry(opened, inner, followed + 1)
                    return PathEntry(
                        path=path,
                        kind=there.kind,
                        size=there.size,
                        digest=there.digest,
                        mode=there.mode,
                        target=inner,
                        external=there.external,
                    )
                break
        raise self._absent(opened.version, path)

    def _absent(self, version: DatasetVersion, path: str) -> NotFound:
        if version.files and not version.count:
            return NotFound(
                f"{version.ref} is a version of a table, whose files are the table's own",
                fix=f"read its rows: treadle.data({version.ref!r}, as_='arrow')",
            )
        return NotFound(f"{version.ref} has no {path!r}", fix=f"`treadle data ls {version.ref}` lists it")

    def _open(self, ref: str) -> _Open:
        _, _, at = ref.partition("@")
        if len(at) == _WHOLE_ID:  # a commit means the same for ever
            with self._lock:
                found = self._kept.get(ref)
                if found is not None:
                    self._kept.move_to_end(ref)
            if found is not None and self._still(found.version):
                return found
        version = self._branches.resolve(ref)
        if version.dataset != ref.partition("@")[0]:
            raise NotFound(f"{ref!r} is of another dataset")
        check_paths(version)
        key = f"{version.dataset}@{version.commit_id}"
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            contents = self._branches.contents(version)
            found = _Open(version, contents, _Pages(contents))
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > _OPEN:
                    self._kept.popitem(last=False)
        return found

    def _still(self, version: DatasetVersion) -> bool:
        """Whether a version that was read before wasn't deleted since."""
        with self._ws.database.read() as connection:
            return not versions.is_deleted(connection, version)

    # ── changing ─────────────────────────────────────────────────────────

    def change(self, dataset: str, asked: ChangePaths) -> DatasetVersion:
        """Makes a version of a branch's head with some paths changed: all of them or none.

        Changes of others to other paths meanwhile are kept.

        Raises:
            InvalidInput: If a path can't be one, or would be both a file and a folder.
            NotFound: If there is no such branch, a content isn't kept here, or what shall go or be copied
                isn't there.
            Conflict: If others changed the same paths since ``base``, or the branch is protected.
            StorageFull: If no space is left; nothing was changed.
        """
        check_name("dataset", dataset)
        rules.check_copies(asked.copies)
        self._check_branch(dataset, asked.branch)
        self._branches.check_open(dataset, asked.branch)
        for attempt in itertools.count():
            head = self._branches.head(dataset, asked.branch)
            if asked.base and head is not None and head.commit_id != asked.base:
                self._check_untouched(dataset, asked, head)
            contents = self._branches.contents(*filter(None, [head]))
            self._check_kept(asked, contents)
            changes, also, needs = self._changes(dataset, asked, head)
            with PackWriter(self._ws.blobs, _pages_of(contents)) as writer:
                tree = apply(head.tree if head else None, changes, contents, writer)
                made = writer.finish()
            if head is not None and tree == head.tree:
                return head
            new = NewVersion(
                dataset=dataset,
                branch=asked.branch,
                tree=tree,
                written=Written((*asked.packs, *made.packs), made.pages),
                also=also,
                needs=needs,
                changed=len(changes),
                expected=head.number if head else None,
                message=asked.message,
                actor=asked.actor,
                origin=asked.origin,
            )
            try:
                return self._branches.commit_tree(new)
            except Conflict:
                now = self._branches.head(dataset, asked.branch)
                if attempt >= _TRIES or (now and now.commit_id) == (head and head.commit_id):
                    raise
        raise AssertionError

    def _check_branch(self, dataset: str, branch: str) -> None:
        try:
            names = [one.name for one in self._branches.refs(dataset, "branch")]
        except NotFound:
            if branch == DEFAULT_BRANCH:
                return  # what is written makes the dataset
            raise
        if branch not in names:
            raise unknown("branch", branch, names)

    def _check_untouched(self, dataset: str, asked: ChangePaths, head: DatasetVersion) -> None:
        """Refuses paths that others changed since whoever asks has looked."""
        base = self._branches.resolve(f"{dataset}@{asked.base}")
        paths, prefixes = rules.touched(asked)
        for one in diff(base.tree, head.tree, self._branches.contents(base, head)):
            if one.path in paths or one.path.startswith(prefixes):
                raise Conflict(
                    f"{one.path!r} was changed in {head.ref}, after {base.ref}, which was read here",
                    where=f"{dataset}@{asked.branch}",
                    fix="read it again (fs.invalidate_cache()), or write to a branch of your own",
                )

    def _changes(
        self, dataset: str, asked: ChangePaths, head: DatasetVersion | None
    ) -> tuple[list[Change], Written, tuple[int, ...]]:
        """The changes, path by path, the packs that copies of other versions need, and these versions."""
        here = self._open(f"{dataset}@{head.commit_id}") if head else None
        made: dict[str, Change] = {}
        for path in asked.remove:
            for gone in self._matching(here, path):
                made[gone.path] = Change(gone.path, None)
        also, needs = Written(), []
        for copy in asked.copies:
            source = self._open(f"{dataset}@{copy.at}") if copy.at else here
            if source is not None and copy.at:
                more = packs_of([read_commit(self._ws, source.version.commit_id)])
                also = Written((*also.packs, *more.packs), also.pages)
                needs.append(source.version.number)
            for one in self._copied(source, copy):
                made[one.path] = Change(one.path, one)
        for entry in asked.put:
            check_path(entry.path)
            made[entry.path] = Change(entry.path, entry)
        if not made:
            raise InvalidInput("nothing is to be changed", where=dataset)
        return list(made.values()), also, tuple(needs)

    def _matching(self, opened: _Open | None, path: str) -> list[Entry]:
        found: list[Entry] = []
        if opened is not None and path.endswith("/"):
            found = list(below(opened.version.tree, path, opened.pages))
        elif opened is not None:
            one = lookup(opened.version.tree, path, opened.pages)
            found = [one] if one else []
        if not found:
            raise NotFound(f"there is no {path!r}", where=opened.version.ref if opened else None)
        return found

    def _copied(self, source: _Open | None, copy: CopyPath) -> Iterator[Entry]:
        for one in self._matching(source, copy.source):
            path = check_path(copy.target + one.path.removeprefix(copy.source))
            if not copy.source.endswith("/"):
                path = check_path(copy.target)
            yield Entry(path, one.size, one.digest, one.mode)

    def _check_kept(self, asked: ChangePaths, head: Contents) -> None:
        """Refuses what names contents that aren't here; all of them stay for the next hour from now on."""
        for pack in asked.packs:
            _check_digest(pack.digest)
            if not self._ws.blobs.claim(pack.digest):
                raise NotFound(f"pack {pack.digest[:12]} isn't kept here", fix="send its contents again")
        packed = Contents(self._ws.blobs, asked.packs, (), self._ws.state / "cache" / "packs")
        for entry in asked.put:
            _check_digest(entry.digest)
            digest = bytes.fromhex(entry.digest)
            packed_here = entry.digest == EMPTY or packed.indexes.find(digest) or head.indexes.find(digest)
            if not packed_here and not self._ws.blobs.claim(entry.digest):
                raise NotFound(
                    f"the content of {entry.path!r} ({entry.digest[:12]}) isn't kept here",
                    fix="send it again",
                )


def _check_digest(digest: str) -> None:
    if len(digest) != _WHOLE_ID or not set(digest) <= set("0123456789abcdef"):
        raise InvalidInput("a digest is 64 hexadecimal characters", where=repr(digest[:80]))


def _told(entry: Entry, external: str) -> PathEntry:
    if entry.mode is Mode.FOLDER:
        return PathEntry(path=entry.path, kind="folder", mode=int(entry.mode))
    return PathEntry(
        path=entry.path,
        kind="file",
        size=entry.size,
        digest=entry.digest,
        mode=int(entry.mode),
        external=external,
    )


def _pages_of(contents: Contents) -> Callable[[bytes], bool]:
    """Says which pages needn't be written again."""
    return lambda digest: contents.page_indexes.find(digest) is not None
