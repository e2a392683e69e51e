"""The client through which paths are read: one a process and place, opened when first needed."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.kernel.config import find_project
from treadle.kernel.errors import NotFound

if TYPE_CHECKING:
    from treadle.client import Client

_clients: dict[tuple[int, str, str], Client] = {}
_lock = threading.Lock()


def client(url: str | None, root: str | None) -> Client:
    """The client of a server, or of the workspace in a folder; whoever asks leaves it open.

    Args:
        url: The server's address; by default ``TREADLE_URL``, else a server that holds the workspace.
        root: The project's folder; looked for from the working folder upward by default.

    Raises:
        NotFound: If there is neither a server nor a project.
        MissingExtra: If there is no server and the platform isn't installed.
    """
    from treadle.client import connect

    folder = Path(root).absolute() if root else find_root()
    named = url or os.environ.get("TREADLE_URL") or ""
    # A forked child has neither the threads nor the sockets of its parent's client.
    key = (os.getpid(), named, str(folder or ""))
    with _lock:
        if key not in _clients:
            _clients[key] = connect(named or None, folder)
        return _clients[key]


def here(url: str | None, root: str | None) -> tuple[str | None, str | None]:
    """The server and the folder that :func:`client` takes in this process, as far as either is known."""
    folder = root or find_root()
    return url or os.environ.get("TREADLE_URL") or None, str(Path(folder).absolute()) if folder else None


def find_root() -> Path | None:
    """The folder of the project that the working folder is in, if it is in one."""
    try:
        return find_project(Path.cwd())
    except NotFound:
        return None


def cache_folder(root: str | None) -> Path:
    """Where blocks that were read from a server are kept: in the project, or else in the user's cache."""
    folder = Path(root).absolute() if root else find_root()
    if folder is not None:
        return folder / ".treadle" / "cache" / "files"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "treadle" / "files"


def close() -> None:
    """Closes every client of this process."""
    with _lock:
        for (pid, _, _), one in list(_clients.items()):
            if pid == os.getpid():
                one.close()
        _clients.clear()


def _renew() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()


atexit.register(close)
os.register_at_fork(after_in_child=_renew)
