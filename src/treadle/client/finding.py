"""Finding the API: a server that was named, one that holds the workspace, or none needed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from treadle.client.client import Client
from treadle.kernel.config import config_digest, find_project
from treadle.kernel.errors import MissingExtra
from treadle.kernel.lock import holder

ENGINE_LOCK = ".treadle/engine.lock"


def find_server(url: str | None = None, root: Path | None = None) -> str | None:
    """The address of the server to talk to: named, from ``TREADLE_URL``, or of a running ``treadle up``.

    Args:
        url: An address that was given.
        root: The project's folder, if it is known.
    """
    if named := url or os.environ.get("TREADLE_URL"):
        return named
    if root is None:
        return None
    running = holder(root / ENGINE_LOCK)
    return running.url if running else None


def is_outdated(root: Path) -> bool:
    """Whether a project's ``treadle.toml`` has changed since the server that runs there has read it."""
    running = holder(root / ENGINE_LOCK)
    return running is not None and running.config not in {"", config_digest(root)}


def connect(url: str | None = None, root: Path | None = None) -> Client:
    """A client of the server if there is one, and of the workspace in this process otherwise.

    Args:
        url: The server's address; ``TREADLE_URL`` by default.
        root: The project's folder; looked for from the working folder upward by default.

    Raises:
        NotFound: If there is neither a server nor a project.
        MissingExtra: If there is no server and the platform isn't installed.
    """
    if named := find_server(url):
        return Client.http(named)
    root = root or find_project(Path.cwd())
    if running := find_server(root=root):
        return Client.http(running)
    if find_spec("sqlalchemy") is None:
        raise MissingExtra(
            "this is the thin client, and no server was named",
            fix="set TREADLE_URL to a server's address, or pip install 'treadle[platform]'",
        )
    return Client.in_process(root)
