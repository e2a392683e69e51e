"""Small ONNX models, platforms to serve them from, and replicas in a thread or a process of their own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import onnx
import urllib3
from onnx import TensorProto, helper

from treadle.data.types import DataInput, SliceSpec
from treadle.deploy import Deployments, DesiredRevision, ReplicaOptions, ReplicaReport, Supervisor, listen
from treadle.deploy.probing import RESTARTED, Patience
from treadle.deploy.replica import ReplicaServer, serve
from treadle.kernel.errors import InvalidInput, Unavailable
from treadle.kernel.ids import digest_file
from treadle.kernel.workspace import Workspace
from treadle.monitor.segments import read_segment
from treadle.monitor.types import PredictionBatch
from treadle.registry import Field, ModelFile, NewVersion, Registry, Signature

COLUMNS = {"hour": "float", "carrier": "string"}
TYPES = {
    "float": TensorProto.FLOAT,
    "int": TensorProto.INT64,
    "string": TensorProto.STRING,
    "bool": TensorProto.BOOL,
}
HTTP = urllib3.PoolManager(maxsize=32, retries=False, timeout=20)


def graph(columns: dict[str, str], scale: float, impute: bool) -> onnx.ModelProto:
    """sigmoid(scale * sum of the columns); 'AA' counts 0.5, any other text 0.

    A missing number counts 0 with ``impute``, and makes the answer NaN without.
    """
    nodes, parts = [], []
    for name, kind in columns.items():
        if kind == "string":
            known = {"keys_strings": ["AA"], "values_floats": [0.5], "default_float": 0.0}
            nodes.append(
                helper.make_node("LabelEncoder", [name], [f"{name}_f"], domain="ai.onnx.ml", **known)
            )
        else:
            nodes.append(helper.make_node("Cast", [name], [f"{name}_x"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("IsNaN", [f"{name}_x"], [f"{name}_nan"]))
            fill = "zero" if impute else f"{name}_x"
            nodes.append(helper.make_node("Where", [f"{name}_nan", fill, f"{name}_x"], [f"{name}_f"]))
        parts.append(f"{name}_f")
    nodes += [
        helper.make_node("Sum", parts, ["sum"]),
        helper.make_node("Mul", ["sum", "scale"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
    ]
    body = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, TYPES[kind], ["N", 1]) for name, kind in columns.items()],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
            helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(body, opset_imports=opsets, ir_version=9)


def write_model(
    folder: Path, scale: float = 1.0, columns: dict[str, str] = COLUMNS, impute: bool = False
) -> Path:
    """A model's folder."""
    folder.mkdir(parents=True)
    onnx.save(graph(columns, scale, impute), folder / "model.onnx")
    fields = [{"name": name, "kind": kind} for name, kind in columns.items()]
    (folder / "signature.json").write_text(json.dumps({"inputs": fields, "output": "probability"}))
    values = {"float": [1.0, 2.5], "int": [1, 2], "string": ["AA", None], "bool": [True, False]}
    (folder / "example.json").write_text(json.dumps({n: values[k] for n, k in columns.items()}))
    return folder


class FolderPlatform:
    """A platform of one model folder, which keeps what it is sent. ``away`` and ``refuses`` make it fail."""

    def __init__(self, folder: Path, key: str | None = "id", when: str | None = "at") -> None:
        self.paths = {digest_file(path): path for path in folder.iterdir()}
        self.wanted: DesiredRevision | None = DesiredRevision(
            revision=1, version=7, files={p.name: d for d, p in self.paths.items()}, key=key, time=when
        )
        self.reports: list[ReplicaReport] = []
        self.batches: list[PredictionBatch] = []
        self.away = False
        self.refuses = False

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        self.reports.append(report)
        return self.wanted

    def fetch_blob(self, digest: str, path: Path) -> None:
        path.write_bytes(self.paths[digest].read_bytes())

    def send_segment(self, model: str, segment: str, rows: int, data: bytes) -> None:
        if self.away:
            raise Unavailable("nobody answers")
        if self.refuses:
            raise InvalidInput("no such model")
        self.batches.append(read_segment(data, segment, rows))


class ServicesPlatform:
    """The real services; predictions go into a folder, one file for each time that a batch came."""

    def __init__(self, workspace: Workspace, inbox: Path) -> None:
        self.workspace = workspace
        self.deployments = Deployments(workspace)
        self.inbox = inbox
        inbox.mkdir(parents=True, exist_ok=True)

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        return self.deployments.report(report)

    def fetch_blob(self, digest: str, path: Path) -> None:
        self.workspace.blobs.fetch(digest, path)

    def send_segment(self, model: str, segment: str, rows: int, data: bytes) -> None:
        batch = read_segment(data, segment, rows)
        target = self.inbox / f"{batch.batch}.{time.time_ns()}"
        target.with_suffix(".tmp").write_bytes(msgspec.json.encode(batch))
        target.with_suffix(".tmp").rename(target.with_suffix(".json"))


def inbox_rows(inbox: Path) -> list[str]:
    """The ids of the predictions that came, each batch counted once."""
    batches = {}
    for path in sorted(inbox.glob("*.json")):
        batch = msgspec.json.decode(path.read_bytes(), type=PredictionBatch)
        assert batches.setdefault(batch.batch, batch) == batch, "a batch came twice with other content"
    return [row for batch in batches.values() for row in batch.ids]


def register(workspace: Workspace, folder: Path, run: str) -> int:
    """Registers a model folder as a version of ``toy``; returns its number."""
    files = tuple(
        ModelFile(path.name, workspace.blobs.put_file(path), path.stat().st_size)
        for path in sorted(folder.iterdir())
    )
    spec = SliceSpec(dataset="rows", version="d" * 64)
    new = NewVersion(
        model="toy",
        run=run,
        recipe="r_1",
        code="c" * 64,
        environment="f" * 64,
        seed=0,
        data=(DataInput(role="train", spec=spec, number=1, digest="e" * 64, rows=9),),
        params={"depth": 3},
        metrics={"roc_auc": 0.7},
        signature=Signature((Field("hour", "float"), Field("carrier", "string")), "probability"),
        files=files,
        evaluations=("ev_1",),
        profile=workspace.blobs.put(b"{}"),
        serve={"host": "127.0.0.1", "port": "0"},
    )
    return Registry(workspace).register(new).number


def options(state: Path, **changes: Any) -> ReplicaOptions:
    """Options of a replica in a hurry."""
    known: dict[str, Any] = {"models": ("toy",), "state": str(state), "port": 0, "poll": 0.02, "flush": 0.05}
    return ReplicaOptions(**(known | changes))


@contextlib.contextmanager
def running(chosen: ReplicaOptions, platform: Any, *, ready: bool = True) -> Iterator[ReplicaServer]:
    """A replica in a thread, ready to answer."""
    server = ReplicaServer(chosen, platform)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: status(f"{server.url}/v2/health/{'ready' if ready else 'live'}") == 200)
        yield server
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


def status(url: str) -> int | None:
    try:
        return HTTP.request("GET", url).status
    except urllib3.exceptions.HTTPError:
        return None


def wait_for(condition: Callable[[], object], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data}


def one_row(hour: float = 1.0, **more: Any) -> dict[str, Any]:
    """A good request."""
    return {"inputs": [tensor("hour", "FP64", [hour]), tensor("carrier", "BYTES", ["AA"])], **more}


def post(url: str, body: Any, path: str = "/v2/models/toy/infer") -> tuple[int, dict[str, Any]]:
    """Status and JSON of an inference request."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = HTTP.request("POST", url + path, body=raw)
    return response.status, response.json()


def ids_of(answer: dict[str, Any]) -> list[str]:
    return next(out["data"] for out in answer["outputs"] if out["name"] == "prediction_id")


def _announce(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fault(kind: str) -> None:
    """Makes this process's models fail natively or leak, as no model in Python can."""
    from treadle.registry import LoadedModel

    load, predict = LoadedModel.load.__func__, LoadedModel.predict
    if kind == "dies":

        def deadly(cls, folder, threads=1):
            loaded = load(cls, folder, threads)
            if loaded.example["hour"][0] == 666.0:
                os.kill(os.getpid(), signal.SIGSEGV)
            return loaded

        LoadedModel.load = classmethod(deadly)
    elif kind == "holds":

        def holding(cls, folder, threads=1):
            loaded = load(cls, folder, threads)
            if loaded.example["hour"][0] == 666.0:
                ctypes.PyDLL(None).usleep(900_000)  # without letting go of Python's lock
            return loaded

        LoadedModel.load = classmethod(holding)
    elif kind == "leaks":
        kept = []

        def leaky(self, columns):
            kept.append(b"x" * (4 << 20))
            return predict(self, columns)

        LoadedModel.predict = leaky


def supervised(
    project: Path, state: Path, inbox: Path, *more: str, patience: Patience | None = None
) -> tuple[Supervisor, str]:
    """A replica on the real services that is kept alive: PROJECT STATE INBOX, ``fault=`` and ``memory=``."""
    listening = listen("127.0.0.1", 0)
    command = [sys.executable, __file__, str(project), str(state), str(inbox), "0.05"]
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    command += [f"listening={listening.fileno()}", *more]
    asked = {"asked": listening, "patience": patience, "state": state} if patience else {}
    log = state.with_suffix(".log")
    return Supervisor(command, log, first_pause=0.05, listening=listening, **asked), url


def main() -> None:
    """A replica on the real services, in this process: PROJECT STATE INBOX FLUSH and more, by name."""
    from treadle.kernel import database

    project, state, inbox = map(Path, sys.argv[1:4])
    more = dict(text.split("=") for text in sys.argv[5:])
    # The test that started this made the tables.
    database._migrate = lambda *_: None
    workspace = Workspace.open(project)
    memory = int(more["memory"]) << 20 if "memory" in more else None
    chosen = options(state, flush=float(sys.argv[4]), max_memory=memory)
    platform = ServicesPlatform(workspace, inbox)
    fault(more.get("fault", ""))
    if "listening" in more:
        own = socket.socket(fileno=int(more["listening"]))
        why = os.environ.get(RESTARTED, "")
        server = ReplicaServer(chosen, platform, listening=own, restarted=why)
        server.run()
        sys.exit(75 if server.restarting else 0)
    sys.exit(serve(chosen, platform, _announce))


if __name__ == "__main__":
    main()
