"""What there is in versions, and their bytes: the part of the file system that only reads."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractFileSystem

from treadle.kernel.errors import NotFound
from treadle.kernel.files import replacing
from treadle.paths import connection, places
from treadle.paths.cache import LIMIT, BlockCache
from treadle.paths.places import Place
from treadle.paths.reader import Origin, Reader, checked

if TYPE_CHECKING:
    from treadle.client import Client
    from treadle.data import DatasetVersion, PathEntry

_READERS = 16
READ = "treadle.read"
"""The audit event of a read: dataset, version's number, version's digest, path."""


class Versions(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Versions as a file system that is read; see :class:`~treadle.paths.TreadleFileSystem`."""

    protocol = places.PROTOCOL
    root_marker = ""

    def __init__(
        self, url: str | None = None, root: str | None = None, cache_size: int = LIMIT, **options: Any
    ) -> None:
        if "_pins" in self.__dict__:  # the same file system, asked for again
            return
        super().__init__(**options)
        self._url, self._root = url, os.fspath(root) if root is not None else None
        self._size = cache_size
        self._blocks: BlockCache | None = None
        self._pins: dict[tuple[str, str], DatasetVersion] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._listed: dict[str, list[dict[str, Any]]] = {}
        self._entries: dict[str, PathEntry] = {}
        self._readers: OrderedDict[tuple[str, str, str], Reader] = OrderedDict()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return places.strip(os.fspath(path))

    def __reduce__(self) -> tuple[Any, ...]:
        given = dict(zip(("url", "root", "cache_size"), self.storage_args, strict=False))
        given |= self.storage_options
        here = connection.here(self._url, self._root)
        return _pinned, (type(self), given, here, dict(self._pins))

    # ── where things are ─────────────────────────────────────────────────

    @property
    def client(self) -> Client:
        """What asks the server, or the workspace."""
        return connection.client(self._url, self._root)

    def version(self, path: str) -> DatasetVersion:
        """The version that a path is of: looked up once, and the same from then on.

        Raises:
            FileNotFoundError: If there is none.
        """
        return self._pin(self._place(path))

    def invalidate_cache(self, path: str | None = None) -> None:
        """Looks branches and tags up again when they are asked for next; all, or that of a path."""
        if path is None:
            self._pins.clear()
            self._names.clear()
            self._listed.clear()
            self._entries.clear()
            return
        place = self._place(path)
        self._pins.pop((place.dataset, place.ref or "main"), None)
        self._names.pop(place.dataset, None)
        self._forget(place.base)

    def _forget(self, base: str) -> None:
        for kept in (self._listed, self._entries):
            for key in [one for one in kept if one == base or one.startswith((f"{base}/", f"{base}\0"))]:
                del kept[key]

    def _place(self, path: str) -> Place:
        names: frozenset[str] = frozenset()
        if dataset := places.needs_names(path):
            names = self._names.get(dataset, names)
            if places.read_place(path, names).ref not in names:  # perhaps it was made meanwhile
                names = frozenset(one for kind in ("branch", "tag") for one in self._refs(dataset, kind))
                self._names[dataset] = names
        return places.read_place(path, names)

    def _refs(self, dataset: str, kind: Any) -> list[str]:
        try:
            return [one.name for one in self.client.data_refs(dataset, kind)]
        except NotFound:
            return []

    def _pin(self, place: Place) -> DatasetVersion:
        key = (place.dataset, place.ref or "main")
        if key not in self._pins:
            with lost():
                self._pins[key] = self.client.data_version(place.dataset, place.ref)
        return self._pins[key]

    # ── what there is ────────────────────────────────────────────────────

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What lies at a path: name, size, type, digest and version.

        Raises:
            FileNotFoundError: If nothing does.
        """
        place = self._place(path)
        if not place.dataset:
            return {"name": "", "size": 0, "type": "directory"}
        version = self._pin(place)
        return self._told(place, self._entry(place, version), version)

    def _entry(self, place: Place, version: DatasetVersion) -> PathEntry:
        name = place.of(place.path)
        if name not in self._entries:
            with lost():
                self._entries[name] = self.client.data_entry(place.dataset, version.commit_id, place.path)
        return self._entries[name]

    @staticmethod
    def _told(place: Place, entry: PathEntry, version: DatasetVersion) -> dict[str, Any]:
        told = {
            "name": place.of(entry.path),
            "size": entry.size,
            "type": "directory" if entry.kind == "folder" else "file",
            "version": version.ref,
            "mtime": version.created_at,
        }
        if entry.kind == "file":
            told |= {"digest": entry.digest, "ETag": entry.digest, "islink": bool(entry.target)}
        return told

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What lies in a folder; of a file, the file.

        Raises:
            FileNotFoundError: If nothing lies there.
        """
        place = self._place(path)
        if not place.dataset:
            found = [
                {"name": one.dataset, "size": 0, "type": "directory", "version": one.ref}
                for one in self.client.datasets()
            ]
        else:
            found = self._list(place)
        return [dict(one) for one in found] if detail else [one["name"] for one in found]

    def _list(self, place: Place, deep: bool = False) -> list[dict[str, Any]]:
        key = place.of(place.path) + ("\0deep" if deep else "")
        if key not in self._listed:
            version = self._pin(place)
            if place.path and self._entry(place, version).kind == "file":
                return [self.info(place.of(place.path))]
            with lost():
                found = self.client.data_paths(place.dataset, version.commit_id, place.path, deep=deep)
            self._listed[key] = [self._told(place, one, version) for one in found]
            self._entries.update({place.of(one.path): one for one in found})
        return self._listed[key]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        """All files below a path, by one request for ten thousand.

        Raises:
            ValueError: If the depth is less than 1.
        """
        place = self._place(path)
        if maxdepth is not None or not place.dataset:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail)
        try:
            found = {one["name"]: dict(one) for one in self._list(place, deep=True)}
        except FileNotFoundError:
            return {} if detail else []
        if not withdirs:
            found = {name: one for name, one in found.items() if one["type"] == "file"}
        else:
            found |= self._folders(place, found)
        return dict(sorted(found.items())) if detail else sorted(found)

    def _folders(self, place: Place, found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The folders that files below a path lie in, and the path itself if it is one."""
        top = place.of(place.path)
        if list(found) == [top]:
            return {}
        named = {top}
        for name in found:
            folder = name.rpartition("/")[0]
            while len(folder) > len(top) and folder not in named:
                named.add(folder)
                folder = folder.rpartition("/")[0]
        version = self._pin(place).ref
        return {one: {"name": one, "size": 0, "type": "directory", "version": version} for one in named}

    def created(self, path: str) -> datetime:
        """When the version was made."""
        return self.version(path).created_at

    modified = created

    def ukey(self, path: str) -> str:
        """The digest of a file: another one when its bytes are others."""
        return str(self.info(path).get("digest", ""))

    checksum = ukey

    # ── reading ──────────────────────────────────────────────────────────

    def reader(self, path: str) -> Reader:
        """What reads a file by ranges.

        Raises:
            FileNotFoundError: If there is none.
            IsADirectoryError: If a folder lies there.
        """
        place = self._place(path)
        origin = self._origin(place)
        key = (origin.commit, origin.path, origin.digest)
        found = self._readers.get(key)
        if found is None:
            found = _Reading(self.client, origin, self._block_cache())
            self._readers[key] = found
            while len(self._readers) > _READERS:
                self._readers.popitem(last=False)
        return found

    def _origin(self, place: Place) -> Origin:
        version = self._pin(place)
        entry = self._entry(place, version)
        if entry.kind == "folder":
            raise IsADirectoryError(f"{place.of(place.path)} is a folder")
        sys.audit(READ, place.dataset, version.number, version.digest, place.path)
        return Origin(
            place.dataset, version.commit_id, entry.path, entry.size, entry.digest, bool(entry.external)
        )

    def _block_cache(self) -> BlockCache | None:
        """Where blocks are kept; nowhere if the bytes lie on this machine already."""
        if self._size <= 0 or (self.client.embedded and "://" not in self.client.health().blobs):
            return None
        if self._blocks is None:
            self._blocks = BlockCache(connection.cache_folder(self._root), self._size)
        return self._blocks

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """A file's bytes, or some of them; negative positions count from its end."""
        size = self.info(path)["size"]
        begin, until, _step = slice(start, end).indices(size)
        with lost():
            return self.reader(path).read(begin, until)

    def get_file(self, rpath: str, lpath: Any, callback: Any = None, outfile: Any = None, **_: Any) -> None:
        """Writes a file to a local one: checked, and whole or not at all."""
        place = self._place(rpath)
        if self.isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        origin = self._origin(place)
        if callback is not None:
            callback.set_size(origin.size)
        with lost(), contextlib.ExitStack() as stack:
            if outfile is None:
                outfile = stack.enter_context(stack.enter_context(replacing(Path(lpath))).open("wb"))
            pieces = self.client.read_data(origin.dataset, origin.commit, origin.path)
            for piece in checked(origin, pieces):
                outfile.write(piece)
                if callback is not None:
                    callback.relative_update(len(piece))


class _Reading(Reader):
    """A reader whose misses are those of files."""

    def read(self, start: int, end: int) -> bytes:
        with lost():
            return super().read(start, end)


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """Raises what isn't there as Python's own error, which readers of files know."""
    try:
        yield
    except NotFound as error:
        raise FileNotFoundError(str(error)) from error


def _pinned(
    kind: type[Versions],
    given: Mapping[str, Any],
    sender: Sequence[str | None],
    pins: dict[tuple[str, str], DatasetVersion],
) -> Versions:
    """A file system that was sent to another process: it reads the same versions.

    Args:
        kind: Its class.
        given: What it was made with.
        sender: The server and the project that it had there; where this machine has no such folder, what
            is found here counts.
        pins: Versions that it has looked up.
    """
    url, root = sender
    found = {"url": url} if url else {}
    if root and Path(root).is_dir():
        found["root"] = root
    made = kind(**{**given, **found, "skip_instance_cache": True})
    made._pins.update(pins)  # noqa: SLF001 - this module's own class
    return made
