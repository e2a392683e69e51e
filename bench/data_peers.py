"""What versions data beside Treadle: cp, DVC, git-lfs, Oxen and hf-xet, each told to do the same work."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.peers import peer
from bench.tables import progress

Took = dict[str, float]

PATIENCE = 300.0
"""How long a peer's step may take, in seconds."""

# Oxen as its Python package drives it; each step in a process of its own, as a command line is.
_OXEN = """
import os, sys
from oxen import Repo, init, user
step, folder = sys.argv[1], os.getcwd()
if step == "init":
    user.config_user("bench", "bench@example.org")
    init(folder)
elif step == "status":
    str(Repo(folder).status())
elif step == "restore":
    Repo(folder).restore("data")
else:
    repo = Repo(folder)
    repo.add("data")
    repo.commit(step)
"""

# hf-xet stores into a folder, as its client does into a server, without the network between.
_XET = """
import json, sys
from pathlib import Path
from hf_xet import XetFileInfo, XetSession
step, endpoint, listed = sys.argv[1], f"local://{Path('store').resolve()}", Path("listed.json")
if step == "restore":
    with XetSession().new_file_download_group(endpoint=endpoint) as group:
        for path, digest, size in json.loads(listed.read_text()):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            group.start_download_file(XetFileInfo(digest, size), path)
elif step != "init":
    data = Path("data")
    paths = [data] if data.is_file() else sorted(path for path in data.rglob("*") if path.is_file())
    with XetSession().new_upload_commit(endpoint=endpoint) as commit:
        handles = [commit.start_upload_file(str(path)) for path in paths]
    found = [handle.result().xet_info for handle in handles]
    listed.write_text(json.dumps([(str(p), x.hash, x.file_size) for p, x in zip(paths, found)]))
"""


def inside(source: Path, work: Callable[[Path], Took]) -> Took:
    """Work on a fresh copy of some data, which is on the disk before it begins."""
    with tempfile.TemporaryDirectory(dir=source.parent) as made:
        subprocess.run(["cp", "-r", source, Path(made) / "data"], check=True)
        os.sync()
        return work(Path(made))


def timed(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> float:
    """How long a command takes, in seconds; infinite if nobody would wait for it."""
    began, within = time.monotonic(), {**os.environ, **(env or {})}
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, env=within, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return math.inf
    return time.monotonic() - began


def size(folder: Path) -> int:
    """The bytes of all files below a folder; what a peer tidies up meanwhile doesn't count."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def cp(source: Path, change: str) -> Took:
    """Plain copies; ``sync`` belongs to them, as what the others keep is to outlive a crash."""
    del change

    def work(folder: Path) -> Took:
        took = timed("cp", "-r", "data", "copy", cwd=folder)
        began = time.monotonic()
        os.sync()
        return {"add": took, "checkout": took, "and sync": took + time.monotonic() - began}

    return inside(source, work)


def dvc(source: Path, change: str) -> Took:
    """DVC without Git."""
    command = (sys.executable, "-m", "dvc")

    def work(folder: Path) -> Took:
        timed(*command, "init", "--no-scm", "-q", cwd=folder)
        cache = folder / ".dvc" / "cache"
        took = _changing(
            folder,
            change,
            cache,
            lambda _: timed(*command, "add", "-q", "data", cwd=folder),
            lambda: timed(*command, "status", "-q", cwd=folder),
        )
        timed("rm", "-rf", "data", cwd=folder)
        took["checkout"] = timed(*command, "checkout", "-q", cwd=folder)
        return took

    return inside(source, work)


def git_lfs(source: Path, change: str) -> Took:
    """Git with the LFS filter; a version is a commit."""

    def work(folder: Path) -> Took:
        git = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org")
        timed("git", "init", "-q", cwd=folder)
        timed("git", "lfs", "install", "--local", cwd=folder)
        timed("git", "lfs", "track", "data/**" if (folder / "data").is_dir() else "data", cwd=folder)

        def add(message: str) -> float:
            took = timed("git", "add", ".gitattributes", "data", cwd=folder)
            return took + timed(*git, "commit", "-q", "-m", message, cwd=folder)

        took = _changing(
            folder, change, folder / ".git", add, lambda: timed("git", "status", "--short", cwd=folder)
        )
        timed("rm", "-rf", "data", cwd=folder)
        took["checkout"] = timed("git", "checkout", "-q", "--", "data", cwd=folder)
        return took

    return inside(source, work)


def oxen(source: Path, change: str) -> Took:
    """Oxen; a version is a commit."""
    return _driven("oxen", _OXEN, ".oxen", source, change, status=True)


def hf_xet(source: Path, change: str) -> Took:
    """hf-xet, which chunks and deduplicates; its versions are lists of hashes, and it has no status."""
    return _driven("hf-xet", _XET, "store", source, change, status=False)


def _driven(name: str, script: str, store: str, source: Path, change: str, *, status: bool) -> Took:
    """A Python package, each step in a process of its own."""
    found = peer(name)
    if found.python is None:
        raise OSError(found.problem)
    python = found.python

    def work(folder: Path) -> Took:
        def do(step: str) -> float:
            home = str(folder.parent)
            return timed(python, "-c", script, step, cwd=folder, env={"HOME": home, "HF_HOME": home})

        do("init")
        look = (lambda: do("status")) if status else None
        took = _changing(folder, change, folder / store, do, look)
        timed("rm", "-rf", "data", cwd=folder)
        took["checkout"] = do("restore")
        return took

    return inside(source, work)


def attempt(name: str, do: Callable[[Path, str], Took], source: Path, change: str) -> Took | None:
    """What a peer took; None, and why, where it doesn't run here."""
    if name == "git-lfs" and shutil.which("git-lfs") is None:
        progress("git-lfs isn't installed (apt-get install git-lfs)")
        return None
    try:
        return do(source, change)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or b""
        progress(f"{name} doesn't run here: {error} {said[-300:].decode(errors='replace')}")
        return None


def _changing(
    folder: Path, change: str, store: Path, add: Callable[[str], float], status: Callable[[], float] | None
) -> Took:
    """Adds, looks, changes some of it, and adds that."""
    (folder / "change.py").write_text(change)
    took = {"add": add("one")}
    if status is not None:
        took["status"] = status()
    before = size(store)
    timed(sys.executable, "change.py", "data", cwd=folder)
    took["add what changed"] = add("two")
    took["stored MB"] = (size(store) - before) / 1e6
    return took
