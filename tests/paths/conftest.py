"""A project whose data is read by path: in this process, and from a server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import uvicorn

from live import until
from servers import s3, s3_lake, s3_server  # noqa: F401
from treadle.api import create_app
from treadle.client import Client
from treadle.client.transport import Answer
from treadle.paths import TreadleFileSystem, connection


class Counting:
    """A transport that counts what is asked of another, and how many bytes came of files."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.name = transport.name
        self.asked: list[str] = []
        self.bytes = 0

    def send(self, method: str, target: str, body: Any = b"", headers: Any = None) -> Answer:
        self.asked.append(f"{method} {target}")
        answer = self._transport.send(method, target, body, headers or {})
        if "/files/" not in target:
            return answer
        return Answer(answer.status, self._counted(answer.body), answer.headers)

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.bytes += len(piece)
            yield piece

    def close(self) -> None:
        self._transport.close()


@contextlib.contextmanager
def serving(root: Path) -> Iterator[str]:
    """The API of a project on a free port, in a thread."""
    app = create_app(root)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        app.close()


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The project as the working folder, and no server; every client is closed at the end."""
    monkeypatch.delenv("TREADLE_URL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(project)
    fsspec.register_implementation("treadle", TreadleFileSystem, clobber=True)
    TreadleFileSystem.clear_instance_cache()
    yield project
    TreadleFileSystem.clear_instance_cache()
    connection.close()


@pytest.fixture(params=["in process", "http"])
def fs(request: pytest.FixtureRequest, here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file system, either way; over HTTP its working folder is no project."""
    if request.param == "in process":
        yield fsspec.filesystem("treadle")
        return
    with serving(here) as url:
        monkeypatch.setenv("TREADLE_URL", url)
        monkeypatch.chdir(here.parent)
        yield fsspec.filesystem("treadle")
        connection.close()


@pytest.fixture
def afar(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system that reads from a server, whose requests are counted: ``fs.counted``."""
    with serving(here) as url:
        monkeypatch.setenv("TREADLE_URL", url)
        monkeypatch.chdir(here.parent)
        made = fsspec.filesystem("treadle", skip_instance_cache=True)
        made.counted = made.client._transport = Counting(made.client.transport)
        yield made
        connection.close()


@pytest.fixture
def other(here: Path) -> Iterator[Client]:
    """Somebody else, who goes on meanwhile."""
    with Client.in_process(here) as client:
        yield client
