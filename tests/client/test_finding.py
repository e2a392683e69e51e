"""Which way a client takes: a server that was named, one that runs, or none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from live import Up, environment
from treadle.client import connect, find_server, is_outdated
from treadle.client.finding import ENGINE_LOCK
from treadle.kernel.config import config_digest
from treadle.kernel.errors import InvalidInput, NotFound, Unavailable
from treadle.kernel.lock import Holder, exclusive


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREADLE_URL", raising=False)


def test_a_server_that_was_named(live: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with connect(live.url + "/") as client:
        assert (client.server, client.embedded) == (live.url, False)
        assert client.health().project == "toy"


def test_the_environment_names_a_server(
    live: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREADLE_URL", live.url)
    with connect() as client, connect(root=project) as other:
        assert client.server == other.server == live.url
    assert find_server("http://named.first:1") == "http://named.first:1"


def test_a_running_server_is_found_by_its_lock(live: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    below = live.root / "data"
    monkeypatch.chdir(below)
    assert find_server() is None
    assert find_server(root=live.root) == live.url
    with connect() as client:
        assert client.server == live.url


def test_without_a_server_it_is_this_process(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert find_server(root=project) is None
    with connect() as client:
        assert (client.embedded, client.server) == (True, str(project))
        assert client.health().project == "toy"


def test_a_lock_without_an_address_is_no_server(project: Path) -> None:
    with exclusive(project / ENGINE_LOCK, Holder(os.getpid(), "treadle run")):
        assert find_server(root=project) is None
        with connect(root=project) as client:
            assert client.embedded


def test_no_project_and_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=r"no treadle\.toml here or above"):
        connect()


def test_nobody_answers(tmp_path: Path) -> None:
    with connect("http://127.0.0.1:9") as client, pytest.raises(Unavailable, match="no answer") as caught:
        client.health()
    assert caught.value.where == "http://127.0.0.1:9"
    assert "treadle up" in (caught.value.fix or "")


@pytest.mark.parametrize("url", ["localhost:8090", "127.0.0.1", "ftp://host", "://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not a server's address") as caught:
        connect(url)
    assert "http://HOST:PORT" in (caught.value.fix or "")


THIN = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"sqlalchemy", "starlette", "uvicorn", "numpy", "duckdb", "dbos"}:
            raise ModuleNotFoundError(name)

import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "sqlalchemy" else real(name, package)
sys.meta_path.insert(0, Missing())
from treadle.client import connect
from treadle.kernel.errors import MissingExtra
url, = sys.argv[1:] or [None]
try:
    with connect(url) as client:
        print(client.health().project, len(client.runs()) > 0, len(client.cycles()))
except MissingExtra as error:
    print(error)
"""


def test_the_thin_client_needs_a_server(project: Path, live: Up) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", THIN, *arguments],
            cwd=project,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert "pip install 'treadle[platform]'" in run()
    assert run(live.url) == "toy True 1\n"


def test_a_server_that_has_read_another_file_is_known(project: Path) -> None:
    assert not is_outdated(project)
    read = config_digest(project)
    with exclusive(project / ENGINE_LOCK, Holder(os.getpid(), "treadle up", "http://127.0.0.1:9", read)):
        assert not is_outdated(project)
        file = project / "treadle.toml"
        file.write_text(file.read_text() + "\n# a remark\n")
        assert is_outdated(project)
    with exclusive(project / ENGINE_LOCK, Holder(os.getpid(), "treadle up", "http://127.0.0.1:9")):
        assert not is_outdated(project)  # one of an older Treadle doesn't say
