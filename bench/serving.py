"""What a single-row request costs: the inference server beside a static answer of the same HTTP server.

Gradient boosting, 30 float features, one row a request, journal and metrics on, one server process.
Load comes from ``wrk`` (apt-get install wrk). Run: ``python bench/serving.py [seconds] [connections]``.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import psutil
import urllib3

from treadle.deploy.replica.main import ReplicaServer, make_server
from treadle.deploy.types import DesiredRevision, ReplicaOptions, ReplicaReport
from treadle.kernel.ids import digest_file
from treadle.monitor.types import PredictionBatch

FEATURES = [f"feature_{i:02d}" for i in range(30)]


def make_model(folder: Path) -> list[float]:
    """Trains and exports the model; returns a row."""
    import numpy as np
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 30)).astype(np.float32)
    y = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=4000) > 0
    columns = ColumnTransformer([("all", "passthrough", list(range(30)))])
    model = make_pipeline(columns, GradientBoostingClassifier(n_estimators=100)).fit(x, y)
    inputs = [(name, FloatTensorType([None, 1])) for name in FEATURES]
    exported = to_onnx(model, initial_types=inputs, options={id(model): {"zipmap": False}})
    (folder / "model.onnx").write_bytes(exported.SerializeToString())
    fields = [{"name": name, "kind": "float"} for name in FEATURES]
    (folder / "signature.json").write_text(json.dumps({"inputs": fields, "output": "probability"}))
    example = {name: x[:3, i].tolist() for i, name in enumerate(FEATURES)}
    (folder / "example.json").write_text(json.dumps(example))
    return x[0].tolist()


class LocalPlatform:
    """A platform that has one model in a folder, and reads what it is sent as JSON, as the client does."""

    def __init__(self, folder: Path) -> None:
        self.paths = {digest_file(path): path for path in folder.iterdir()}

    def report(self, _: ReplicaReport) -> DesiredRevision | None:
        return DesiredRevision(revision=1, version=1, files={p.name: d for d, p in self.paths.items()})

    def fetch_blob(self, digest: str, path: Path) -> None:
        shutil.copy(self.paths[digest], path)

    def send_predictions(self, _: str, batch: PredictionBatch) -> None:
        msgspec.json.encode(batch)


def serve_model(folder: Path, state: Path, port: int, log_predictions: bool) -> None:
    options = ReplicaOptions(model="bench", state=str(state), port=port, log_predictions=log_predictions)
    ReplicaServer(options, LocalPlatform(folder)).run()


def serve_static(body: bytes, port: int) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(_, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    make_server(app).run(sockets=[socket.create_server(("127.0.0.1", port))])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            url = f"http://127.0.0.1:{port}/v2/health/ready"
            if urllib3.request("GET", url, retries=False, timeout=1).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.05)
    raise SystemExit("the server did not get ready")


def load(port: int, pid: int, body: bytes, seconds: int, connections: int, work: Path) -> dict[str, object]:
    """Loads a server for some seconds; its rate, its CPU a request and the latency."""
    quoted = body.decode().replace("]]", "] ]")
    (work / "post.lua").write_text(f'wrk.method = "POST"\nwrk.body = [==[{quoted}]==]\n')
    command = ["wrk", "-t1", f"-c{connections}", "--latency", "-s", str(work / "post.lua")]
    url = f"http://127.0.0.1:{port}/v2/models/bench/infer"
    subprocess.run([*command, "-d2s", url], check=True, capture_output=True)
    process = psutil.Process(pid)
    before = process.cpu_times()
    found = subprocess.run(
        [*command, f"-d{seconds}s", url], check=True, capture_output=True, text=True
    ).stdout
    after = process.cpu_times()
    requests = int(re.search(r"(\d+) requests in", found)[1])
    used = after.user + after.system - before.user - before.system
    return {
        "requests/s": round(float(re.search(r"Requests/sec:\s+([\d.]+)", found)[1])),
        "CPU us/request": round(used / requests * 1e6, 1),
        "p50": re.search(r"^\s+50%\s+(\S+)", found, re.MULTILINE)[1],
        "p99": re.search(r"^\s+99%\s+(\S+)", found, re.MULTILINE)[1],
        "MB resident": round(process.memory_info().rss / 1e6),
        "failed": "Non-2xx" in found,
    }


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = work / "model"
        folder.mkdir()
        row = make_model(folder)
        inputs = [
            {"name": n, "shape": [1], "datatype": "FP64", "data": [v]}
            for n, v in zip(FEATURES, row, strict=True)
        ]
        body = json.dumps({"id": "42", "inputs": inputs}).encode()
        answer = (
            b'{"model_name":"bench","model_version":"1","outputs":[{"name":"probability","shape":[1],'
            b'"datatype":"FP64","data":[0.5]},{"name":"prediction_id","shape":[1],"datatype":"BYTES",'
            b'"data":["prediction_01-0000000001"]}],"id":"42"}'
        )
        print(f"body {len(body)} bytes, {connections} connections, {seconds} s")
        for title, target, arguments in (
            ("static floor", serve_static, lambda port: (answer, port)),
            ("model", serve_model, lambda port: (folder, work / "a", port, False)),
            ("model, journal on", serve_model, lambda port: (folder, work / "b", port, True)),
        ):
            port = free_port()
            process = context.Process(target=target, args=arguments(port))
            process.start()
            wait_ready(port)
            print(f"{title:20}", load(port, process.pid, body, seconds, connections, work))
            process.terminate()
            process.join()


if __name__ == "__main__":
    main()
