"""A canary that fails at a share of the requests: how long until it is gone, and whom it hurt.

Usage: ``canary.py SHARE_OF_FAILURES SHARE_OF_REQUESTS SECONDS``. A replica in a process of its own,
a platform on SQLite that decides by its reports, and one caller that asks as fast as it can from
this process. Both versions are one model, of which the second answers no number where a value is
missing; so many requests lack it. Prints JSON.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import onnx
import urllib3
from onnx import TensorProto, helper

from treadle.data.types import DataInput, SliceSpec
from treadle.deploy import Deployments, ReplicaOptions
from treadle.deploy.replica import ReplicaServer
from treadle.kernel.config import DeployConfig
from treadle.kernel.workspace import Workspace
from treadle.registry import Field, ModelFile, NewVersion, Registry, Signature


class Platform:
    """The real decisions; predictions are thrown away."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.deployments = workspace, Deployments(workspace)
        self.report = self.deployments.report

    def fetch_blob(self, digest: str, path: Path) -> None:
        self.workspace.blobs.fetch(digest, path)

    def send_segment(self, *_: object) -> None:
        pass


def model(folder: Path, fills: bool) -> Path:
    """One input, whose sigmoid it answers; a missing one counts 0 if it ``fills``."""
    folder.mkdir(parents=True)
    filled = [
        helper.make_node("IsNaN", ["x"], ["nan"]),
        helper.make_node("Where", ["nan", "zero", "x"], ["y"]),
    ]
    nodes = [*(filled if fills else [helper.make_node("Identity", ["x"], ["y"])])]
    nodes += [
        helper.make_node("Sigmoid", ["y"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
    ]
    numbers = [helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("zero", 0.0), ("one", 1.0))]
    takes = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])
    gives = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "bench", [takes], [gives], numbers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, folder / "model.onnx")
    signature = {"inputs": [{"name": "x", "kind": "float"}], "output": "probability"}
    (folder / "signature.json").write_text(json.dumps(signature))
    (folder / "example.json").write_text(json.dumps({"x": [1.0, 2.0]}))
    return folder


def register(workspace: Workspace, folder: Path, run: str) -> None:
    """Registers a model as the next version of ``bench``."""
    blobs = workspace.blobs
    files = [ModelFile(p.name, blobs.put_file(p), p.stat().st_size) for p in sorted(folder.iterdir())]
    rows = DataInput(
        role="train", spec=SliceSpec(dataset="rows", version="d" * 64), number=1, digest="e" * 64, rows=9
    )
    version = NewVersion(
        model="bench", run=run, recipe="r", code="c" * 64, environment="f" * 64, seed=0, data=(rows,),
        params={"a": 1}, metrics={"roc_auc": 0.7}, signature=Signature((Field("x", "float"),), "probability"),
        files=tuple(files), evaluations=("e",), profile=blobs.put(b"{}"), serve={"port": "0"},
    )  # fmt: skip
    Registry(workspace).register(version)


def run(failing: float, share: float, seconds: float) -> dict[str, float | None]:
    """Lets a canary fail; see :func:`measured`."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        (root / "treadle.toml").write_text('[project]\nname = "bench"\n')
        workspace = Workspace.open(root)
        for number in (1, 2):
            register(workspace, model(root / f"m{number}", fills=number == 1), f"run_{number}")
        platform = Platform(workspace)
        platform.deployments.deploy("bench", 1, "bench", "first", "k1")
        server = ReplicaServer(ReplicaOptions(models=("bench",), state=str(root / "state"), port=0), platform)
        threading.Thread(target=server.run, daemon=True).start()
        while platform.deployments.status("bench").serving is None:
            time.sleep(0.05)
        plan = DeployConfig(strategy="canary", steps=(share,), bake="10m")
        platform.deployments.deploy("bench", 2, "bench", "worse", "k2", plan=plan)
        try:
            return measured(platform, server.url, failing, seconds)
        finally:
            server.stop()
            time.sleep(1)
            workspace.close()


def measured(platform: Platform, url: str, failing: float, seconds: float) -> dict[str, float | None]:
    """Asks until nothing has failed for two seconds after the canary was taken back, or time is up."""
    chance, pool = random.Random(7), urllib3.PoolManager(maxsize=1, retries=False)
    asked = failed = own = 0
    first = last = back = None
    began = looked = time.monotonic()
    while time.monotonic() - began < seconds:
        value = None if chance.random() < failing else 1.0
        body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [value]}]})
        answer = pool.request("POST", f"{url}/v2/models/bench/infer", body=body)
        now = time.monotonic()
        asked += 1
        if answer.status >= 500:
            failed += 1
            first, last = first or now, now
        elif answer.json()["model_version"] == "2":
            own += 1
        if back is None and now - looked > 0.05:
            looked = now
            if platform.deployments.history("bench")[-1].state == "failed":
                back = now
        if back and now - back > 2:
            break
    return {
        "asked": asked,
        "rate": asked / (time.monotonic() - began),
        "failed": failed,
        "answered": own,
        "back": back - first if back and first else None,
        "gone": last - first if first and last else None,
    }


print(json.dumps(run(float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
