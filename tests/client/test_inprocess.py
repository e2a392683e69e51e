"""The application in this process: many threads, one loop, a clean end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from treadle.client import Client
from treadle.experiment import NewRun
from treadle.kernel.errors import ConfigError, Unavailable

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def client(project: Path) -> Iterator[Client]:
    with Client.in_process(project) as made:
        yield made


def start(client: Client, number: int) -> str:
    from datetime import UTC, datetime

    return client.create_run(
        NewRun(id=f"r{number}", name="x", started_at=datetime(2026, 1, 1, tzinfo=UTC))
    ).id


def test_many_threads_at_once(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: start(client, number), range(60)))
    assert len({run.id for run in client.runs(limit=100)}) == len(made) == 60


def test_within_a_running_loop(client: Client) -> None:
    """As in a notebook."""

    async def cell() -> str:
        return client.health().project

    assert asyncio.run(cell()) == "toy"


def test_closed_by_another_thread_than_it_was_used_by(project: Path) -> None:
    before = set(threading.enumerate())
    client = Client.in_process(project)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(start, client, 1).result()
        pool.submit(client.close).result()
    assert {thread for thread in threading.enumerate() if thread.name == "treadle-api"} <= before
    client.close()
    with pytest.raises(Unavailable, match="this client was closed"):
        client.health()
    with Client.in_process(project) as again:
        assert [run.id for run in again.runs()] == ["r1"]


def test_closed_while_it_answers(project: Path) -> None:
    """Whoever still waits is told."""
    client = Client.in_process(project)
    begun, go = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"x"
        begun.set()
        go.wait(30)
        yield b"y"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client._send, "POST", "/v1/blobs", slow())
        assert begun.wait(30)
        client.close()
        go.set()
        with pytest.raises(Unavailable):
            waiting.result(30)
    assert not list((project / ".treadle" / "tmp").glob("tmp*"))


def test_a_project_that_can_not_be_opened(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(ConfigError, match="the file is missing"):
        Client.in_process(tmp_path)
    assert threading.active_count() == before
