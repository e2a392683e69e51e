"""What scripts about deployments share: a platform without monitors, and a model that may fail."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from treadle.data.types import DataInput, SliceSpec
from treadle.deploy import Deployments
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
