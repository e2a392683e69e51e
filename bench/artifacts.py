"""A file of 1 GiB through the server and back, beside ``cp`` and ``mlflow server``."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, reason, show, times

_API = "/api/2.0/mlflow"
_PIECE = 1 << 20


def run(quick: bool) -> None:
    """Prints the table."""
    size, rounds = (64 << 20, 1) if quick else (1 << 30, 5)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress(f"artifacts: cp, load {measure.load_average()}")
        copied = [_copy(folder, size) for _ in range(rounds)]
        disk = size / 2**20 / statistics.median(copied)
        rows.append(["cp", disk, None, disk, None, None])
        for title, server in (("Treadle", _treadle), ("mlflow server", _mlflow)):
            progress(f"artifacts: {title}, load {measure.load_average()}")
            try:
                rows.append([title, *_measure(server, folder / title.split()[0], size, rounds, disk)])
            except measure.Failed as error:
                rows.append([title, reason(str(error)), *[None] * 4])
    notes = (
        f"Files of {size >> 20:,} MiB of random bytes, another each time, medians of {rounds}; the client "
        "sends with sendfile and writes what it gets to a file. Treadle hashes every byte both ways and has "
        "it on the disk (fsync) before it answers; cp and MLflow don't."
    )
    columns = ["", "up, MiB/s", "of cp", "down, MiB/s", "of cp", "server's growth, MB"]
    show("Artifacts", columns, rows, notes)


def _copy(folder: Path, size: int) -> float:
    source = _random(folder / "source", size)
    began = time.monotonic()
    measure.run(["cp", source, folder / "copy"], folder)
    took = time.monotonic() - began
    for path in (source, folder / "copy"):
        path.unlink()
    return took


def _random(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        for _ in range(size // _PIECE):
            file.write(os.urandom(_PIECE))
    return path


def _measure(server: Callable, folder: Path, size: int, rounds: int, disk: float) -> list[object]:
    folder.mkdir()
    up, down = [], []
    with server(folder) as (port, pid):
        root = _root(port)
        _exchange(port, root, _random(folder / "file", _PIECE))
        before = _peak(pid)
        for number in range(rounds):
            there, back = _exchange(port, f"{root}/{number}", _random(folder / "file", size))
            up.append(there)
            down.append(back)
        grown = _peak(pid) - before
    shutil.rmtree(folder)
    mib = size / 2**20
    fast, back = mib / statistics.median(up), mib / statistics.median(down)
    return [fast, times(fast, disk), back, times(back, disk), grown]


def _root(port: int) -> str:
    """Where a new run's files are."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"experiment_id": "0", "start_time": int(time.time() * 1000)})
    connection.request("POST", f"{_API}/runs/create", body, {"Content-Type": "application/json"})
    uri = json.load(connection.getresponse())["run"]["info"]["artifact_uri"]
    return f"{_API}-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:').lstrip('/')}"


def _exchange(port: int, folder: str, file: Path) -> tuple[float, float]:
    """Seconds to send a file, and to get it back."""
    size, got = file.stat().st_size, file.with_name("got")
    path = f"{folder}/file.bin"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as sock, file.open("rb") as source:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {size}\r\n\r\n"
        sock.sendall(head.encode())
        sock.sendfile(source)
        answer = sock.recv(65536)
    middle = time.monotonic()
    if b" 200 " not in answer[:20]:
        raise measure.Failed(answer.decode(errors="replace"))
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    response = connection.getresponse()
    with got.open("wb", buffering=0) as target:
        while piece := response.read(_PIECE):
            target.write(piece)
    took = time.monotonic() - middle
    if got.stat().st_size != size:
        raise measure.Failed(f"{got.stat().st_size} bytes came back of {size}")
    got.unlink()
    return middle - began, took


def _peak(pid: int) -> float:
    """The largest resident memory so far, in MB, of a process and those that it started."""
    total = 0.0
    for one in measure.family(pid):
        lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    return total


@contextmanager
def _treadle(folder: Path) -> Iterator[tuple[int, int]]:
    (folder / "treadle.toml").write_text('[project]\nname = "bench"\n')
    port = measure.free_port()
    command = [peers.PLATFORM.with_name("treadle"), "up", "--port", str(port)]
    with measure.running(command, folder, folder / "log") as process:
        _wait(port, folder / "log")
        yield port, process.pid


@contextmanager
def _mlflow(folder: Path) -> Iterator[tuple[int, int]]:
    peer = peers.peer("mlflow")
    if peer.python is None:
        raise measure.Failed(peer.problem)
    port = measure.free_port()
    store = ["--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination", folder / "files"]
    command = [peer.program("mlflow"), "server", "--port", str(port), "--workers", "1", *store]
    with measure.running(command, folder, folder / "log") as process:
        _wait(port, folder / "log")
        yield port, process.pid


def _wait(port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise measure.Failed(f"the server did not get ready: {log.read_text()[-500:]}")
