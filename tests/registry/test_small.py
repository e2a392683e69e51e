"""The quick way to ask a model for some rows answers as the usual one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from treadle.kernel.errors import ModelInvalid
from treadle.registry import LoadedModel

TYPES = {"float": TensorProto.FLOAT, "int": TensorProto.INT64, "bool": TensorProto.BOOL}
VALUES = {
    "float": st.none() | st.floats(-1e3, 1e3, width=32),
    "int": st.integers(-(2**20), 2**20),
    "bool": st.booleans(),
}


def write(folder: Path, kinds: list[str], width: int, double: bool = False) -> Path:
    """A model that weighs its columns: the n-th counts n + 1."""
    out = TensorProto.DOUBLE if double else TensorProto.FLOAT
    nodes = [helper.make_node("Cast", [f"c{i}"], [f"f{i}"], to=out) for i in range(len(kinds))]
    nodes += [helper.make_node("Mul", [f"f{i}", f"w{i}"], [f"m{i}"]) for i in range(len(kinds))]
    total = "sum" if width != 1 else "value"
    nodes.append(helper.make_node("Sum", [f"m{i}" for i in range(len(kinds))], [total]))
    if width == 0:
        nodes.append(helper.make_node("Squeeze", ["sum", "axis"], ["value"]))
    body = helper.make_graph(
        nodes,
        "weighed",
        [helper.make_tensor_value_info(f"c{i}", TYPES[kind], ["N", 1]) for i, kind in enumerate(kinds)],
        [helper.make_tensor_value_info("value", out, ["N"] if width == 0 else ["N", 1])],
        [helper.make_tensor(f"w{i}", out, [1], [i + 1.0]) for i in range(len(kinds))]
        + [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    folder.mkdir()
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, folder / "model.onnx")
    fields = [{"name": f"c{i}", "kind": kind} for i, kind in enumerate(kinds)]
    (folder / "signature.json").write_text(json.dumps({"inputs": fields, "output": "value"}))
    examples = {"float": [1.5, 2.5], "int": [3, -4], "bool": [True, False]}
    (folder / "example.json").write_text(json.dumps({f"c{i}": examples[k] for i, k in enumerate(kinds)}))
    return folder


@pytest.mark.parametrize(
    ("kinds", "width", "double"),
    [
        (["float"] * 5, 1, False),
        (["float"] * 3, 0, False),
        (["bool", "float", "int", "float", "int"], 1, False),
        (["int", "float"], 1, True),
    ],
)
def test_it_answers_as_the_usual_way(tmp_path, kinds, width, double):
    model = LoadedModel.load(write(tmp_path / "model", kinds, width, double))
    small = model.small_batches()
    assert small is not None

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(*(VALUES[kind] for kind in kinds)), min_size=1, max_size=9))
    def agree(rows):
        columns = {f"c{i}": list(column) for i, column in enumerate(zip(*rows, strict=True))}
        np.testing.assert_array_equal(small.predict([list(row) for row in rows]), model.predict(columns))

    agree()


def test_text_goes_the_usual_way(tmp_path):
    sys.path.insert(0, str(Path(__file__).parents[1] / "deploy"))
    from replica_parts import write_model

    assert LoadedModel.load(write_model(tmp_path / "model")).small_batches() is None


def test_a_model_that_fails_says_so(tmp_path):
    small = LoadedModel.load(write(tmp_path / "model", ["float", "float"], 1)).small_batches()
    small._bind(2)[0].clear_binding_inputs()
    with pytest.raises(ModelInvalid, match="failed on this input"):
        small.predict([[1.0, 2.0], [3.0, 4.0]])


def test_it_keeps_room_for_so_many_values(tmp_path):
    model = LoadedModel.load(write(tmp_path / "model", ["float"] * 4, 1))
    small = model.small_batches()
    assert small.takes(1 << 15)
    assert not small.takes((1 << 15) + 1)
    for count in [*range(1, 40), 20_000, 30_000, 25_000, 20_000, 3]:
        table = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
        wanted = model.predict({f"c{i}": table[:, i] for i in range(4)})
        np.testing.assert_array_equal(small.predict_table(table), wanted)
        assert sum(small._bound) * 4 == small._held <= 1 << 18
