"""What the tracking server takes: a run of ten million points, a thousand clients at once.

Without a peer: MLflow's server would take hours for the first (see ``tracking`` for its rates).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from bench import measure
from bench.tables import progress, show
from bench.tracking import NOW, Client, treadle

_METRICS = 10
_BATCH = 1000
_AT_ONCE = 8


def run(quick: bool) -> None:
    """Prints the tables."""
    with tempfile.TemporaryDirectory() as name, treadle(Path(name)) as (url, pid):
        _long_run(Client(url, pid), url, 100_000 if quick else 10_000_000)
    with tempfile.TemporaryDirectory() as name, treadle(Path(name)) as (url, pid):
        _crowd(Client(url, pid), url, 50 if quick else 1000, 10 if quick else 20)


def _long_run(client: Client, url: str, points: int) -> None:
    progress(f"scale: a run of {points:,} points, load {measure.load_average()}")
    run_id = client.run()
    each = points // _BATCH

    async def log() -> list[float]:
        taken: list[float] = []
        numbers = iter(range(each))

        async def one() -> None:
            async with _Connection(url) as connection:
                for number in numbers:
                    began = time.perf_counter()
                    await connection.post("/runs/log-batch", _batch(run_id, number))
                    taken.append(time.perf_counter() - began)

        await asyncio.gather(*(one() for _ in range(_AT_ONCE)))
        return taken

    cpu, began = measure.cpu_of(client.pid), time.monotonic()
    taken = asyncio.run(log())
    wall, used = time.monotonic() - began, measure.cpu_of(client.pid) - cpu
    rows: list[list[object]] = [
        ["logged in batches of 1,000 by 8 clients", wall, used, points / wall],
    ]
    last = statistics.median(taken[-each // 10 :]) / statistics.median(taken[: each // 10])
    page: list[str] = []

    def history() -> int:
        found, token = 0, ""
        while True:
            asked = {"run_id": run_id, "metric_key": "m0", "max_results": "25000"}
            answer = client.get("/metrics/get-history", **asked, **({"page_token": token} if token else {}))
            found += len(answer["metrics"])
            token = answer.get("next_page_token", "")
            page.append(token)
            if not token:
                return found

    def chart() -> int:
        asked = {"run_ids": run_id, "metric_key": "m0", "max_results": "320"}
        return len(client.get("/metrics/get-history-bulk-interval", **asked)["metrics"])

    for title, ask in (
        ("one of 10 curves, every point, paged", history),
        ("the same curve thinned to 320", chart),
    ):
        cpu, began = measure.cpu_of(client.pid), time.monotonic()
        count = ask()
        wall = time.monotonic() - began
        rows.append([f"{title}: {count:,} points", wall, measure.cpu_of(client.pid) - cpu, count / wall])
    show(
        f"A run of {points:,} points",
        ["", "seconds", "server CPU s", "points/s"],
        rows,
        f"SQLite. The last tenth of the batches took {last:.2f} times the first; "
        f"the server has {measure.memory_of(client.pid):.0f} MB (PSS) at the end.",
    )


def _batch(run_id: str, number: int) -> bytes:
    start = number * _BATCH
    metrics = [
        {"key": f"m{i % _METRICS}", "value": i * 0.37, "timestamp": NOW + i, "step": i // _METRICS}
        for i in range(start, start + _BATCH)
    ]
    return json.dumps({"run_id": run_id, "metrics": metrics}).encode()


def _crowd(client: Client, url: str, clients: int, values: int) -> None:
    progress(f"scale: {clients} clients at once, load {measure.load_average()}")
    ids = [client.run() for _ in range(clients)]

    async def everybody() -> tuple[list[float], int]:
        taken: list[float] = []
        refused = 0

        async def one(run_id: str) -> None:
            nonlocal refused
            async with _Connection(url) as connection:
                for step in range(values):
                    body = {"run_id": run_id, "key": "loss", "value": 1 / (step + 1)}
                    raw = json.dumps(body | {"timestamp": NOW, "step": step}).encode()
                    began = time.perf_counter()
                    status = await connection.post("/runs/log-metric", raw)
                    taken.append(time.perf_counter() - began)
                    refused += status != 200

        await asyncio.gather(*map(one, ids))
        return taken, refused

    cpu, began = measure.cpu_of(client.pid), time.monotonic()
    taken, refused = asyncio.run(everybody())
    wall, used = time.monotonic() - began, measure.cpu_of(client.pid) - cpu
    kept = sum(
        len(client.get("/metrics/get-history", run_id=run_id, metric_key="loss")["metrics"]) for run_id in ids
    )
    taken.sort()
    row = [
        clients,
        len(taken),
        refused,
        kept,
        len(taken) / wall,
        1000 * taken[len(taken) // 2],
        1000 * taken[len(taken) * 99 // 100],
        1000 * used / len(taken),
        measure.memory_of(client.pid),
    ]
    columns = [
        "clients",
        "calls",
        "refused",
        "kept",
        "calls/s",
        "p50 ms",
        "p99 ms",
        "CPU-ms a call",
        "MB (PSS)",
    ]
    show(
        "A thousand clients, each with a connection and a run", columns, [row], "SQLite; log_metric, durable."
    )


class _Connection:
    """A kept-alive HTTP connection, as thin as it can be: what is measured is the server."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, body: bytes) -> int:
        """One request; returns the status."""
        head = f"POST /api/2.0/mlflow{path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(int(length.partition(b":")[2]))
        return int(answer.split(b" ", 2)[1])
