"""A real project under a real ``treadle up``, for tests of the doors."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import conftest
import projects
from treadle.client import Client
from treadle.client.http import HttpTransport
from treadle.client.inprocess import InProcessTransport
from treadle.client.transport import Answer
from treadle.retrain import Cycle, NewCycle, Trigger

PATIENCE = 60.0
AT = datetime(2026, 3, 10, tzinfo=UTC)
BY_HAND = Trigger(kind="manual", actor="ada", reason="because")


def until(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


class Up:
    """A running ``treadle up``."""

    def __init__(self, process: subprocess.Popen[str], root: Path) -> None:
        self.process = process
        self.root = root
        self.url = self._find(r"API at (http://\S+)")
        trains = "[train]" in (root / "treadle.toml").read_text()
        self.inference = self._find(r"inference at (http://[^/\s]+)") if trains else ""

    def _find(self, pattern: str) -> str:
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        found = re.search(pattern, line)
        assert found, line + self.process.stderr.read()
        return found[1]

    def end(self, how: int) -> tuple[int, str, float]:
        """Sends a signal; returns the exit code, what it still said, and how long it took."""
        began = time.monotonic()
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out + err, time.monotonic() - began


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "treadle.cli.main", "--project", str(root), *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment without what names another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TREADLE")} | more


@contextlib.contextmanager
def up(root: Path, *arguments: str) -> Iterator[Up]:
    """``treadle up`` on a free port; killed at the end if it still runs."""
    process = subprocess.Popen(
        command(root, "up", *(arguments or ("--port", "0"))),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield Up(process, root)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def make(folder: Path, *, more: str = "") -> Path:
    """A project with data and a script, on a free port."""
    folder.mkdir()
    (folder / "treadle.toml").write_text(f"{conftest.PROJECT}\n[serve]\nport = 0\n{more}")
    return projects.fill(folder)


def turn(client: Client, **asked: Any) -> Cycle:
    """One whole cycle."""
    cycle = client.start_cycle(NewCycle(trigger=BY_HAND, **asked))
    return until(lambda: (found := client.cycle(cycle.id)).state != "running" and found)


class Recorder:
    """A transport that notes what was asked of another."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.name = transport.name
        self.asked: set[tuple[str, str]] = set()

    def send(self, method: str, target: str, body: Any = b"", headers: Any = None) -> Answer:
        self.asked.add((method, target.partition("?")[0]))
        return self._transport.send(method, target, body, headers or {})

    def close(self) -> None:
        self._transport.close()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A project with a model in production, replayed to March 2026, under ``treadle up``; only to be read."""
    root = make(tmp_path_factory.mktemp("live") / "toy")
    with up(root) as running, Client.http(running.url) as client:
        client.start_replay(AT)
        assert turn(client).state == "promoted"
        yield running


@pytest.fixture(scope="module", params=["in process", "http"])
def transport(request: pytest.FixtureRequest, live: Up) -> Iterator[Any]:
    """The live project's API, either way."""
    made = InProcessTransport(live.root) if request.param == "in process" else HttpTransport(live.url)
    yield made
    made.close()
