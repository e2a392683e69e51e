"""Servers, alive and dead: a run reaches one that is there, and none of them stops or slows a training."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

import treadle
from treadle.experiment import JournalReader, LogMetrics
from treadle.kernel.errors import MissingExtra
from treadle.sdk import sync
from treadle.sdk.spool import RUNS


def wait_until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def folder(root: Path, run_id: str) -> Path:
    return root / RUNS / run_id


def test_a_server_sees_the_run_while_it_is_written(client, monkeypatch, capsys):
    monkeypatch.setenv("TREADLE_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("treadle.sdk.sender.EVERY", 0.01)
    run = treadle.start_run()
    run.log(a=1.0)
    wait_until(lambda: client.experiments.list() and client.experiments.get(run.id).metrics == {"a": 1.0})
    run.log(a=2.0)
    wait_until(lambda: client.experiments.get(run.id).metrics == {"a": 2.0})
    client.plugged = False
    calls = client.calls
    run.log(a=3.0)
    wait_until(lambda: client.calls > calls)
    client.plugged = True
    run.log(a=4.0)
    run.finish()
    assert [p.value for p in client.experiments.history(run.id, "a")] == [1.0, 2.0, 3.0, 4.0]
    assert client.experiments.get(run.id).status == "finished"
    assert "treadle runs show" in capsys.readouterr().err


def test_a_dead_client_leaves_the_run_for_later(client, inside, capsys):
    client.plugged = False
    with treadle.start_run() as run:
        run.log(a=1.0)
    err = capsys.readouterr().err
    assert "`treadle sync` sends it" in err
    assert "unplugged" in err
    client.plugged = True
    assert sync(client, inside) == [run.id]
    assert client.experiments.get(run.id).metrics == {"a": 1.0}


@pytest.mark.parametrize("error", [MissingExtra("this is the thin client"), RuntimeError("a bug")])
def test_whatever_goes_wrong_at_the_end_is_one_line(client, inside, capsys, monkeypatch, error):
    def fails(url=None, root=None):
        raise error

    monkeypatch.setattr("treadle.client.connect", fails)
    with treadle.start_run() as run:
        run.log(a=1.0)
    told = [line for line in capsys.readouterr().err.splitlines() if "treadle sync" in line]
    assert len(told) == 1
    assert str(error) in told[0]
    assert sync(client, inside) == [run.id]


def test_a_server_that_refuses_connections_costs_nothing(inside, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("TREADLE_URL", f"http://127.0.0.1:{port}")
    with treadle.start_run() as run:
        run.log(a=1.0)
        before = time.monotonic()
        run.finish()
        assert time.monotonic() - before < 2.5
    assert "no answer" in capsys.readouterr().err
    assert len(JournalReader(folder(inside, run.id) / "journal.jsonl").read()) == 2


def test_a_server_that_never_answers_costs_the_patience_and_no_more(inside, monkeypatch, capsys):
    from treadle.sdk import sender

    assert sender.PATIENCE <= 5
    monkeypatch.setattr(sender, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("TREADLE_URL", f"http://127.0.0.1:{port}")
        run = treadle.start_run()
        slowest = 0.0
        for n in range(2000):
            before = time.perf_counter()
            run.log(a=n)
            slowest = max(slowest, time.perf_counter() - before)
        before = time.monotonic()
        run.finish()
        assert 0.2 < time.monotonic() - before < 2
        assert slowest < 0.5
        assert "within 0 s" in capsys.readouterr().err
        assert run._sender._thread.is_alive()
    run._sender._thread.join(20)  # the closed server ends it


def test_a_server_that_reads_and_never_answers_does_not_slow_the_training(inside, monkeypatch, capsys):
    """It takes the requests in, as a server that is overloaded does, and holds every connection."""
    from treadle.sdk import sender

    monkeypatch.setattr(sender, "PATIENCE", 0.3)
    monkeypatch.setattr(sender, "EVERY", 0.01)
    ended = threading.Event()
    held: list[socket.socket] = []

    def hold(server: socket.socket) -> None:
        while not ended.is_set():
            try:
                held.append(server.accept()[0])
                held[-1].recv(1 << 16)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hold, args=(server,), daemon=True)
        thread.start()
        monkeypatch.setenv("TREADLE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        run = treadle.start_run(system_metrics=0.1)
        wait_until(lambda: held)
        taken = []
        for n in range(5000):
            before = time.perf_counter()
            run.log(loss=0.5, step=n)
            taken.append(time.perf_counter() - before)
        assert sorted(taken)[2500] < 100e-6
        run.finish()
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()
    thread.join(10)
    run._sender._thread.join(20)
    assert "`treadle sync` sends it" in capsys.readouterr().err
    records = JournalReader(folder(inside, run.id) / "journal.jsonl").read(100_000)
    assert sum("loss" in one.values for one in records if isinstance(one, LogMetrics)) == 5000
