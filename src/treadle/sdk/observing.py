"""Sees which files a run reads, also those that nobody declared.

An audit hook of the interpreter (PEP 578) is told of every file that Python opens, whichever library asks
for it. Files that native code opens by itself, as DuckDB, Polars and PyArrow do, are not seen.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

MOST = 100_000
"""So many files of a run are remembered at most."""

_SUFFIX = ".treadle"
_CODE = frozenset({".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".toml", ".cfg", ".ini", ".lock", ".log"})
_DATA = frozenset(
    {
        ".arrow", ".avro", ".bin", ".csv", ".feather", ".gz", ".h5", ".hdf5", ".jpeg", ".jpg", ".jsonl",
        ".mp3", ".ndjson", ".npy", ".npz", ".orc", ".parquet", ".pkl", ".png", ".pt", ".safetensors", ".tar",
        ".tfrecord", ".tif", ".tiff", ".tsv", ".wav", ".zip", ".zst",
    }
)  # fmt: skip
_watching: set[Watch] = set()
_hooked = False
_forked = False
_paused = 0
_counting = threading.Lock()
_busy = threading.local()


class Reads(NamedTuple):
    """What a run read, as far as Python opened it.

    Attributes:
        versioned: The data with a pointer that was read, relative to the project.
        loose: Files that neither Git nor a version has.
    """

    versioned: tuple[str, ...]
    loose: tuple[str, ...]


class Watch:
    """Remembers the files that this process, and children forked from it, open to read.

    Args:
        folder: The run's folder; children leave there what they read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "reads"
        self._root = folder.parents[2]
        self._since = time.time()
        self._seen: set[str] = set()
        self._child: int | None = None
        _watching.add(self)
        _hook_once()

    def opened(self, path: str) -> None:
        """Remembers a file."""
        if path in self._seen or len(self._seen) >= MOST:
            return
        self._seen.add(path)
        if _forked:
            if self._child is None:
                self._folder.mkdir(exist_ok=True)
                name = self._folder / str(os.getpid())
                self._child = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(self._child, os.fsencode(path) + b"\0")

    def stop(self) -> Reads:
        """What was read; nothing is remembered from now on."""
        _watching.discard(self)
        seen = set(self._seen)
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                seen.update(os.fsdecode(one) for one in file.read_bytes().split(b"\0") if one)
                file.unlink()
            self._folder.rmdir()
        return sort_out(self._root, seen, self._since)


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """While the platform itself reads data in this process, nothing that is opened counts."""
    _pause(1)
    try:
        yield
    finally:
        _pause(-1)


def _pause(by: int) -> None:
    global _paused  # noqa: PLW0603 - of all threads: the platform works in some of its own
    with _counting:
        _paused += by


def sort_out(root: Path, paths: Iterable[str], since: float) -> Reads:
    """Which of some files are data: with a version, or without.

    Args:
        root: The project's folder.
        paths: Files that were opened, as absolute paths.
        since: When the run began, in seconds since 1970; what was written later is the run's own.
    """
    home = root.resolve()
    pointers: dict[Path, Path | None] = {home: None}
    versioned: set[str] = set()
    loose: set[str] = set()
    for folder, names in _by_folder(paths).items():
        within = folder.is_relative_to(home)
        if _is_code(folder.relative_to(home) if within else folder):
            continue
        above = _pointer(folder, pointers) if within else None
        for name in names:
            path = folder / name
            found = path if within and (folder / f"{name}{_SUFFIX}").exists() else above
            if found is not None:
                versioned.add(found.relative_to(home).as_posix())
            elif _is_data(path, within=within, since=since):
                loose.add(path.relative_to(home).as_posix() if within else str(path))
    if loose:
        loose -= _kept_by_git(home)
    return Reads(tuple(sorted(versioned)), tuple(sorted(loose)))


def _by_folder(paths: Iterable[str]) -> dict[Path, set[str]]:
    """Names by folder, links followed: a folder is looked at once, however many of its files were read."""
    named: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition(os.sep)
        named.setdefault(folder or os.sep, set()).add(name)
    found: dict[Path, set[str]] = {}
    for folder, names in named.items():
        found.setdefault(Path(folder).resolve(), set()).update(names)
    return found


def _is_code(folder: Path) -> bool:
    """Whether files there are no data: the interpreter's, the system's, Treadle's own, hidden ones."""
    if not folder.is_absolute():
        return any(part.startswith(".") or part in _NO_DATA for part in folder.parts)
    return any(folder.is_relative_to(one) for one in _NOWHERE)


_NO_DATA = {"__pycache__", "node_modules", "site-packages"}
_PREFIXES = {Path(one).resolve() for one in (sys.prefix, sys.base_prefix)} - {Path("/")}
_NOWHERE = (*_PREFIXES, *map(Path, ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/var/lib", "/run")))


def _pointer(folder: Path, known: dict[Path, Path | None]) -> Path | None:
    """The folder with a pointer that a folder of the project is, or is in."""
    if folder not in known:
        pointer = folder.with_name(f"{folder.name}{_SUFFIX}")
        known[folder] = folder if pointer.exists() else _pointer(folder.parent, known)
    return known[folder]


def _is_data(path: Path, *, within: bool, since: float) -> bool:
    ending = path.suffix.lower()
    if path.name.startswith(".") or ending in _CODE or ending == _SUFFIX or not (within or ending in _DATA):
        return False
    try:
        return path.is_file() and path.stat().st_mtime < since
    except OSError:
        return False  # it was the run's own, and is gone


def _kept_by_git(home: Path) -> set[str]:
    """The files that Git has, relative to the project; none if there is no Git."""
    import subprocess

    command = ["git", "ls-files", "-z"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, cwd=home, capture_output=True, timeout=10, check=True)
        return {os.fsdecode(one) for one in done.stdout.split(b"\0") if one}
    return set()


def _hook_once() -> None:
    global _hooked  # noqa: PLW0603 - an audit hook can't be taken away, so there is one for all runs
    if not _hooked:
        _hooked = True
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not _watching or _paused:
        return
    path, _, flags = args
    if isinstance(path, int) or not isinstance(flags, int) or flags & os.O_ACCMODE:
        return
    if getattr(_busy, "now", False):
        return  # what is opened here to remember it
    _busy.now = True
    try:
        name = os.fsdecode(path)
        if not name.endswith((".py", ".pyc", ".so")):
            name = os.path.abspath(name)  # noqa: PTH100 - the name, not what a link leads to
            for watch in list(_watching):
                watch.opened(name)
    except Exception:  # noqa: BLE001, S110 - to see must never keep a file from whoever opens it
        pass
    finally:
        _busy.now = False


def _after_fork() -> None:
    global _forked, _counting  # noqa: PLW0603 - of this process
    _forked = True
    _busy.now = False
    _counting = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)
