"""A model loads only if it proves itself; a request is answered or refused by column."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from treadle.kernel.errors import InvalidInput, ModelInvalid
from treadle.registry import LoadedModel

ROWS = {"hour": [1.0, 2], "carrier": ["AA", "zz"], "stops": [0, 1], "weekend": [True, False]}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def test_predicts_what_the_graph_computes(make_model):
    model = LoadedModel.load(make_model())
    assert model.signature.output == "probability"
    scores = model.predict(ROWS)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, sigmoid([1 + 0.5 + 0 + 1, 2 + 0 + 1 + 0]), rtol=1e-6)


def test_lists_tuples_and_arrays_mean_the_same(make_model):
    model = LoadedModel.load(make_model())
    expected = model.predict(ROWS)
    for kind in (tuple, np.array, lambda v: np.array(v, object), lambda v: [np.array(v)[0], np.array(v)[1]]):
        np.testing.assert_array_equal(model.predict({n: kind(v) for n, v in ROWS.items()}), expected)


def test_missing_numbers_are_nan_and_missing_texts_empty(make_model):
    model = LoadedModel.load(make_model())
    assert np.isnan(model.predict(ROWS | {"hour": [None, 2]})).tolist() == [True, False]
    empty = model.predict(ROWS | {"carrier": ["", ""]})
    np.testing.assert_array_equal(model.predict(ROWS | {"carrier": [None, ""]}), empty)
    masked = ROWS | {
        "hour": np.ma.array([1, 2], mask=[True, False]),
        "carrier": np.ma.array(["AA", "AA"], dtype=object, mask=True),
    }
    np.testing.assert_array_equal(
        model.predict(masked), model.predict(masked | {"hour": [None, 2], "carrier": ["", ""]})
    )


def test_no_rows_are_no_predictions(make_model):
    assert LoadedModel.load(make_model()).predict({name: [] for name in ROWS}).shape == (0,)


def test_a_value_model_gives_its_value(make_model):
    model = LoadedModel.load(make_model(output="value", scale=10.0))
    np.testing.assert_allclose(model.predict(ROWS), [25, 30])


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("hour", ["1", 2], "row 0 is '1'"),
        ("hour", [1e39, 1], "too large"),
        ("hour", [10**400, 1], "too large"),
        ("hour", np.array([1e39, 1]), "too large"),
        ("hour", np.array(["1", "2"]), "takes a number"),
        ("hour", np.array([[1.0], [2.0]]), "one dimension"),
        ("hour", 3.0, "list of values"),
        ("hour", [1, 2, 3], "rows"),
        ("carrier", "AA", "list of values"),
        ("carrier", ["AA", 3], "row 1 is 3"),
        ("carrier", [b"AA", "B6"], "row 0 is b'AA'"),
        ("carrier", ["\ud800", "AA"], "Unicode"),
        ("stops", [1, None], "row 1 is missing"),
        ("stops", [1, 2.0], "row 1 is 2.0"),
        ("stops", [1, True], "row 1 is True"),
        ("stops", [1, 2**63], "too large"),
        ("stops", np.array([1, 2**63], np.uint64), "too large"),
        ("stops", np.ma.array([1, 2], mask=[False, True]), "row 1 is missing"),
        ("weekend", [1, 0], "row 0 is 1"),
        ("weekend", [None, True], "row 0 is missing"),
    ],
)
def test_a_wrong_column_is_refused_by_name(make_model, column, values, says):
    model = LoadedModel.load(make_model())
    with pytest.raises(InvalidInput, match=says) as caught:
        model.predict(ROWS | {column: values})
    # Lengths are compared with the columns before, so the error may name the next column.
    assert caught.value.where == f"column {column!r}" or says == "rows"


def test_missing_and_unknown_columns_are_named(make_model):
    model = LoadedModel.load(make_model())
    without = {name: values for name, values in ROWS.items() if name != "carrier"}
    with pytest.raises(InvalidInput, match="'carrier'") as caught:
        model.predict(without | {"carier": ["AA", "AA"]})
    assert "does not know carier" in str(caught.value)
    with pytest.raises(InvalidInput, match="no such column") as caught:
        model.predict(ROWS | {"hours": [1, 2]})
    assert caught.value.where == "column 'hours'"
    assert "hour" in str(caught.value.fix)


@pytest.mark.parametrize("name", ["model.onnx", "signature.json", "example.json"])
@pytest.mark.parametrize("damage", ["gone", "garbage", "empty"])
def test_a_missing_or_broken_file_is_refused(make_model, name, damage):
    path = make_model() / name
    path.unlink()
    if damage != "gone":
        path.write_bytes(b"\x00\xffgarbage" if damage == "garbage" else b"")
    with pytest.raises(ModelInvalid) as caught:
        LoadedModel.load(path.parent)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"signature": {"hour": "float", "carrier": "string", "stops": "int"}}, "differ in: weekend"),
        (
            {"signature": {"hour": "float", "carrier": "string", "stops": "float", "weekend": "bool"}},
            "'stops'",
        ),
        ({"rows": 3}, "shape"),
        ({"output": "value", "probabilities": True}, "shape"),
        ({"scale": float("nan")}, "nan to row 0"),
        ({"output": "value", "scale": float("inf")}, "inf to row 0"),
        ({"output": "probability", "probabilities": False}, "2.5 to row 0"),
        ({"example": {"hour": [1.0]}}, "fails on its own example"),
        ({"example": {name: [] for name in ROWS}}, "no rows"),
        ({"example": {name: [values[0], None] for name, values in ROWS.items()}}, "fails on its own example"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(make_model, change, says):
    with pytest.raises(ModelInvalid, match=says):
        LoadedModel.load(make_model(**change))


def test_a_model_whose_rows_depend_on_each_other_is_refused(make_model):
    folder = make_model(columns={"x": "float"}, example={"x": [1.0, 2.0, 3.0]}, output="value")
    body = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["m"], keepdims=1),
            helper.make_node("Sub", ["x", "m"], ["y"]),
        ],
        "centred",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
    )
    onnx.save(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        folder / "model.onnx",
    )
    with pytest.raises(ModelInvalid, match="alone"):
        LoadedModel.load(folder)


def test_two_real_outputs_are_ambiguous(make_model):
    folder = make_model(columns={"x": "float"}, example={"x": [1.0]}, output="value")
    body = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Abs", ["x"], ["b"])],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in "ab"],
    )
    onnx.save(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        folder / "model.onnx",
    )
    with pytest.raises(ModelInvalid, match="2 outputs"):
        LoadedModel.load(folder)


def test_loading_costs_no_platform(make_model):
    script = (
        "import sys, pathlib; from treadle.registry import LoadedModel; "
        f"LoadedModel.load(pathlib.Path({str(make_model())!r})); "
        "heavy = {'sqlalchemy', 'blake3', 'duckdb', 'obstore', 'scipy', 'deltalake', 'starlette'}; "
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
    assert done.stderr == ""


def test_a_scikit_learn_model_predicts_the_same_as_onnx(make_model):
    """Trees on numbers (missing ones too) and one-hot text, exported with one input a column."""
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(7)
    hour = rng.uniform(0, 24, 500).astype(np.float32)
    hour[rng.random(500) < 0.1] = np.nan
    frame = pd.DataFrame({"hour": hour, "carrier": rng.choice(["AA", "B6", "UA"], 500).astype(object)})
    late = (np.nan_to_num(frame["hour"], nan=12) / 24 + (frame["carrier"] == "AA") + rng.normal(size=500)) > 1
    encode = ColumnTransformer(
        [("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["carrier"])],
        remainder="passthrough",
    )
    trees = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    pipeline = make_pipeline(encode, trees).fit(frame[["carrier", "hour"]], late)
    types = [("carrier", StringTensorType([None, 1])), ("hour", FloatTensorType([None, 1]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own, about NumPy
        exported = to_onnx(pipeline, initial_types=types, options={"zipmap": False})

    kinds = {"carrier": "string", "hour": "float"}
    folder = make_model(columns=kinds, example={"carrier": ["AA", "B6"], "hour": [1.0, None]})
    (folder / "model.onnx").write_bytes(exported.SerializeToString())
    model = LoadedModel.load(folder)
    columns = {name: frame[name].to_numpy() for name in kinds}
    expected = pipeline.predict_proba(frame[["carrier", "hour"]])[:, 1]
    np.testing.assert_allclose(model.predict(columns), expected, atol=1e-6)
    assert np.std(expected) > 0.05
    unseen = model.predict({"carrier": ["never seen"], "hour": [3]})
    assert unseen == pytest.approx(
        pipeline.predict_proba(pd.DataFrame({"carrier": ["never seen"], "hour": [3.0]}))[:, 1], abs=1e-6
    )
