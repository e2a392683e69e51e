"""Writing a version for DVC: the objects, a folder's list after its files, and the pointer last."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from treadle.data import ArchiveReader, DatasetVersion, Entry, Mode, ignore
from treadle.interop.dvc.config import read_config
from treadle.interop.dvc.importing import KIND
from treadle.interop.dvc.objects import md5_of
from treadle.interop.dvc.pointers import dump_yaml, load_yaml
from treadle.interop.dvc.repository import Repository, find_root
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound
from treadle.kernel.files import storage_errors, sync, write_atomic
from treadle.kernel.ids import digest_bytes, new_digest
from treadle.kernel.lock import Holder, exclusive

_LARGE = 1 << 20
_GITIGNORE = b"/config.local\n/tmp\n/cache\n"


class Archive(Protocol):
    """Gives versions; a :class:`treadle.client.Client` does."""

    def data_archive(self, ref: str) -> ArchiveReader:
        """A version, and all that it has."""


class DvcExport(msgspec.Struct, frozen=True, kw_only=True):
    """What was written.

    Attributes:
        ref: The version.
        repository: The DVC repository.
        path: Where DVC puts the data, within the repository.
        pointer: The pointer, within the repository.
        files: How many files the data has.
        bytes: How many bytes they have.
        written: How many objects are new in the cache.
        notes: What DVC can't keep.
    """

    ref: str
    repository: str
    path: str
    pointer: str
    files: int
    bytes: int
    written: int
    notes: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    """A file of the version: its MD5, its size, and whether it may be executed."""

    md5: str
    size: int
    executable: bool = False


def export_dvc(
    source: Archive, ref: str, folder: Path, to: str = "", progress: Callable[[str], None] = lambda _: None
) -> DvcExport:
    """Writes a version into a DVC repository, which is made if there is none.

    The pointer is written last: until then nothing in the repository names what was written.
    Doing it again, after a crash too, writes what is missing.

    Args:
        source: Gives the version.
        ref: Which, such as ``flights@v3``.
        folder: The repository, a folder in it, or a new one.
        to: Where the data shall lie in it; where it came from, or the dataset's name, when empty.
            A slash at the end says that it is a folder.
        progress: Called with what was done last.

    Raises:
        NotFound: If there is no such version.
        InvalidInput: If DVC can't keep it there; nothing was written.
        Conflict: If something else is tracked there.
        StorageFull: If no space is left; the pointer is as it was.
        StorageError: If the repository can't be written.
    """
    archive = source.data_archive(ref)
    root = _repository(folder)
    path, single = _place(archive.version, to)
    pointer = root / f"{path}.dvc"
    with exclusive(root / ".dvc" / "tmp" / "treadle.lock", Holder(pid=0, doing="another export")):
        before = _before(root, path, pointer)
        objects = _Writer(Path(read_config(root).cache), progress)
        members, notes = _members(archive, objects)
        size = sum(one.size for one in members.values())
        if single and len(members) != 1:
            raise InvalidInput(
                f"{archive.version.ref} has {len(members):,} files, not one", fix="end --to with /"
            )
        out = _single(members) if single else _folder(members)
        if not single and (executable := sum(one.executable for one in members.values())):
            notes.append(f"{executable:,} executable files become plain ones: DVC doesn't keep it in folders")
        objects.settle()
        if not single:
            objects.put(_body(members), out["md5"])
        ignore(root / path)
        _write(pointer, before, {**out, "path": posixpath.basename(path)})
    return DvcExport(
        ref=archive.version.ref,
        repository=str(root),
        path=path,
        pointer=f"{path}.dvc",
        files=len(members),
        bytes=size,
        written=objects.written,
        notes=tuple(notes),
    )


# ── the repository ───────────────────────────────────────────────────────


def _repository(folder: Path) -> Path:
    """The repository; a minimal one is made where there is none."""
    whole = folder.resolve()
    if whole.exists() and not whole.is_dir():
        raise InvalidInput("that is a file", where=str(folder), fix="name a folder")
    try:
        return find_root(whole)
    except NotFound:
        pass
    in_git = any((one / ".git").exists() for one in (whole, *whole.parents))
    home = whole / ".dvc"
    with storage_errors(str(home)):
        made = home.with_name(".dvc-new")
        shutil.rmtree(made, ignore_errors=True)
        (made / "tmp").mkdir(parents=True)
        (made / ".gitignore").write_bytes(_GITIGNORE)
        (made / "config").write_text("" if in_git else "[core]\n    no_scm = True\n")
        made.rename(home)
    return whole


def _place(version: DatasetVersion, to: str) -> tuple[str, bool]:
    """Where the data shall lie, and whether it is one file."""
    came = next((one for one in version.origin if one.kind == KIND), None)
    single = version.count == 1 and not (came and came.detail.endswith(".dir"))
    path = to or (came.id.rpartition("@")[0] if came else version.dataset)
    if path.endswith("/"):
        single = False
    whole = posixpath.normpath(path)
    parts = whole.split("/")
    if path.startswith("/") or ".." in parts or whole == "." or parts[0] in {".dvc", ".git"}:
        raise InvalidInput(
            f"{path!r} is no place for data", where="--to", fix="write a path within the repository"
        )
    if any(letter in whole for letter in "\n\r\0"):
        raise InvalidInput(f"{path!r} can't stand in a .gitignore", where="--to", fix="choose another path")
    return whole, single


def _before(root: Path, path: str, pointer: Path) -> dict[str, Any]:
    """The pointer that is there, or a new one; refuses what would overlap.

    Raises:
        Conflict: If something else is tracked there.
    """
    for one in Repository(root).outputs():
        if one.path == path and one.where == f"{path}.dvc: outs[0]":
            continue
        if f"{one.path}/".startswith(f"{path}/") or f"{path}/".startswith(f"{one.path}/"):
            raise Conflict(
                f"DVC tracks {one.path!r} already", where=one.where, fix="choose another place: --to PATH"
            )
    if not pointer.exists():
        return {"outs": [{}]}
    with storage_errors(str(pointer)):
        found = load_yaml(f"{path}.dvc", pointer.read_bytes())
    if len(found["outs"]) != 1 or found.get("deps") or found.get("cmd"):
        raise Conflict(
            "the pointer is one of several files, or of an import",
            where=str(pointer),
            fix="choose another place: --to PATH",
        )
    found.pop("md5", None)
    return found


def _write(pointer: Path, before: dict[str, Any], out: dict[str, Any]) -> None:
    kept = {key: value for key, value in before["outs"][0].items() if key not in _OURS}
    text = dump_yaml({**before, "outs": [{**out, **kept}]})
    if not pointer.exists() or pointer.read_bytes() != text:
        write_atomic(pointer, text)


_OURS = {"md5", "size", "nfiles", "isexec", "hash", "path", "etag", "checksum", "files", "version_id"}


# ── what is kept ─────────────────────────────────────────────────────────


class _Writer:
    """Writes objects into a cache, each whole or not at all, read-only as DVC's own.

    Args:
        cache: The cache's folder.
        progress: Called with what was done last.
    """

    def __init__(self, cache: Path, progress: Callable[[str], None]) -> None:
        self._home = cache / "files" / "md5"
        self._temporary = cache / ".treadle.tmp"
        self._progress = progress
        self.written = 0

    def keep(self, entry: Entry, pieces: Iterator[bytes]) -> _Kept:
        """Keeps a file's bytes.

        Raises:
            CorruptData: If they aren't the entry's.
        """
        with storage_errors(str(self._home)):
            if entry.size < _LARGE:
                data = b"".join(pieces)
                digest, md5 = digest_bytes(data), md5_of(data)
            else:
                digest, md5 = self._spool(pieces)
            if digest != entry.digest:
                raise CorruptData("the content arrived as another", where=entry.path, fix="export again")
            if entry.size < _LARGE:
                self.put(data, md5)
            elif not self._has(md5, entry.size):
                self._publish(md5)
        self._progress(entry.path)
        return _Kept(md5, entry.size, entry.mode is Mode.EXECUTABLE)

    def put(self, data: bytes, name: str) -> None:
        """Keeps some bytes under their name, if they aren't there."""
        with storage_errors(str(self._home)):
            if self._has(name, len(data)):
                return
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.write_bytes(data)
            self._publish(name)

    def settle(self) -> None:
        """Waits until all is on the disk, whatever writes it."""
        if self.written:
            os.sync()

    def _spool(self, pieces: Iterator[bytes]) -> tuple[str, str]:
        blake, md5 = new_digest(), hashlib.md5(usedforsecurity=False)
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        with self._temporary.open("wb") as file:
            for piece in pieces:
                blake.update(piece)
                md5.update(piece)
                file.write(piece)
        return blake.hexdigest(), md5.hexdigest()

    def _has(self, name: str, size: int) -> bool:
        """Whether an object is there as DVC trusts it: of that size, and read-only."""
        try:
            found = (self._home / name[:2] / name[2:]).stat()
        except FileNotFoundError:
            return False
        return found.st_size == size and not found.st_mode & 0o222

    def _publish(self, name: str) -> None:
        place = self._home / name[:2] / name[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.chmod(0o444)
        self._temporary.replace(place)
        if name.endswith(".dir"):
            sync(place)
            sync(place.parent)
        self.written += 1


def _members(archive: ArchiveReader, objects: _Writer) -> tuple[dict[str, _Kept], list[str]]:
    """The files of a version, by path, whose bytes are kept then; and what DVC can't keep."""
    found: dict[str, _Kept] = {}
    links: dict[str, str] = {}
    folders = 0
    for entry, pieces in archive:
        if entry.mode is Mode.FOLDER:
            folders += 1
        elif entry.mode is Mode.LINK:
            links[entry.path] = b"".join(pieces).decode(errors="surrogateescape")
        else:
            found[entry.path] = objects.keep(entry, pieces)
    for path in links:
        found[path] = _followed(path, links, found)
    notes = []
    if folders:
        notes.append(f"{folders:,} empty folders are left out: DVC keeps files only")
    if links:
        notes.append(f"{len(links):,} links are written as the files that they point at")
    return dict(sorted(found.items())), notes


def _followed(path: str, links: dict[str, str], found: dict[str, _Kept]) -> _Kept:
    at = path
    for _ in range(40):
        if at not in links:
            break
        at = posixpath.normpath(posixpath.join(posixpath.dirname(at), links[at]))
    if at not in found:
        raise InvalidInput(
            f"the link {path!r} points at {at!r}, which is no file of the data",
            where=path,
            fix="DVC keeps files only: make a version without it",
        )
    return found[at]


def _single(members: dict[str, _Kept]) -> dict[str, Any]:
    (one,) = members.values()
    executable = {"isexec": True} if one.executable else {}
    return {"md5": one.md5, "size": one.size, **executable, "hash": "md5"}


def _folder(members: dict[str, _Kept]) -> dict[str, Any]:
    size = sum(one.size for one in members.values())
    return {"md5": f"{md5_of(_body(members))}.dir", "size": size, "nfiles": len(members), "hash": "md5"}


def _body(members: dict[str, _Kept]) -> bytes:
    """A folder's list, byte for byte as DVC writes it."""
    rows = [{"md5": one.md5, "relpath": path} for path, one in members.items()]
    return json.dumps(rows, sort_keys=True).encode()
