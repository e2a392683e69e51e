"""The code version: which files it has, and where they lie for a job."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from treadle.kernel.blobs import BlobStore
from treadle.kernel.errors import ConfigError
from treadle.kernel.ids import digest_file
from treadle.train.rules import is_code
from treadle.train.types import CodeFile, CodeVersion

_GIT_SECONDS = 30


def snapshot(root: Path, patterns: Sequence[str], blobs: BlobStore) -> CodeVersion:
    """The project's code as it is now, its bytes kept in the blob store.

    Raises:
        ConfigError: If no file fits the patterns.
    """
    files = tuple(
        CodeFile(path, blobs.put_file(root / path), os.access(root / path, os.X_OK))
        for path in sorted(_find(root, patterns))
    )
    if not files:
        raise ConfigError(
            f"no file fits {', '.join(patterns)}",
            where="treadle.toml [train] code",
            fix="name the files that training needs, such as ['**/*.py']",
        )
    commit, changed = _git(root)
    return CodeVersion(files, commit, commit is not None and any(file.path in changed for file in files))


def materialise(blobs: BlobStore, digest: str, folder: Path) -> None:
    """Writes the files of a code version to a folder, except those that are there.

    Raises:
        NotFound: If the blob store doesn't have them.
        CorruptData: If it has something else.
    """
    for file in msgspec.json.decode(blobs.get(digest), type=CodeVersion).files:
        path = folder / file.path
        if not path.exists() or digest_file(path) != file.digest:
            blobs.fetch(file.digest, path)
            path.chmod(0o755 if file.executable else 0o644)


def _find(root: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Paths of the code files; not hidden, not compiled, not of a virtual environment."""
    for here, folders, names in os.walk(root):
        folder = Path(here)
        folders[:] = [name for name in folders if _may_enter(folder / name)]
        parts = folder.relative_to(root).parts
        for name in names:
            if is_code((*parts, name), patterns) and (folder / name).is_file():
                yield "/".join((*parts, name))


def _may_enter(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in {"__pycache__", "node_modules"}:
        return False
    return not (folder / "pyvenv.cfg").exists()


def _git(root: Path) -> tuple[str | None, set[str]]:
    """The commit, and the files under ``root`` that differ from it; no commit outside a repository."""
    head = _ask_git(root, "rev-parse", "HEAD")
    if head is None:
        return None, set()
    changed = _ask_git(root, "diff", "--name-only", "-z", "--relative", "HEAD") or ""
    new = _ask_git(root, "ls-files", "--others", "-z", "--exclude-standard") or ""
    return head.strip(), set((changed + new).split("\0"))


def _ask_git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
