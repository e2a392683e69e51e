"""What Git knows of a repository's pointers; only ever read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from treadle.interop.dvc.pointers import PIPELINE, is_pointer
from treadle.interop.dvc.types import GitCommit
from treadle.kernel.errors import NotFound, StorageError

_FORMAT = "%x01%H%x02%aI%x02%an <%ae>%x02%B%x03"


class Git:
    """The history of a folder.

    Args:
        root: The folder; a repository's own or one within it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def is_there(self) -> bool:
        """Whether the folder lies in a Git repository that has a commit."""
        return self._run("rev-parse", "--verify", "--quiet", "HEAD").returncode == 0

    def commit(self, rev: str) -> str:
        """The SHA of a revision.

        Raises:
            NotFound: If there is none.
        """
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
        if found.returncode:
            raise NotFound(f"Git knows no revision {rev!r}", where=str(self._root))
        return found.stdout.decode().strip()

    def files(self, commit: str) -> list[str]:
        """The paths of a commit below the folder."""
        return _names(self._ask("ls-tree", "-r", "-z", "--name-only", commit))

    def read(self, commit: str, path: str) -> bytes | None:
        """What a commit has at a path; None if it has nothing there."""
        found = self._run("cat-file", "blob", f"{commit}:./{path}")
        return None if found.returncode else found.stdout

    def has(self, commit: str, path: str) -> bool:
        """Whether a commit has anything at a path."""
        return self._run("cat-file", "-e", f"{commit}:./{path}").returncode == 0

    def changes(self, commit: str) -> Iterator[tuple[GitCommit, list[str]]]:
        """The commits that changed pointers, the oldest first, and which; merges count as one change."""
        paths = [f":(glob)**/{name}" for name in ("*.dvc", "dvc.lock", PIPELINE)]
        raw = self._ask(
            "log", "--first-parent", "-m", "--no-renames", "--reverse", "--relative", "-z", "--name-only",
            f"--format={_FORMAT}", commit, "--", *paths,
        )  # fmt: skip
        for one in raw.split(b"\x01")[1:]:
            head, _, names = one.partition(b"\x03")
            changed = [name for name in _names(names.lstrip(b"\0\n")) if is_pointer(name)]
            if changed:
                yield _told(head), changed

    def changes_of(self, path: str) -> Iterator[GitCommit]:
        """The commits that changed a path, the newest first."""
        raw = self._ask(
            "log", "--first-parent", "-m", "--no-patch", f"--format={_FORMAT}", "HEAD", "--", path
        )
        for one in raw.split(b"\x01")[1:]:
            yield _told(one.partition(b"\x03")[0])

    def _ask(self, *arguments: str) -> bytes:
        found = self._run(*arguments)
        if found.returncode:
            said = found.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise StorageError(f"Git failed: {said}", where=str(self._root), fix="see `git status` there")
        return found.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(self._root)]
        try:
            return subprocess.run(
                [*command, *arguments],
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            )
        except FileNotFoundError:
            raise NotFound("git is not installed", fix="install Git; history can't be read without") from None


def _told(head: bytes) -> GitCommit:
    sha, at, author, message = head.decode(errors="replace").split("\x02", 3)
    return GitCommit(id=sha, at=datetime.fromisoformat(at), author=author, message=message.strip())


def _names(raw: bytes) -> list[str]:
    return [os.fsdecode(name) for name in raw.split(b"\0") if name]
