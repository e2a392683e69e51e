"""Where a run comes from: commit, command, host, Python."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import sys
from pathlib import Path

from treadle.sdk.values import text

_GIT = ("git", "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules")


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel."""
    return "ipykernel" in sys.modules


def default_name() -> str:
    """A name for a run that was given none: the script's."""
    stem = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else ""
    if in_notebook():
        return "notebook"
    return text(stem) if stem.isprintable() and stem not in ("", "-c", "-m") else "run"


def origin_tags(folder: Path) -> dict[str, str]:
    """What is known from outside about a run that starts in a folder."""
    tags = {"host": socket.gethostname(), "python": platform.python_version()}
    if not in_notebook():
        tags["command"] = text(shlex.join(sys.orig_argv))[:2000]
    return tags | _git_tags(folder)


def _git_tags(folder: Path) -> dict[str, str]:
    import subprocess

    try:
        done = subprocess.run(
            _GIT,
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=1,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = done.stdout.decode(errors="replace").splitlines()
    heads = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if not heads or heads[0] == "(initial)":
        return {}
    dirty = any(not line.startswith("#") for line in lines)
    return {"commit": heads[0], "dirty": str(dirty).lower()}
