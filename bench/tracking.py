"""Logging and reading over MLflow's protocol: the same requests to Treadle and to MLflow's own server.

Settings for MLflow: one worker, SQLite, no job workers; its package brings no uvloop. One client process with
kept-alive connections; what is reported first is the server's CPU time, which a busy machine
doesn't change.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import urllib3

from bench import measure, peers
from bench.tables import progress, show, times

TREADLE = peers.PLATFORM.with_name("treadle")
NOW = 1_700_000_000_000
TAGS = [{"key": f"mlflow.{key}", "value": key} for key in ("user", "source.name", "source.type")]


class Client:
    """Sends requests of MLflow's protocol and notes what they cost.

    Args:
        url: The server's address.
        pid: Its process; its children count too.
    """

    def __init__(self, url: str, pid: int) -> None:
        self._pool = urllib3.PoolManager(maxsize=32)
        self._url = f"{url}/api/2.0/mlflow"
        self.pid = pid

    def post(self, path: str, body: Any) -> Any:
        """One request with a body."""
        answer = self._pool.request("POST", self._url + path, json=body)
        assert answer.status == 200, answer.data[:300]
        return json.loads(answer.data)

    def get(self, path: str, **query: str) -> Any:
        """One request with a query."""
        answer = self._pool.request("GET", self._url + path, fields=query)
        assert answer.status == 200, answer.data[:300]
        return json.loads(answer.data)

    def run(self) -> str:
        """A new run."""
        return self.post("/runs/create", {"experiment_id": "0", "start_time": NOW, "tags": TAGS})["run"][
            "info"
        ]["run_id"]

    def metric(self, run: str, step: int) -> None:
        """One value."""
        self.post(
            "/runs/log-metric", {"run_id": run, "key": "loss", "value": 0.5, "timestamp": NOW, "step": step}
        )

    def batch(self, run: str, number: int, names: int) -> None:
        """A thousand values."""
        metrics = [
            {"key": f"m{i % names}", "value": i / 2, "timestamp": NOW + i, "step": number * 1000 + i}
            for i in range(1000)
        ]
        self.post("/runs/log-batch", {"run_id": run, "metrics": metrics})

    def repeat(self, count: int, clients: int, call: Callable[[int, int], object]) -> dict[str, float]:
        """Calls from several threads; seconds of the server's CPU a call, calls a second, median latency."""
        taken: list[float] = []

        def work(number: int) -> None:
            for place in range(count // clients):
                began = time.perf_counter()
                call(number, place)
                taken.append(time.perf_counter() - began)

        cpu, began = measure.cpu_of(self.pid), time.perf_counter()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - began
        return {
            "cpu": (measure.cpu_of(self.pid) - cpu) / len(taken) * 1000,
            "rate": len(taken) / wall,
            "p50": statistics.median(taken) * 1000,
        }


def run(quick: bool) -> None:
    """Prints the table."""
    rounds = 1 if quick else 3
    progress(f"tracking: {rounds} rounds, load {measure.load_average()}")
    found: dict[str, dict[str, list[dict[str, float]]]] = {"Treadle": {}, "MLflow": {}}
    for _ in range(rounds):
        for name, server in (("Treadle", treadle), ("MLflow", mlflow)):
            with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (url, pid):
                for case, figures in _cases(Client(url, pid), quick, slow=name == "MLflow").items():
                    found[name].setdefault(case, []).append(figures)
    rows = []
    for case, ours in found["Treadle"].items():
        theirs = found["MLflow"][case]
        mine, other = (_medians(one) for one in (ours, theirs))
        rows.append(
            [
                case,
                mine["cpu"],
                other["cpu"],
                times(other["cpu"], mine["cpu"]),
                mine["p50"],
                other["p50"],
                times(mine["rate"], other["rate"]),
            ]
        )
    columns = ["request", "CPU-ms", "MLflow's", "ratio", "p50 ms", "MLflow's", "rate, ratio"]
    notes = f"Server CPU a request; SQLite; MLflow with one worker and no job workers. Medians of {rounds}."
    show("Tracking over MLflow's protocol", columns, rows, notes)


def _cases(client: Client, quick: bool, slow: bool) -> dict[str, dict[str, float]]:
    count = 100 if quick else 400 if slow else 2000
    run = client.run()
    runs = [client.run() for _ in range(8)]
    client.metric(run, 0)
    found = {
        "log_metric": client.repeat(count, 1, lambda _, i: client.metric(run, i)),
        "log_metric, 8 clients": client.repeat(count, 8, lambda n, i: client.metric(runs[n], i)),
        "create_run": client.repeat(count // 2, 1, lambda *_: client.run()),
        "create_run, 8 clients": client.repeat(count // 2, 8, lambda *_: client.run()),
        "log_batch of 1,000, 10 metrics": client.repeat(
            count // 10, 1, lambda _, i: client.batch(run, i, 10)
        ),
        "log_batch of 1,000, 8 clients": client.repeat(
            count // 10 // 8 * 8, 8, lambda n, i: client.batch(runs[n], i, 10)
        ),
    }
    long = client.run()
    for number in range(10 if quick else 100):
        client.batch(long, number, 1)
    found["history of 100,000 points"] = client.repeat(
        3, 1, lambda *_: client.get("/metrics/get-history", run_id=long, metric_key="m0")
    )
    asked = {
        "experiment_ids": ["0"],
        "filter": "metrics.loss > 0.4 and tags.`mlflow.user` = 'user'",
        "order_by": ["metrics.loss DESC"],
        "max_results": 100,
    }
    found["search, filter and order, top 100"] = client.repeat(
        5, 1, lambda *_: client.post("/runs/search", asked)
    )
    return found


def _medians(figures: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in figures) for name in figures[0]}


@contextlib.contextmanager
def treadle(folder: Path) -> Iterator[tuple[str, int]]:
    """``treadle up`` of an empty project."""
    (folder / "treadle.toml").write_text('[project]\nname = "bench"\n')
    port = measure.free_port()
    with measure.running([TREADLE, "up", "--port", str(port)], folder, folder / "log") as process:
        yield _ready(port), process.pid


@contextlib.contextmanager
def mlflow(folder: Path) -> Iterator[tuple[str, int]]:
    """MLflow's server: one worker, no job workers."""
    peer = peers.peer("mlflow")
    assert peer.python, peer.problem
    port = measure.free_port()
    store = f"sqlite:///{folder}/mlflow.db"
    command = [peer.program("mlflow"), "server", "--workers", "1", "--backend-store-uri", store]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with measure.running([*command, "--port", str(port)], folder, folder / "log", environment) as process:
        yield _ready(port), process.pid


def _ready(port: int) -> str:
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
            if urllib3.request("GET", url + path, retries=False, timeout=5).status == 200:
                return url
        time.sleep(0.05)
    raise measure.Failed("the server did not start")
