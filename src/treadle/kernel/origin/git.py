"""What Git says about a folder: commit, branch, remote, and what differs from the commit.

Git may hang (a network file system, a lock) or fail: each question has until a deadline, and
what can't be found out becomes a reason that is kept instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from treadle.kernel.origin.masking import address, text_masked
from treadle.kernel.units import format_bytes

SECONDS = 20.0
MOST_PATCH = 20 << 20
MOST_FILE = 1 << 20
MOST_FILES = 1000
MOST_NEW = 10 << 20
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_PRIVATE = ("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", ".pgpass", ".npmrc", ".pypirc")
_PRIVATE_ENDS = (".pem", ".key", ".p12", ".pfx", ".keystore", ".jks")


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of a repository as it was found.

    Attributes:
        root: The repository's folder.
        folder: The folder within it; empty for the repository's own.
        commit: What is checked out; None before the first commit.
        branch: Its branch; None if none is checked out.
        repository: Where it was cloned from, without credentials.
        dirty: Whether tracked files differ from the commit.
        patch: All that differs, as ``git apply`` takes it; None if nothing does, or it can't be had.
        problems: What could not be found out or was left out, and why.
    """

    root: str | None = None
    folder: str | None = None
    commit: str | None = None
    branch: str | None = None
    repository: str | None = None
    dirty: bool | None = None
    patch: bytes | None = None
    problems: tuple[str, ...] = ()


class _Failed(Exception):
    """Git didn't answer; says why."""


class _Git:
    """Asks about one folder, until a deadline."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._end = time.monotonic() + seconds
        self._seconds = seconds

    def ask(
        self,
        *arguments: str,
        given: bytes | None = None,
        most: int = 64 << 20,
        index: str | None = None,
    ) -> bytes:
        """What a command prints.

        Raises:
            _Failed: If it fails, takes too long or prints more than ``most`` bytes.
        """
        env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        if index is not None:
            env["GIT_INDEX_FILE"] = index
        left = self._end - time.monotonic()
        if left <= 0:
            raise _Failed(f"git took longer than {self._seconds:.0f} s")
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as errors:
            source.write(given or b"")
            source.seek(0)
            try:
                process = subprocess.Popen(
                    ["git", "-c", "core.fsmonitor=false", "-C", str(self._folder), *arguments],
                    env=env,
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
            except OSError as error:
                raise _Failed(f"git can't be run: {error.strerror}") from None
            late = threading.Timer(left, process.kill)
            late.start()
            with process:
                assert process.stdout is not None  # noqa: S101 - asked for above
                found = process.stdout.read(most + 1)
                if len(found) > most:
                    process.kill()
            ended = not late.is_alive()
            late.cancel()
            late.join()
            if len(found) > most:
                raise _Failed(f"more than {format_bytes(most)}")
            if ended and process.returncode:
                raise _Failed(f"git took longer than {self._seconds:.0f} s")
            if process.returncode:
                errors.seek(0)
                said = errors.read(2000).decode(errors="replace").strip().splitlines()
                raise _Failed(said[0] if said else f"git ended with {process.returncode}")
        return found


def look(folder: Path, seconds: float = SECONDS, *, patch: bool = True) -> Checkout:
    """What Git says about a folder; empty outside a repository.

    Args:
        folder: Any folder.
        seconds: How long all of it may take.
        patch: Whether to look at what differs, too.
    """
    git = _Git(folder, seconds)
    try:
        top, prefix, *_ = git.ask("rev-parse", "--show-toplevel", "--show-prefix").split(b"\n")
    except _Failed as error:
        if "not a git repository" in str(error) or not _in_repository(folder):
            return Checkout()
        return Checkout(problems=(text_masked(f"code: {error}"),))
    root = os.fsdecode(top)
    found = Checkout(root=root, folder=_text(prefix).rstrip("/"))
    git = _Git(Path(root), seconds)
    try:
        found = _heads(git, found)
    except _Failed as error:
        return msgspec.structs.replace(found, problems=(text_masked(f"code: {error}"),))
    return _with_patch(git, found) if patch else found


def _in_repository(folder: Path) -> bool:
    return any((place / ".git").exists() for place in (folder, *folder.parents))


def _heads(git: _Git, found: Checkout) -> Checkout:
    commit, branch, dirty = None, None, False
    for line in git.ask(
        "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules"
    ).splitlines():
        if line.startswith(b"# branch.oid "):
            oid = _text(line.removeprefix(b"# branch.oid "))
            commit = None if oid == "(initial)" else oid
        elif line.startswith(b"# branch.head "):
            head = _text(line.removeprefix(b"# branch.head "))
            branch = None if head == "(detached)" else head
        elif not line.startswith(b"#"):
            dirty = True
    return msgspec.structs.replace(found, commit=commit, branch=branch, dirty=dirty, repository=_remote(git))


def _remote(git: _Git) -> str | None:
    try:
        lines = git.ask("config", "--get-regexp", r"^remote\..*\.url$").decode(errors="replace").splitlines()
    except _Failed:
        return None
    urls = {name: url for name, _, url in (line.partition(" ") for line in lines)}
    url = urls.get("remote.origin.url") or next(iter(urls.values()), None)
    return address(url) if url else None


def _with_patch(git: _Git, found: Checkout) -> Checkout:
    """The same with the patch: tracked files that differ, and new ones up to a limit."""
    assert found.root is not None  # noqa: S101 - only called inside a repository
    problems: list[str] = []
    base = found.commit or _EMPTY_TREE
    try:
        new = _new_files(git, Path(found.root), problems)
        with tempfile.TemporaryDirectory() as folder:
            index = str(Path(folder) / "index")
            own = Path(found.root, _text(git.ask("rev-parse", "--git-path", "index")).strip())
            if own.exists():
                shutil.copy2(own, index)  # with its time, by which Git tells what changed in the same second
            if new:  # in a copy of the index, so that the repository's own stays as it is
                git.ask(
                    "add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul",
                    given=b"\0".join(new), index=index,
                )  # fmt: skip
            patch = git.ask(
                "diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames",
                "--ignore-submodules=dirty", base, most=MOST_PATCH, index=index,
            )  # fmt: skip
    except (_Failed, OSError) as error:
        problems.append(text_masked(f"changes were not kept: {error}"))
        patch = b""
    return msgspec.structs.replace(found, patch=patch or None, problems=tuple(problems))


def _new_files(git: _Git, root: Path, problems: list[str]) -> Sequence[bytes]:
    """Files that Git neither tracks nor ignores, as far as they are kept."""
    listed = git.ask("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
    kept: list[bytes] = []
    total, large, private = 0, 0, 0
    for name in sorted(filter(None, listed)):
        parts = os.fsdecode(name).split("/")
        if ".treadle" in parts or name.endswith(b"/"):
            continue
        if _is_private(parts[-1]):
            private += 1
            continue
        try:
            size = (root / os.fsdecode(name)).lstat().st_size
        except OSError:
            continue
        if size > MOST_FILE or total + size > MOST_NEW or len(kept) >= MOST_FILES:
            large += 1
            continue
        total += size
        kept.append(b":(top,literal)" + name)
    if large:
        limits = f"{format_bytes(MOST_FILE)} a file, {format_bytes(MOST_NEW)} and {MOST_FILES:,} files in all"
        problems.append(f"{_counted(large)} left out of the changes (limits: {limits})")
    if private:
        problems.append(f"{_counted(private)} left out of the changes for what secrets may be in them")
    return kept


def _counted(count: int) -> str:
    return "1 new file was" if count == 1 else f"{count:,} new files were"


def _is_private(name: str) -> bool:
    plain = name.lower()
    return plain.startswith((".env", "credentials")) or plain in _PRIVATE or plain.endswith(_PRIVATE_ENDS)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
