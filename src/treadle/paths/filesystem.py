"""Versions of data as a file system: ``treadle://DATASET@VERSION/PATH``."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.kernel.errors import InvalidInput, Refused
from treadle.paths import places
from treadle.paths.changes import Changes
from treadle.paths.files import ReadFile, WriteFile
from treadle.paths.places import Place
from treadle.paths.transaction import TreadleTransaction
from treadle.paths.versions import Versions, lost

if TYPE_CHECKING:
    from treadle.data import DatasetVersion

_SMALL = 1 << 20


class TreadleFileSystem(Versions):
    """Reads versions lazily, by ranges, and writes to branches, a version at a time.

    A branch or a tag is looked up once: what is read through one file system is of one version, while
    others go on. :meth:`invalidate_cache` looks again. A file that is written is a version when it is
    closed; ``with fs.transaction:`` makes one version of all that is done in it.

    Args:
        url: The server's address; by default ``TREADLE_URL``, else a server that holds the workspace.
        root: The project's folder; looked for from the working folder upward by default.
        cache_size: How many bytes that were read from afar are kept on this machine; none when 0.
        options: What fsspec knows.
    """

    transaction_type = TreadleTransaction

    def _open(self, path: str, mode: str = "rb", autocommit: bool = True, **options: Any) -> Any:
        if mode == "rb":
            block_size = options.get("block_size")
            return ReadFile(self, path, mode, block_size=block_size)
        place = self._writable(path)
        begin = b""
        if mode not in {"wb", "ab", "xb"}:
            raise InvalidInput(f"a file can't be opened as {mode!r}", fix="use 'rb', 'wb', 'ab' or 'xb'")
        if mode != "wb" and self.exists(path):
            if mode == "xb":
                raise FileExistsError(path)
            begin = self.cat_file(path)
        file = WriteFile(self, place, begin, autocommit)
        if not autocommit:
            self.transaction.files.append(file)
        return file

    # ── writing ──────────────────────────────────────────────────────────

    def _writable(self, path: str) -> Place:
        place = self._place(path)
        if not place.path:
            raise InvalidInput(
                f"{place.base or path!r} names no file", fix="write treadle://DATASET@BRANCH/PATH"
            )
        if places.is_fixed(place.ref):
            raise Refused(
                f"{place.base} is a version: it never changes",
                fix=f"write to a branch: treadle://{place.dataset}@BRANCH/{place.path}",
            )
        return place

    def take(self, place: Place, local: Path) -> None:
        """Sends a local file, and makes a version with it; in a transaction, adds it to that.

        Raises:
            Conflict: If others changed the same path meanwhile, or the branch is protected.
        """
        from treadle.data import Entry

        size = local.stat().st_size
        if size < _SMALL:
            sent = self.client.put_contents(place.dataset, [local.read_bytes()], place.ref or "main")
            digest, packs = sent.digests[0], sent.packs
        else:
            digest, packs = self.client.put_blob(local), ()
        with self._changing(place) as changes:
            changes.put(Entry(place.path, size, digest), packs)

    @contextlib.contextmanager
    def _changing(self, place: Place) -> Iterator[Changes]:
        """The changes of the transaction that is under way; otherwise a version of their own."""
        if self._intrans:
            yield self.transaction.changes(place)
            return
        made = Changes(place.dataset, place.ref or "main")
        yield made
        self.commit(made)

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """What is done in the block is one version."""
        with contextlib.ExitStack() as stack:
            if not self._intrans:
                stack.enter_context(self.transaction)
            yield

    def commit(self, changes: Changes, message: str = "") -> DatasetVersion | None:
        """Makes a version of gathered changes; none if there are none."""
        if not changes:
            return None
        key = (changes.dataset, changes.branch)
        base = self._pins.get(key)
        with lost():
            made = self.client.change_data(
                changes.dataset, changes.asked(base.commit_id if base else "", message)
            )
        self._pins[key] = made
        for base_name in {Place(*key, "").base, changes.dataset}:
            self._forget(base_name)
        return made

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = None, mode: str = "overwrite", **_: Any
    ) -> None:
        """Sends a local file; a folder is there as soon as it has a file."""
        if Path(lpath).is_dir():
            return
        place = self._writable(rpath)
        if mode == "create" and self.exists(rpath):
            raise FileExistsError(rpath)
        self.take(place, Path(lpath))
        if callback is not None:
            callback.set_size(1)
            callback.absolute_update(1)

    def put(self, lpath: Any, rpath: Any, **options: Any) -> None:
        """Sends local files: all of them as one version."""
        with self._together():
            super().put(lpath, rpath, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Writes a file of some bytes."""
        with self.open(path, "xb" if mode == "create" else "wb") as file:
            file.write(value)

    def pipe(self, path: Any, value: bytes | None = None, **options: Any) -> None:
        """Writes files of some bytes: all of them as one version."""
        with self._together():
            super().pipe(path, value, **options)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Lets a file lie at another path too; within a dataset no bytes are copied."""
        from treadle.data import CopyPath

        source, target = self._place(path1), self._writable(path2)
        version = self._pin(source)
        if self._entry(source, version).kind == "folder":
            return
        if source.dataset != target.dataset:
            with self.open(path1, "rb") as one, self.open(path2, "wb") as other:
                shutil.copyfileobj(one, other, _SMALL)
            return
        with self._changing(target) as changes:
            changes.copy(CopyPath(source=source.path, target=target.path, at=version.commit_id))

    def copy(self, path1: Any, path2: Any, recursive: bool = False, **options: Any) -> None:
        """Lets files lie at other paths too: one version."""
        with self._together():
            super().copy(path1, path2, recursive=recursive, **options)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, **options: Any) -> None:
        """Moves files: one version, in which they are here or there."""
        with self._together():
            super().copy(path1, path2, recursive=recursive, **options)
            self.rm(path1, recursive=recursive)

    def rm_file(self, path: str) -> None:
        """Removes a file.

        Raises:
            FileNotFoundError: If there is none.
        """
        self._remove(self._writable(path), folder=False)

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Removes files, or what lies below folders: one version.

        Raises:
            FileNotFoundError: If there is none.
            IsADirectoryError: If a folder lies there and what is below shall stay.
        """
        with self._together():
            for one in [path] if isinstance(path, str) else path:
                for found in self.expand_path(one, maxdepth=maxdepth) if _has_magic(one) else [one]:
                    place = self._writable(found)
                    folder = self.isdir(found)
                    if folder and not recursive:
                        raise IsADirectoryError(f"{found} is a folder: use recursive=True")
                    self._remove(place, folder=folder)

    def _remove(self, place: Place, *, folder: bool) -> None:
        path = f"{place.path}/" if folder else place.path
        with self._changing(place) as changes:
            came = changes.remove(path)
            there = self.exists(place.of(place.path))
            if there:
                changes.forget(path)
            if not came and not there:
                raise FileNotFoundError(place.of(place.path))

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Makes an empty file; one that is there stays as it is unless it is to be truncated."""
        if truncate or not self.exists(path):
            self.pipe_file(path, b"")

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Nothing: a folder is there as soon as it has a file."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing: a folder is there as soon as it has a file."""

    def rmdir(self, path: str) -> None:
        """Nothing: a folder is gone with its last file."""


def _has_magic(path: str) -> bool:
    return any(letter in path for letter in "*?[")
