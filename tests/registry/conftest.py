"""Small ONNX models built by hand, and complete versions of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from meanwhile import on_postgres  # noqa: F401
from retrain.wheel import FIRST, make, turn
from servers import metadata_url, postgres_server, postgres_url  # noqa: F401 - fixtures
from treadle.data.types import DataInput, SliceSpec
from treadle.experiment import store
from treadle.experiment.types import NewRun
from treadle.kernel.clock import ManualClock
from treadle.kernel.workspace import Workspace
from treadle.registry.catalog import Catalog
from treadle.registry.types import Field, ModelFile, NewVersion, Signature

ONNX_TYPE = {
    "float": TensorProto.FLOAT,
    "int": TensorProto.INT64,
    "string": TensorProto.STRING,
    "bool": TensorProto.BOOL,
}
COLUMNS = {"hour": "float", "carrier": "string", "stops": "int", "weekend": "bool"}
EXAMPLE = {
    "hour": [1.0, 2.5, 4],
    "carrier": ["AA", None, "zz"],
    "stops": [0, 1, 2],
    "weekend": [True, False, True],
}


def graph(
    columns: dict[str, str], *, rows: Any = "N", scale: float = 1.0, probabilities: bool = True
) -> onnx.ModelProto:
    """sigmoid(scale * sum of the columns); 'AA' counts 0.5, any other text 0."""
    nodes, parts = [], []
    for name, kind in columns.items():
        if kind == "string":
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [name],
                    [f"{name}_f"],
                    domain="ai.onnx.ml",
                    keys_strings=["AA"],
                    values_floats=[0.5],
                    default_float=0.0,
                )
            )
        else:
            nodes.append(helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT))
        parts.append(f"{name}_f")
    nodes += [
        helper.make_node("Sum", parts, ["sum"]),
        helper.make_node("Mul", ["sum", "scale"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
    ]
    output = ("probabilities", 2) if probabilities else ("scaled", 1)
    body = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(n, ONNX_TYPE[k], [rows, 1]) for n, k in columns.items()],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, [rows, output[1]])],
        [
            helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
            helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(body, opset_imports=opsets, ir_version=9)


MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a model's folder; each part can be replaced to break it."""

    def make(
        name: str = "model",
        columns: dict[str, str] = COLUMNS,
        signature: dict[str, str] | None = None,
        example: dict[str, list[Any]] = EXAMPLE,
        output: str = "probability",
        **options: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        probabilities = options.pop("probabilities", output == "probability")
        onnx.save(graph(columns, probabilities=probabilities, **options), folder / "model.onnx")
        fields = [{"name": n, "kind": k} for n, k in (signature or columns).items()]
        (folder / "signature.json").write_text(json.dumps({"inputs": fields, "output": output}))
        (folder / "example.json").write_text(json.dumps(example))
        return folder

    return make


MakeVersion = Callable[..., NewVersion]


@pytest.fixture
def make_version(make_model: MakeModel, workspace: Workspace) -> MakeVersion:
    """Everything that it takes to register a version, its blobs stored."""
    folder = make_model("registered")

    def make(run: str = "run_a", model: str = "toy", **changes: Any) -> NewVersion:
        blobs = workspace.blobs
        files = tuple(
            ModelFile(path.name, blobs.put_file(path), path.stat().st_size)
            for path in sorted(folder.iterdir())
        )
        data = DataInput(
            role="train", spec=SliceSpec(dataset="rows", version="d" * 64), number=1, digest="e" * 64, rows=9
        )
        known: dict[str, Any] = {
            "model": model,
            "run": run,
            "recipe": "r_1",
            "code": "c" * 64,
            "environment": "f" * 64,
            "seed": 0,
            "data": (data,),
            "params": {"depth": 3},
            "metrics": {"roc_auc": 0.7},
            "signature": Signature((Field("hour", "float"),), "probability"),
            "files": files,
            "evaluations": ("ev_1",),
            "profile": blobs.put(b"{}"),
            "serve": {"host": "127.0.0.1", "port": "8100"},
        }
        return NewVersion(**(known | changes))

    return make


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A project with a version that a cycle made, judged group by group, and promoted; versions stay."""
    folder = make(tmp_path_factory.mktemp("judged") / "toy")
    settings = (folder / "treadle.toml").read_text()
    groups = '[checks.groups]\nby = ["carrier"]'
    bias = '\n[checks.bias]\nby = ["carrier"]\nmax_difference = 0.5\n'
    (folder / "treadle.toml").write_text(settings.replace("[checks.groups]", groups) + bias)
    workspace = Workspace.open(folder, clock=ManualClock(FIRST))
    assert turn(workspace).state == "promoted"
    yield workspace
    workspace.close()


@pytest.fixture
def opened(tmp_path: Path, metadata_url: str) -> Iterator[Workspace]:  # noqa: F811 - the fixture
    """A workspace on each metadata store, with two runs: ``a`` and ``b``, 32 times each."""
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "t"\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(tmp_path)
    started = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with workspace.database.write() as connection:
        for letter in "ab":
            store.insert_run(connection, NewRun(id=letter * 32, name="r", started_at=started), "0")
    yield workspace
    workspace.close()


@pytest.fixture
def catalog(opened: Workspace) -> Catalog:
    """A catalogue that has one model: ``wine``."""
    made = Catalog(opened)
    made.create_model("wine")
    return made
