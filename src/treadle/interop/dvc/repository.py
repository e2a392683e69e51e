"""A DVC repository: what it tracks at a revision, and the bytes of that."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path

from treadle.interop.dvc.config import choose, read_config
from treadle.interop.dvc.git import Git
from treadle.interop.dvc.objects import Folder, Objects, Place, open_remote
from treadle.interop.dvc.pointers import LOCK, PIPELINE, is_pointer, read_folder, read_lock, read_pointer
from treadle.interop.dvc.types import GitCommit, Member, Output
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.files import storage_errors


class Repository:
    """A DVC repository, which is only ever read.

    Args:
        path: Its folder, or one within it.
        remote: The remote to read what the cache doesn't have from; only the cache is read when None,
            the default remote when empty.

    Raises:
        NotFound: If there is no DVC repository, or no such remote.
        InvalidInput: If its configuration can't be used.
    """

    def __init__(self, path: Path, remote: str | None = None) -> None:
        self.root = find_root(path)
        self.config = read_config(self.root)
        self.git = Git(self.root)
        places: list[Place] = [Folder(Path(self.config.cache))]
        if remote is not None:
            places.append(open_remote(choose(self.config, remote)))
        ways = f"fetch it (cd {self.root} && dvc pull)"
        if remote is None:
            ways += f", or: treadle data import dvc {self.root} --remote NAME"
        self.objects = Objects(places, ways)

    def outputs(self, rev: str | None = None) -> list[Output]:
        """What is tracked at a Git revision, by path; in the working folder when None.

        Raises:
            NotFound: If there is no such revision.
            InvalidInput: If a pointer can't be used; or two track the same path.
        """
        if rev is None:
            found = [one for path in self._pointers_here() for one in self._here(path)]
        else:
            commit = self.git.commit(rev)
            paths = [path for path in self.git.files(commit) if is_pointer(path)]
            found = [one for path in paths for one in self.outputs_of(commit, path)]
        return _once(found)

    def outputs_of(self, commit: str, path: str) -> list[Output]:
        """What a pointer of a commit tracks, without what Git keeps; nothing if it isn't there."""
        text = self.git.read(commit, path)
        if text is None:
            return []
        if posixpath.basename(path) != LOCK:
            return read_pointer(path, text)
        beside = posixpath.join(posixpath.dirname(path), PIPELINE)
        found = read_lock(path, text, self.git.read(commit, beside))
        return [one for one in found if not self.git.has(commit, one.path)]

    def history(
        self, tell: Callable[[GitCommit, InvalidInput], None], rev: str = "HEAD"
    ) -> Iterator[tuple[GitCommit, Output]]:
        """Each change of each output, the oldest first.

        Args:
            tell: Hears of pointers of some commit that can't be used; they are passed over.
            rev: Where the history ends.

        Raises:
            NotFound: If there is no such revision.
        """
        stands: dict[str, dict[str, str]] = {}
        for commit, changed in self.git.changes(self.git.commit(rev)):
            for path in changed:
                try:
                    now = self.outputs_of(commit.id, path)
                except InvalidInput as error:
                    tell(commit, error)
                    continue
                before = stands.get(path, {})
                for one in now:
                    if before.get(one.path) != one.object:
                        yield commit, one
                stands[path] = {one.path: one.object for one in now}

    def last_change(self, output: Output) -> GitCommit | None:
        """The commit that made an output what it is in the working folder; None if none has it so."""
        pointer = output.where.partition(": ")[0]
        since = None
        for commit in self.git.changes_of(pointer) if self.git.is_there() else ():
            try:
                there = self.outputs_of(commit.id, pointer)
            except InvalidInput:
                break
            if not any((one.path, one.object) == (output.path, output.object) for one in there):
                break
            since = commit
        return since

    def members(self, output: Output) -> list[Member]:
        """The files of an output, by path; a file's own name for one that is no folder.

        Raises:
            NotFound: If the folder's list is missing.
            CorruptData: If it isn't what DVC stored.
            InvalidInput: If it names what no list may name.
        """
        if not output.folder:
            return [Member(posixpath.basename(output.path), output.md5)]
        body = self.objects.whole(output.object, legacy=False, where=output.where)
        found = read_folder(output.object, body, where=output.where)
        if output.count is not None and output.count != len(found):
            raise InvalidInput(
                f"it says {output.count:,} files, and the folder's list has {len(found):,}",
                where=f"{output.where}.nfiles",
                fix="restore the pointer from Git, or let DVC write it again: dvc commit",
            )
        return found

    def read(self, output: Output, member: Member) -> Iterator[bytes]:
        """The bytes of a file, checked at their end; raises as :meth:`Objects.read`."""
        where = f"{output.where} ({output.path})" + (f": {member.path}" if output.folder else "")
        return self.objects.read(member.md5, legacy=output.legacy, where=where)

    def read_path(self, path: str, rev: str | None = None) -> Iterator[bytes]:
        """The bytes of a tracked file by its path in the repository.

        Raises:
            NotFound: If nothing tracks it, or it is missing.
        """
        for output in self.outputs(rev):
            inner = path.removeprefix(f"{output.path}/") if output.folder else posixpath.basename(path)
            if path == output.path or (output.folder and inner != path):
                for member in self.members(output):
                    if member.path == inner:
                        return self.read(output, member)
        raise NotFound(f"DVC tracks no file {path!r}", where=str(self.root))

    # ── within ───────────────────────────────────────────────────────────

    def _here(self, path: str) -> list[Output]:
        place = self.root / path
        with storage_errors(str(place)):
            text = place.read_bytes()
            if place.name != LOCK:
                return read_pointer(path, text)
            beside = place.with_name(PIPELINE)
            pipeline = beside.read_bytes() if beside.is_file() else None
        found = read_lock(path, text, pipeline)
        if not self.git.is_there():
            return found
        head = self.git.commit("HEAD")
        return [one for one in found if not self.git.has(head, one.path)]

    def _pointers_here(self) -> list[str]:
        found = []
        for folder, folders, names in os.walk(self.root):
            inner = Path(folder).relative_to(self.root).as_posix()
            folders[:] = sorted(
                one for one in folders if not one.startswith(".") and f"{one}.dvc" not in names
                and not (Path(folder) / one / ".dvc").is_dir()
            )  # fmt: skip
            found += [posixpath.normpath(f"{inner}/{name}") for name in sorted(names)]
        return [path for path in found if is_pointer(path)]


def find_root(path: Path) -> Path:
    """The DVC repository that a folder lies in.

    Raises:
        NotFound: If it lies in none.
    """
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise NotFound("there is no DVC repository", where=str(path), fix="name the folder that has .dvc")


def _once(found: list[Output]) -> list[Output]:
    by_path: dict[str, Output] = {}
    for one in found:
        other = by_path.setdefault(one.path, one)
        if other is not one:
            raise InvalidInput(
                f"{one.path!r} is tracked twice", where=f"{other.where} and {one.where}", fix="remove one"
            )
    return [by_path[path] for path in sorted(by_path)]
