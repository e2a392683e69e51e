"""Logging and reading over MLflow's protocol: the same requests to Treadle and to MLflow's own server.

Settings for MLflow: one worker on SQLite and four on Postgres, no job workers, and uvloop, which its
package doesn't bring. One client process with kept-alive connections; what is reported first is the
server's CPU time, which a busy machine changes least.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import urllib3

from bench import measure, peers
from bench.postgres import postgres
from bench.tables import progress, show, times

TREADLE = peers.PLATFORM.with_name("treadle")
Server: TypeAlias = Callable[[Path], contextlib.AbstractContextManager[tuple[str, int]]]
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
    """Prints the tables."""
    rounds = 1 if quick else 3
    _table("SQLite", rounds, quick, treadle, mlflow, "MLflow with one worker")
    with contextlib.ExitStack() as stack:
        try:
            home = stack.enter_context(postgres())
        except measure.Failed as error:
            progress(f"tracking: {error}")
            return
        ours = functools.partial(treadle, store=f"postgresql://bench@/treadle?host={home}")
        theirs = functools.partial(
            mlflow, store=f"postgresql+psycopg2://bench@/mlflow?host={home}", workers=4
        )
        _table("Postgres", rounds, quick, ours, theirs, "MLflow with four workers")


def _table(store: str, rounds: int, quick: bool, ours: Server, theirs: Server, setting: str) -> None:
    progress(f"tracking: {store}, {rounds} rounds, load {measure.load_average()}")
    found: dict[str, dict[str, list[dict[str, float]]]] = {"Treadle": {}, "MLflow": {}}
    bare: list[float] = []
    for _ in range(rounds):
        for name, server in (("Treadle", ours), ("MLflow", theirs)):
            with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (url, pid):
                for case, figures in _cases(Client(url, pid), quick, slow=name == "MLflow").items():
                    found[name].setdefault(case, []).append(figures)
        if store == "SQLite":
            bare.append(_bare(20 if quick else 200))
    rows: list[list[object]] = []
    for case, mine in found["Treadle"].items():
        peer = found["MLflow"][case]
        a, b = _medians(mine), _medians(peer)
        ratios = times(b["cpu"], a["cpu"]), times(a["rate"], b["rate"])
        rows.append(
            [case, a["cpu"], b["cpu"], ratios[0], a["p50"], b["p50"], a["rate"], b["rate"], ratios[1]]
        )
    columns = ["request", "CPU-ms", "MLflow's", "less", "p50 ms", "MLflow's", "a second", "MLflow's", "more"]
    notes = (
        f"Server CPU a request, without the database server's; {store}; {setting}, uvloop and no job "
        f"workers. Medians of {rounds}."
    )
    if bare:
        notes += (
            f" A bare `executemany` of 1,000 rows (run, name, value, time, step) and a commit, in one "
            f"process, writes {statistics.median(bare):,.0f} such batches a second into SQLite as durably."
        )
    show(f"Tracking over MLflow's protocol, {store}", columns, rows, notes)


def _bare(count: int) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(sqlite3.connect(f"{folder}/bare.db", isolation_level=None)) as connection,
    ):
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"):
            connection.execute(statement)
        connection.execute("CREATE TABLE points (run TEXT, name TEXT, value REAL, at INTEGER, step INTEGER)")
        began = time.perf_counter()
        for number in range(count):
            rows = [("r" * 32, f"m{i % 10}", i / 2, NOW + i, number * 1000 + i) for i in range(1000)]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        return count / (time.perf_counter() - began)


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
def treadle(folder: Path, store: str = "") -> Iterator[tuple[str, int]]:
    """``treadle up`` of an empty project."""
    place = f'[store]\nmetadata = "{store}"\n' if store else ""
    (folder / "treadle.toml").write_text(f'[project]\nname = "bench"\n{place}')
    port = measure.free_port()
    with measure.running([TREADLE, "up", "--port", str(port)], folder, folder / "log") as process:
        yield _ready(port), process.pid


@contextlib.contextmanager
def mlflow(folder: Path, store: str = "", workers: int = 1) -> Iterator[tuple[str, int]]:
    """MLflow's server, without job workers."""
    peer = peers.peer("mlflow")
    assert peer.python, peer.problem
    port = measure.free_port()
    store = store or f"sqlite:///{folder}/mlflow.db"
    command = [peer.program("mlflow"), "server", "--workers", str(workers), "--backend-store-uri", store]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with measure.running([*command, "--port", str(port)], folder, folder / "log", environment) as process:
        yield _ready(port), process.pid


def _ready(port: int) -> str:
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
            if urllib3.request("GET", url + path, retries=False, timeout=5).status == 200:
                return url
        time.sleep(0.05)
    raise measure.Failed("the server did not start")
