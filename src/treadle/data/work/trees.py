"""The data in the project's folder: made versions of, compared with them, brought back."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from treadle.data.branches.commits import NewVersion, packs_of, read_commit
from treadle.data.branches.service import Branches
from treadle.data.branches.types import DEFAULT_BRANCH
from treadle.data.rules import check_live, check_paths
from treadle.data.storage.contents import Contents
from treadle.data.storage.naming import naming
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.trees import all_entries, build, entries, lookup
from treadle.data.tree.types import Entries
from treadle.data.types import DatasetVersion
from treadle.data.work import differing
from treadle.data.work.arriving import Arrivals
from treadle.data.work.gitignore import ignore
from treadle.data.work.plans import plan
from treadle.data.work.pointer import (
    Pointer,
    data_path,
    find_pointers,
    pointer_path,
    pointer_to,
    read_pointer,
    write_pointer,
)
from treadle.data.work.scanning import Scan, clashes, nothing_in, scan
from treadle.data.work.state import Comparison, compare, load_state, save_state
from treadle.data.work.storing import Keeper, Ways
from treadle.data.work.types import AddPath, CheckedOut, Checkout, WorkStatus
from treadle.data.work.writing import Writer
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.files import storage_errors
from treadle.kernel.lock import Holder, exclusive
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG_AGO_NS = 10**9
_TOLD = 10


class WorkingTree:
    """The data that lies in the project's folder.

    Args:
        workspace: Whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._branches = Branches(workspace)

    # ── add ──────────────────────────────────────────────────────────────

    def add(self, asked: AddPath) -> DatasetVersion:
        """Makes a version of what lies at a path, or returns the one that its pointer names if it is that.

        The pointer is written last: until then everything is as it was.

        Raises:
            NotFound: If nothing lies there.
            InvalidInput: If something there can't be kept, or the pointer can't be read.
            Deleted: If the whole dataset was deleted, and can be restored.
            CorruptData: If a file changes meanwhile.
            Conflict: If the branch has versions that the pointer doesn't know of.
            StorageFull: If no space is left; no version was made.
        """
        target = self._inside(asked.path)
        place = pointer_path(target)
        pointer = read_pointer(place) if place.exists() else None
        if pointer and asked.name and asked.name != pointer.dataset:
            pointer = None
        dataset = asked.name or (pointer.dataset if pointer else self._declared(target))
        branch = asked.branch or (pointer.branch if pointer else DEFAULT_BRANCH)
        before = self._version_of(pointer) if pointer else None
        with self._alone(target):
            version = self._add(target, before, dataset, branch, asked)
            write_pointer(place, pointer_to(version, single=not target.is_dir(), branch=branch))
        ignore(target)
        return version

    def _add(
        self, target: Path, before: DatasetVersion | None, dataset: str, branch: str, asked: AddPath
    ) -> DatasetVersion:
        seen_ns = time.time_ns()  # the file system's clock, not the workspace's, which may be replayed
        found = scan(target)
        known, last = self._compared(found, target)
        head = self._branches.head(dataset, branch)
        check_live(*filter(None, [head]))  # the whole dataset was deleted, and can be restored
        unchanged = known.known.all() and not known.gone and before and last == before.tree
        if unchanged and head and before and head.tree == before.tree:
            return head
        base = before if before and before.deleted_at is None else head
        contents = self._branches.contents(*filter(None, [base]))
        if base is None or last != base.tree:
            known = differing.only_stored(known, found, contents)
        with PackWriter(self._ws.blobs, self._pages_of(contents)) as writer:
            ways = Ways(asked.link, asked.chunking)
            kept = Keeper(contents, writer, ways, _before(base, contents)).keep(found, known)
            tree = build([kept], writer)
            written = writer.finish()
        if head and head.tree == tree:
            save_state(self._cache(target), found, kept.digests, tree, seen_ns)
            return head  # perhaps of a process that was killed before it wrote the pointer
        if head and before and not self._follows(before, head, branch):
            raise Conflict(
                f"branch {branch!r} of {dataset!r} stands at {head.ref}, and the data here is {before.ref}",
                where=str(target),
                fix=f"bring what is new first (treadle data pull {self._shown(target)}), "
                f"or keep yours on a branch (treadle data add {self._shown(target)} --branch NAME) and merge",
            )
        version = self._branches.commit_tree(
            NewVersion(
                dataset=dataset,
                branch=branch,
                tree=tree,
                written=written,
                expected=head.number if head else None,
                parents=(before.number,) if base is before and before and not head else None,
                # What was known to be kept is in the packs of this one, which the head's needn't have.
                also=packs_of(read_commit(self._ws, one.commit_id) for one in [base] if one),
                needs=(base.number,) if base else (),
                message=asked.message,
                actor=asked.actor,
                origin=asked.origin,
            )
        )
        # Not earlier: what a version doesn't have must be read again.
        save_state(self._cache(target), found, kept.digests, tree, seen_ns)
        return version

    @staticmethod
    def _pages_of(contents: Contents) -> Callable[[bytes], bool]:
        """Says which pages needn't be written again."""
        return lambda digest: contents.page_indexes.find(digest) is not None

    def _follows(self, before: DatasetVersion, head: DatasetVersion, branch: str) -> bool:
        """Whether a branch stands where the data here comes from."""
        return before.commit_id == head.commit_id or (before.branch != branch and before.tree == head.tree)

    # ── status ───────────────────────────────────────────────────────────

    def status(self, paths: Sequence[str] = (), limit: int = 1000) -> list[WorkStatus]:
        """How data differs from the versions that its pointers name; reads only files that look changed.

        Args:
            paths: Where it lies; everywhere when empty.
            limit: How many paths are told of each.

        Raises:
            NotFound: If there is no pointer.
            InvalidInput: If a pointer can't be read.
        """
        return [self._status(place, limit) for place in self.pointers(paths)]

    def _status(self, place: Path, limit: int) -> WorkStatus:
        pointer, target = read_pointer(place), data_path(place)
        version = self._version_of(pointer)
        head = self._branches.head(pointer.dataset, pointer.branch)
        shown = self._shown(target)
        base = WorkStatus(
            path=shown,
            ref=version.ref
            if version
            else f"{pointer.dataset}@v{pointer.version}",  # numbers are each clone's
            branch=pointer.branch,
            head=head.ref if head else None,
            present=target.exists(),
        )
        if not base.present:
            return base
        seen_ns = time.time_ns()
        found = scan(target)
        known, last = self._compared(found, target)
        if known.known.all() and not known.gone and last == pointer_tree(pointer, version):
            return base
        mine = differing.read_unknown(found, known)
        if version is None:
            raise self._unknown(pointer, place)
        contents = self._branches.contents(version)
        result = differing.tell(base, entries(version.tree, contents), mine, limit)
        if result.clean:
            save_state(self._cache(target), found, mine.digests, version.tree, seen_ns)
        return result

    # ── checkout ─────────────────────────────────────────────────────────

    def checkout(self, asked: Checkout) -> list[CheckedOut]:
        """Brings the data that pointers name into the project's folder.

        Files that are right already stay; files that are in no version are never overwritten or removed.

        Raises:
            NotFound: If there is no pointer, or a version or content isn't kept here.
            Deleted: If the version was deleted.
            InvalidInput: If a pointer can't be read.
            Conflict: If changes would be lost; nothing was touched.
            StorageFull: If no space is left; run it again when there is.
        """
        if asked.to:
            return [self.checkout_one(self._placed(asked), msgspec.structs.replace(asked, ref=""))]
        places = self.pointers(asked.paths)
        if asked.ref and len(places) != 1:
            raise InvalidInput("one path is needed to check another version out", fix="name it")
        return [self.checkout_one(place, asked) for place in places]

    def pointers(self, paths: Sequence[str] = ()) -> list[Path]:
        """The pointers at some paths and below them; all of the project's when empty.

        Raises:
            NotFound: If there is none at a path.
            InvalidInput: If a path lies outside of the project.
        """
        if not paths:
            return list(find_pointers(self._ws.root))
        found: list[Path] = []
        for path in paths:
            if path == ".":
                found += find_pointers(self._ws.root)
                continue
            target = self._inside(path.removesuffix(".treadle").rstrip("/"))
            place = pointer_path(target)
            below = list(find_pointers(target)) if target.is_dir() and not place.exists() else []
            if not place.exists() and not below:
                raise self._no_pointer(path, target)
            found += below or [place]
        return found

    def _no_pointer(self, path: str, target: Path) -> NotFound:
        """What somebody probably meant with a path that no pointer is at, or below."""
        above = [one for one in target.parents if one.is_relative_to(self._ws.root) and one != self._ws.root]
        whole = next((self._shown(one) for one in above if pointer_path(one).is_file()), "")
        if whole:
            return NotFound(
                f"{path!r} is a part of {whole!r}, which has the pointer",
                where=str(target),
                fix=f"name {whole}; or bring only that part into the store: treadle data fetch {path}",
            )
        if target.exists():
            fix = f"treadle data add {path}"
            return NotFound("no version was made of it yet", where=str(target), fix=fix)
        if "@" in path:
            return NotFound(
                f"{path!r} is a version, not a path",
                fix=f"treadle data fetch {path}, and treadle data checkout PATH --at VERSION",
            )
        if self._branches.head(path, DEFAULT_BRANCH):
            return NotFound(
                f"dataset {path!r} has no place in this project",
                where=str(target),
                fix=f"say where it shall lie: treadle data checkout {path} --to PATH",
            )
        return NotFound(
            "nothing lies there, and there is no pointer",
            where=str(target),
            fix="`treadle data status` tells what has one",
        )

    def _placed(self, asked: Checkout) -> Path:
        """Writes the pointer to a version that has no place yet; returns where it lies."""
        target, version = self._inside(asked.to), self._branches.resolve(asked.ref)
        place, shown = pointer_path(target), self._shown(target)
        check_paths(version)
        with self._alone(target):
            if place.exists() and (named := read_pointer(place)).commit != version.commit_id:
                raise Conflict(
                    f"{named.dataset}@v{named.version} lies there",
                    where=shown,
                    fix=f"name another path, or a version of it: treadle data checkout {shown} --at VERSION",
                )
            if not place.exists():
                if target.is_symlink() or (
                    target.exists() and not (target.is_dir() and not any(target.iterdir()))
                ):
                    raise Conflict(
                        "something lies there already", where=shown, fix="name another path, or move it away"
                    )
                alone = version.count == 1 and not asked.to.endswith("/")
                single = (
                    alone and lookup(version.tree, target.name, self._branches.contents(version)) is not None
                )
                name = asked.ref.partition("@")[2]
                branch = name if self._branches.is_branch(version.dataset, name) else None
                with storage_errors(str(place)):
                    place.parent.mkdir(parents=True, exist_ok=True)
                write_pointer(place, pointer_to(version, single=single, branch=branch))
        ignore(target)
        return place

    def checkout_one(self, place: Path, asked: Checkout, arrivals: Arrivals | None = None) -> CheckedOut:
        """Brings the data of one pointer; else as :meth:`checkout`.

        Args:
            place: The pointer.
            asked: How; its paths aren't looked at.
            arrivals: Tells which packs of the version are here, where they are still coming.
        """
        ref = asked.ref
        pointer, target = read_pointer(place), data_path(place)
        version = self._branches.resolve(f"{pointer.dataset}@{ref}") if ref else self._version_of(pointer)
        if version is None:
            raise self._unknown(pointer, place)
        base = target.parent if pointer.single else target
        here = self._named(pointer) if ref else version
        contents = self._branches.contents(*filter(None, [version, here]))
        wanted = all_entries(version.tree, contents)
        self._check_clashes(base, wanted)
        with self._alone(target) as lock:
            present = target.exists() or target.is_symlink()
            found = scan(target) if present else nothing_in(base)
            known, _ = self._compared(found, target)
            if here is not None and not known.known.all():
                held = wanted if here is version else all_entries(here.tree, contents)
                known = differing.recognised(known, found, held)
            journal = self._cache(target).with_suffix(".checkout")
            if arrivals and (present or journal.exists()):
                arrivals.wait()
            holds = differing.Holding(found, wanted, contents, broke_off=journal.exists())
            made = plan(wanted, found, known, holds, force=asked.force)
            if made.conflicts:
                raise self._lost(target, made.conflicts)
            with storage_errors(str(journal)):
                journal.parent.mkdir(parents=True, exist_ok=True)
                journal.touch()
            with naming(version.ref):
                writer = Writer(base, contents, asked.link, lock, arrivals)
                after = writer.write(wanted, made, found)
            save_state(
                self._cache(target), after, wanted.digests, version.tree, time.time_ns() + _LONG_AGO_NS
            )
            journal.unlink(missing_ok=True)
            if ref:
                branch = ref if self._branches.is_branch(version.dataset, ref) else pointer.branch
                write_pointer(place, pointer_to(version, single=pointer.single, branch=branch))
        size = int(wanted.sizes[made.write].sum())
        return CheckedOut(
            path=self._shown(target),
            ref=version.ref,
            written=len(made.write),
            removed=len(made.remove),
            kept=len(made.keep),
            bytes=size,
        )

    def _check_clashes(self, base: Path, wanted: Entries) -> None:
        if differing.folds_case(self._ws.state / "tmp", self._ws.ids.new("probe")) and (
            found := clashes(wanted.paths)
        ):
            one, two = found[0]
            raise InvalidInput(
                f"{one!r} and {two!r} are one file on this file system, which doesn't tell case apart",
                where=str(base),
                fix="rename one of them on a machine that does, and make a version of that",
            )

    # ── within ───────────────────────────────────────────────────────────

    def _version_of(self, pointer: Pointer) -> DatasetVersion | None:
        """The version that a pointer names, deleted or not, if it is known here."""
        try:
            version = self._branches.resolve(f"{pointer.dataset}@{pointer.commit}", deleted=True)
        except NotFound:
            return None
        if (version.digest, version.count, version.bytes) != (pointer.digest, pointer.files, pointer.bytes):
            raise InvalidInput(
                f"the pointer doesn't fit {version.ref}, whose commit it names",
                where=f"{pointer.dataset}@v{pointer.version}",
                fix="restore it from Git, or make it anew: treadle data add",
            )
        return version

    def _named(self, pointer: Pointer) -> DatasetVersion | None:
        """The version that a pointer names, if it can be told at all, and read."""
        with contextlib.suppress(InvalidInput):
            version = self._version_of(pointer)
            return version if version and version.deleted_at is None else None
        return None

    def _unknown(self, pointer: Pointer, place: Path) -> NotFound:
        return NotFound(
            f"{pointer.dataset}@v{pointer.version} (commit {pointer.commit[:12]}) isn't known here",
            where=self._shown(place),
            fix="bring it from the remote: treadle data pull",
        )

    def _lost(self, target: Path, paths: list[str]) -> Conflict:
        more = f" and {len(paths) - _TOLD:,} more" if len(paths) > _TOLD else ""
        return Conflict(
            f"changes that are in no version would be lost: {', '.join(paths[:_TOLD])}{more}",
            where=self._shown(target),
            fix=f"keep them (treadle data add {self._shown(target)}) or drop them (--force)",
        )

    def _inside(self, path: str) -> Path:
        if "\0" in path:
            raise InvalidInput(f"{path!r} can't be a path: it has a NUL", fix="name a file or a folder")
        whole = (self._ws.root / path).absolute()
        target = whole.parent.resolve() / whole.name
        if not target.is_relative_to(self._ws.root) or target == self._ws.root:
            raise InvalidInput(
                "it lies outside of the project", where=str(target), fix="move it into the project's folder"
            )
        if target.is_relative_to(self._ws.state):
            raise InvalidInput("it belongs to Treadle itself", where=str(target), fix="name your own data")
        return target

    def _declared(self, target: Path) -> str:
        """The name of the dataset that ``treadle.toml`` says lies there; else the path's last part."""
        for name, declared in self._ws.config.data.items():
            if declared.path and (self._ws.root / declared.path).resolve() == target:
                return name
        return target.name

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._ws.root).as_posix()

    def _cache(self, target: Path) -> Path:
        name = hashlib.sha256(self._shown(target).encode()).hexdigest()[:24]
        return self._ws.state / "cache" / "work" / f"{name}.state"

    def _compared(self, found: Scan, target: Path) -> tuple[Comparison, str]:
        """What of a folder is as it was, and the digest of the tree that it made then."""
        state = load_state(self._cache(target))
        return compare(found, state), state.tree

    @contextlib.contextmanager
    def _alone(self, target: Path) -> Iterator[int]:
        """Nobody else adds or checks out the same data meanwhile; the descriptor of the lock."""
        lock = self._cache(target).with_suffix(".lock")
        me = Holder(pid=0, doing=f"another `treadle data` at {self._shown(target)}")
        with exclusive(lock, me) as descriptor:
            yield descriptor


def pointer_tree(pointer: Pointer, version: DatasetVersion | None) -> str:
    """The tree that a pointer names, as far as it can be told."""
    return version.tree if version else pointer.digest


def _before(version: DatasetVersion | None, contents: Contents) -> Callable[[str], tuple[str, int] | None]:
    def of(path: str) -> tuple[str, int] | None:
        found = lookup(version.tree, path, contents) if version else None
        return (found.digest, found.size) if found else None

    return of
