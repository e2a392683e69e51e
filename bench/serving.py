"""Single-row requests per second, what one costs, and what a swap of models under load loses.

Gradient boosting, 30 numbers, one row a request, one worker each, 16 connections. Load comes
from ``wrk`` (Debian package ``wrk``), so the client costs little of the other core.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import urllib3

from bench import measure, peers, serving_more
from bench.tables import progress, reason, show, times

CONNECTIONS = 16
FEATURES = [f"feature_{i:02d}" for i in range(30)]
ROW = [round((i * 37 % 101) / 50 - 1, 6) for i in range(30)]
_V2 = "/v2/models/bench/infer"
_ROWS = json.dumps({"inputs": [ROW]})
_NAMED = json.dumps(
    {
        "id": "42",
        "inputs": [
            {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
            for name, value in zip(FEATURES, ROW, strict=True)
        ],
    }
)
_ONE = {"name": "predict", "shape": [1, 30], "datatype": "FP64", "data": ROW}
_TENSOR = json.dumps({"inputs": [_ONE], "outputs": [{"name": "predict_proba"}]})


class Server(NamedTuple):
    """A server as it is started and asked.

    Attributes:
        title: Its name in the table.
        peer: Where it is installed.
        form: How its model is saved; none where none is needed.
        path: Where it answers.
        body: The request.
        ready: What answers 200 once it is ready.
    """

    title: str
    peer: str | None
    form: str | None
    path: str
    body: str
    ready: str


SERVERS = [
    Server("fixed answer (the floor)", None, None, _V2, _NAMED, "/v2/health/ready"),
    Server("Treadle, predictions not logged", None, "treadle", _V2, _NAMED, "/v2/health/ready"),
    Server("Treadle, predictions logged", None, "treadle", _V2, _NAMED, "/v2/health/ready"),
    Server("FastAPI + scikit-learn", "fastapi", "joblib", "/predict", _ROWS, "/health"),
    Server("MLServer", "mlserver", "mlserver", _V2, _TENSOR, "/v2/health/ready"),
    Server("mlflow models serve", "mlflow", "mlflow", "/invocations", _ROWS, "/ping"),
    Server("BentoML, batched", "bentoml", "joblib", "/predict", _ROWS, "/readyz"),
]


def run(quick: bool) -> None:
    """Prints the tables."""
    if not shutil.which("wrk"):
        print("serving: left out, for there is no `wrk` (apt-get install wrk)")
        return
    seconds, rounds = (2, 1) if quick else (6, 3)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        found: dict[str, list[dict[str, float]] | str] = {server.title: [] for server in SERVERS}
        for number in range(rounds):
            for server in SERVERS:
                so_far = found[server.title]
                if isinstance(so_far, str):
                    continue
                progress(f"serving: {server.title}, round {number + 1}, load {measure.load_average()}")
                try:
                    with _started(server, work) as (port, pid):
                        so_far.append(load(server, port, pid, seconds, work))
                except measure.Failed as error:
                    found[server.title] = reason(str(error))
        _table(found, seconds, rounds)
        _half(found, work, seconds)
        _swaps(work, 6 if quick else 30)
        _more(work, 20 if quick else 300)
        _rpc(work, 100 if quick else 3000)


def _table(found: dict[str, list[dict[str, float]] | str], seconds: int, rounds: int) -> None:
    def middle(figures: list[dict[str, float]], key: str) -> float:
        return sorted(one[key] for one in figures)[len(figures) // 2]

    ours = found.get("Treadle, predictions logged", [])
    rows: list[list[object]] = []
    for title, figures in found.items():
        if isinstance(figures, str) or not figures:
            rows.append([title, figures or "not run", *[None] * 6])
            continue
        rate, cpu = middle(figures, "rate"), middle(figures, "cpu")
        ratio = None if isinstance(ours, str) or not ours else times(cpu, middle(ours, "cpu"))
        last = [middle(figures, key) for key in ("p50", "p99", "memory")]
        rows.append([title, rate, cpu, ratio, *last, int(sum(one["failed"] for one in figures))])
    columns = [
        "server", "requests/s", "CPU-ms a request", "ratio of CPU", "p50, ms", "p99, ms", "MB", "failed",
    ]  # fmt: skip
    notes = f"{CONNECTIONS} connections, {seconds} s after 2 s of warming, medians of {rounds}; MB is PSS."
    show("Single-row inference", columns, rows, notes)


def _half(found: dict[str, list[dict[str, float]] | str], work: Path, seconds: int) -> None:
    """Half of what saturates each server; and the floor at half of what saturates Treadle."""
    if not shutil.which("h2load"):
        print("half load: left out, for there is no `h2load` (apt-get install nghttp2-client)")
        return
    halves = {
        title: sorted(one["rate"] for one in figures)[len(figures) // 2] / 2
        for title, figures in found.items()
        if figures and not isinstance(figures, str)
    }
    logged = SERVERS[2].title
    asked = [(server, halves[server.title]) for server in SERVERS if server.title in halves]
    if logged in halves:
        asked[:1] = [(SERVERS[0], halves[logged])]
    rows: list[list[object]] = []
    for server, rate in asked:
        progress(f"serving: {server.title} at {rate:,.0f} a second")
        try:
            with _started(server, work) as (port, pid):
                serving_more.half_load(server.body, port, server.path, pid, rate, 2, work)
                rows.append(
                    [
                        server.title,
                        *serving_more.half_load(server.body, port, server.path, pid, rate, seconds, work),
                    ]
                )
        except measure.Failed as error:
            rows.append([server.title, reason(str(error)), *[None] * 4])
    columns = ["server", "requests/s", "CPU-ms a request", "p50, ms", "p99, ms", "failed"]
    notes = f"`h2load`, {seconds} s after 2 s, {serving_more.CLIENTS} connections that send evenly."
    show("Single-row inference at half load", columns, rows, notes)


def _swaps(work: Path, seconds: int) -> None:
    server = SERVERS[2]
    try:
        with _started(server, work, swap=1.0) as (port, pid):
            figures = load(server, port, pid, seconds, work)
            swaps = int((work / "state" / "swaps").read_text())
    except (measure.Failed, OSError) as error:
        print(f"hot swap: {reason(str(error))}")
        return
    requests, failed = int(figures["requests"]), int(figures["failed"])
    row = [f"{seconds} s", f"{requests:,}", swaps, failed, figures["rate"], figures["p99"]]
    columns = ["load", "requests", "swaps", "failed requests", "requests/s", "p99, ms"]
    show("Models swapped under load", columns, [row], "Two versions, swapped as fast as they load.")


def _rpc(work: Path, rounds: int) -> None:
    try:
        import tritonclient.grpc  # noqa: F401
    except ImportError as error:
        print(f"gRPC: left out, for {error}")
        return
    rpc = measure.free_port()
    with _started(SERVERS[2], work, rpc=rpc) as (port, pid):
        serving_more.single_rows(port, rpc, pid, _NAMED, rounds)


def _more(work: Path, rounds: int) -> None:
    hot: list[list[object]] = []
    try:
        with _started(SERVERS[2], work) as (port, pid):
            serving_more.batches(port, pid, work / "model-None" / "1" / "model.onnx", rounds)
        for title, server, models, most in (
            ("Treadle", SERVERS[2], 1, None),
            ("Treadle", SERVERS[2], 200, None),
            ("Treadle, max_models = 20", SERVERS[2], 200, 20),
            ("MLServer", SERVERS[4], 1, None),
            ("MLServer", SERVERS[4], 200, None),
        ):
            began = time.monotonic()
            progress(f"serving: {title}, {models} models")
            try:
                with _started(server, work, models=models, most=most) as (port, pid):
                    ready = (time.monotonic() - began, measure.cpu_of(pid), measure.memory_of(pid))
                    asked = serving_more.ask_each(port, server.body, min(models, 60), 20)
                    hot.append([title, models, *ready, *asked, measure.memory_of(pid)])
            except measure.Failed as error:
                hot.append([title, models, reason(str(error)), *[None] * 6])
        serving_more.many(hot)
    except (measure.Failed, OSError) as error:
        print(f"batches and many models: {reason(str(error))}")


@contextmanager
def _started(
    server: Server,
    work: Path,
    swap: float = 0,
    models: int = 1,
    most: int | None = None,
    rpc: int | None = None,
) -> Iterator[tuple[int, int]]:
    peer = peers.peer(server.peer) if server.peer else peers.Peer(peers.PLATFORM)
    if peer.python is None:
        raise measure.Failed(peer.problem)
    folder = work / f"model-{server.peer}"
    if server.form and not folder.exists():
        folder.mkdir()
        measure.run([peer.python, peers.SCRIPTS / "export_model.py", server.form, folder], work)
    port = measure.free_port()
    command, env = _command(server, peer, folder, work, port, swap)
    if server.peer == "mlserver":
        _copy_models(folder, models)
    elif models > 1:
        command += map(str, [models, *([most] if most else [])])
    if rpc is not None:
        env["GRPC_PORT"] = str(rpc)
    log = work / "server.log"
    with measure.running(command, folder if server.form else work, log, env) as process:
        deadline = time.monotonic() + 90
        while not _answers(f"http://127.0.0.1:{port}{server.ready}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise measure.Failed(f"it did not start: {log.read_text()[-800:]}")
            time.sleep(0.1)
        yield port, process.pid


def _copy_models(folder: Path, models: int) -> None:
    """MLServer's folder under so many names: each has settings of its own, and the same file."""
    settings = json.loads((folder / "model-settings.json").read_text())
    settings["parameters"]["uri"] = str(folder / "model.joblib")
    for number in range(1, 200):
        one = folder / f"bench-{number}"
        shutil.rmtree(one, ignore_errors=True)
        if number < models:
            one.mkdir()
            (one / "model-settings.json").write_text(json.dumps({**settings, "name": one.name}))


def _command(
    server: Server, peer: peers.Peer, folder: Path, work: Path, port: int, swap: float
) -> tuple[list[str | Path], dict[str, str]]:
    replica, state = peers.SCRIPTS / "treadle_replica.py", work / "state"
    shutil.rmtree(state, ignore_errors=True)
    journal = "plain" if "not" in server.title else "journal"
    model = {"MODEL": str(folder / "model.joblib"), "PYTHONPATH": str(peers.SCRIPTS)}
    python = str(peer.python)
    local = ["--host", "127.0.0.1", "--port", str(port)]
    if server.form is None:
        return [python, replica, "floor", str(port)], {}
    if server.peer == "fastapi":
        return [python, "-m", "uvicorn", "fastapi_app:app", "--no-access-log", *local], model
    if server.peer == "mlserver":
        ports = {"MLSERVER_HTTP_PORT": str(port), "MLSERVER_GRPC_PORT": str(measure.free_port())}
        more = {"MLSERVER_METRICS_PORT": str(measure.free_port()), "MLSERVER_PARALLEL_WORKERS": "0"}
        quiet = {"MLSERVER_HOST": "127.0.0.1", "MLSERVER_DEBUG": "false"}
        return [peer.program("mlserver"), "start", str(folder)], {**ports, **more, **quiet}
    if server.peer == "mlflow":
        path = f"{peer.program('mlflow').parent}:/usr/bin:/bin"
        command = [peer.program("mlflow"), "models", "serve", "-m", str(folder / "model")]
        return [*command, "--env-manager", "local", "-w", "1", *local], {"PATH": path}
    if server.peer == "bentoml":
        return [peer.program("bentoml"), "serve", "bento_service:Bench", *local], model
    return [python, replica, str(folder), str(state), str(port), journal, str(swap)], {}


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def load(server: Server, port: int, pid: int, seconds: int, work: Path) -> dict[str, float]:
    """Loads a server for some seconds: its rate, CPU a request, latency, memory and failures.

    Raises:
        measure.Failed: If it doesn't answer the request with 200.
    """
    url = f"http://127.0.0.1:{port}{server.path}"
    headers = {"content-type": "application/json"}
    first = urllib3.request("POST", url, body=server.body, headers=headers, timeout=30)
    if first.status != 200:
        raise measure.Failed(f"it answers {first.status}: {first.data[:100]!r}")
    quoted = server.body.replace("]]", "] ]")
    script = work / "post.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [==[{quoted}]==]\n"
    )
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "--timeout", "10s", "--latency", "-s", str(script)]
    subprocess.run([*command, "-d2s", url], check=True, capture_output=True)
    before = measure.cpu_of(pid)
    done = subprocess.run([*command, f"-d{seconds}s", url], check=True, capture_output=True, text=True)
    used = measure.cpu_of(pid) - before
    said = done.stdout
    requests = int(_number(r"(\d+) requests in", said))
    return {
        "requests": requests,
        "rate": _number(r"Requests/sec:\s+([\d.]+)", said),
        "cpu": used / max(requests, 1) * 1000,
        "p50": _milliseconds("50%", said),
        "p99": _milliseconds("99%", said),
        "memory": measure.memory_of(pid),
        "failed": _failed(said),
    }


def _number(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    return float(found[1]) if found else 0.0


def _failed(said: str) -> int:
    """Answers that were no success, and connections that broke or timed out."""
    sockets = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return int(_number(r"Non-2xx or 3xx responses: (\d+)", said)) + sum(
        map(int, sockets.groups() if sockets else ())
    )


def _milliseconds(level: str, said: str) -> float:
    found = re.search(rf"^\s+{level}\s+([\d.]+)(us|ms|s)", said, re.MULTILINE)
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]] if found else 0.0
