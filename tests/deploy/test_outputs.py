"""Models that give other than a number a row: several columns, class probabilities, texts."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mlflow", reason="mlflow-skinny, which writes these models, isn't installed")

import mlflow
import numpy as np
import pandas as pd
from msgspec import convert
from msgspec.structs import asdict, replace
from replica_parts import HTTP, FolderPlatform, options, post, running, tensor
from tritonclient.grpc import InferenceServerClient as Grpc
from tritonclient.grpc import InferInput as GrpcInput
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from treadle.deploy.replica.protocol import metadata
from treadle.deploy.worker import ForeignModel, Table, process
from treadle.deploy.worker.child import _Column, _Head, _table
from treadle.kernel.errors import ModelInvalid
from treadle.registry import Field, Output, Signature, read_mlmodel

EXAMPLE = pd.DataFrame({"hour": [1.0, 9.5, 20.0]})
GIVEN = pd.DataFrame(
    {
        "label": ["early", "late", "late"],
        "score": [0.5, 4.75, 10.0],
        "rank": [1, 9, 20],
        "sure": [False, True, True],
    }
)
HOURS = tensor("hour", "FP64", [1.0, 9.5, 20.0])


def save(folder: Path, predict: Any, outputs: Any, **more: Any) -> Path:
    """A model whose code is a user's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hints come as warnings, from the class statement too

        class Custom(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
                return predict(model_input["hour"])

        known = {"input_example": EXAMPLE, "pip_requirements": ["pandas"], "python_model": Custom()}
        signature = mlflow.models.infer_signature(EXAMPLE, outputs)
        mlflow.pyfunc.save_model(str(folder), signature=signature, **(known | more))
    return folder


def made() -> Any:
    """A function that pickles by its code: what a model's process can't import goes along."""

    def several(hours):  # type: ignore[no-untyped-def]
        """All columns, in the form that the first hour asks for; negative ones contradict the signature."""
        frame = pd.DataFrame(
            {
                "rank": hours.astype("int64"),
                "score": hours / 2,
                "label": ["late" if hour > 9 else "early" for hour in hours],
                "sure": hours > 9,
                "more": 1.0,
            }
        )
        form = int(hours.iloc[0])
        if form == -1:
            return frame.drop(columns="score")
        if form == -2:
            return frame.assign(label=5)
        if form == -3:
            return frame.assign(score=float("nan"))
        if form == -4:
            return frame.assign(rank=0.5)
        if form == -5:
            return frame.iloc[1:]
        if form == 2:
            return frame.to_dict("records")
        if form == 3:
            return {name: frame[name].to_numpy() for name in frame}
        return frame

    return several


several = made()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("several") / "model", several, GIVEN)


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    state = tmp_path_factory.mktemp("state")
    platform = FolderPlatform(folder)
    with running(options(state / "state", environments="local", grpc_port=0), platform) as found:
        yield SimpleNamespace(url=found.url, grpc=found.grpc_port, platform=platform, fleet=found.fleet)


def test_each_column_is_an_output(server):
    described = HTTP.request("GET", f"{server.url}/v2/models/toy").json()
    assert [(one["name"], one["datatype"]) for one in described["outputs"]] == [
        ("label", "BYTES"),
        ("score", "FP64"),
        ("rank", "INT64"),
        ("sure", "BOOL"),
        ("prediction_id", "BYTES"),
    ]
    code, answer = post(server.url, {"inputs": [HOURS]})
    found = {one["name"]: one["data"] for one in answer["outputs"]}
    assert (code, list(found)) == (200, [*GIVEN, "prediction_id"])
    assert {name: found[name] for name in GIVEN} == GIVEN.to_dict("list")
    code, answer = post(server.url, {"inputs": [HOURS], "outputs": [{"name": "sure"}, {"name": "label"}]})
    assert [one["name"] for one in answer["outputs"]] == ["label", "sure"]
    code, answer = post(server.url, {"inputs": [HOURS], "outputs": [{"name": "value"}]})
    assert (code, answer["error"]) == (
        400,
        "the model gives no output 'value'; it gives label, score, rank, sure, prediction_id",
    )
    document = HTTP.request("GET", f"{server.url}/openapi.json").json()
    assert '"const":"rank"},"shape"' in json.dumps(document, separators=(",", ":"))


def test_clients_take_them_in_binary_and_over_grpc(server):
    hours = EXAMPLE["hour"].to_numpy()
    asked = InferInput("hour", [3], "FP64").set_data_from_numpy(hours)
    with InferenceServerClient(server.url.removeprefix("http://")) as client:
        for wanted in (None, [InferRequestedOutput(name, binary_data=name != "rank") for name in GIVEN]):
            answer = client.infer("toy", [asked], outputs=wanted)
            found = pd.DataFrame({name: answer.as_numpy(name) for name in GIVEN})
            assert found.map(lambda one: one.decode() if isinstance(one, bytes) else one).equals(GIVEN)
    with Grpc(f"127.0.0.1:{server.grpc}") as grpc:
        raw = GrpcInput("hour", [3], "FP64")
        raw.set_data_from_numpy(hours)
        answer = grpc.infer("toy", [raw])
        found = pd.DataFrame({name: answer.as_numpy(name) for name in GIVEN})
        assert found.map(lambda one: one.decode() if isinstance(one, bytes) else one).equals(GIVEN)


@pytest.mark.parametrize("first", [1.0, 2.0, 3.0])
def test_invocations_are_answered_in_the_form_that_the_model_gives(server, first):
    asked = {"dataframe_split": {"columns": ["hour"], "data": [[first], [9.5]]}}
    code, answer = post(server.url, asked, "/invocations")
    rows = several(pd.Series([1.0, 9.5])).assign(score=[first / 2, 4.75], rank=[int(first), 9])[list(GIVEN)]
    expected = rows.to_dict("list") if first == 3.0 else rows.to_dict("records")
    assert (code, answer) == (200, {"predictions": expected})


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (-1.0, "it answers without score, which its signature has"),
        (-2.0, "its output 'label', row 0 is 5 (int), which is no text as its signature says"),
        (-3.0, "its output 'score', row 0 is nan (float64), which is no float as its signature says"),
        (-4.0, "its output 'rank', row 0 is 0.5 (float64), which is no int as its signature says"),
        (-5.0, "its output 'label' has shape [1]; its signature has [2]"),
    ],
)
def test_an_answer_that_contradicts_the_signature_is_an_error_of_the_model(server, first, said):
    code, answer = post(server.url, {"inputs": [tensor("hour", "FP64", [first, 9.5])]})
    assert code == 500
    assert said in answer["error"]


def test_the_log_has_the_first_number(server):
    post(server.url, {"inputs": [HOURS, tensor("id", "BYTES", ["a", "b", "c"])]})
    HTTP.request("POST", f"{server.url}/treadle/flush")
    batch = server.platform.batches[-1]
    assert (batch.ids[-3:], batch.outputs[-3:]) == (["a", "b", "c"], [0.5, 4.75, 10.0])


def load(folder: Path, output: Path) -> ForeignModel:
    return ForeignModel.load(folder, Path(sys.executable), output, 20.0, local=True)


def answered(given: Any, *outputs: Output) -> Table:
    """What a model answered, on the way from its process."""
    told = [asdict(one) for one in outputs]
    form, columns, buffers = process.columns(given, told, len(given))
    head = _Head(form=form, columns=convert(columns, list[_Column]))
    return _table(head, buffers, len(given), Signature((Field("hour", "float"),), "value", outputs))


def test_class_probabilities_are_a_tensor():
    given = np.array([[0.25, 0.5, 0.25], [0.5, 0.0, 0.5]])
    found = answered(given, Output("probabilities", "float", 3))
    assert found.predictions() == given.tolist()
    assert found[1:].columns["probabilities"].tolist() == [[0.5, 0.0, 0.5]]
    assert (len(found[1:]), found.numbers.tolist()) == (1, [0.25, 0.5])
    described = metadata("toy", 1, found.signature, None, None)
    assert (described.outputs[0].name, described.outputs[0].shape) == ("probabilities", (-1, 3))
    with pytest.raises(ValueError, match=r"has shape \[2, 2\]; its signature has \[2, 3\]"):
        answered(given[:, :2], Output("probabilities", "float", 3))


def test_texts_are_answered_and_not_logged(tmp_path):
    def predict(hours):  # type: ignore[no-untyped-def]
        return ["late" if hour > 9 else "early" for hour in hours]

    folder = save(tmp_path / "model", predict, ["early", "late", "late"])
    platform = FolderPlatform(folder)
    with running(options(tmp_path / "state", environments="local"), platform) as server:
        code, answer = post(server.url, {"inputs": [HOURS]})
        assert (code, answer["outputs"][0]["data"]) == (200, ["early", "late", "late"])
        code, answer = post(server.url, {"instances": [1.0, 20.0]}, "/invocations")
        assert (code, answer) == (200, {"predictions": ["early", "late"]})
        HTTP.request("POST", f"{server.url}/treadle/flush")
    assert platform.batches == []


def test_a_missing_value_is_null_where_the_signature_allows_it():
    given = pd.DataFrame({"score": [np.nan, 20.0], "why": [None, "late"], "n": [1, 2]})
    outputs = (
        Output("score", "float", optional=True),
        Output("why", "string", optional=True),
        Output("n", "float"),
    )
    found = answered(given, *outputs)
    assert found.predictions() == [
        {"score": None, "why": None, "n": 1.0},
        {"score": 20.0, "why": "late", "n": 2.0},
    ]
    assert found.numbers.tolist() == [1.0, 2.0]  # what may be missing is nothing for the log
    for name in ("score", "why"):
        with pytest.raises((TypeError, ValueError), match=f"its output '{name}', row 0 is (nan|None)"):
            answered(given, *(replace(one, optional=one.name != name) for one in outputs))


def signature(outputs: Any, **flavor: str) -> Any:
    """What is read of a model with these outputs."""
    said = {
        "flavors": {"python_function": flavor or {"loader_module": "x"}},
        "signature": {
            "inputs": json.dumps([{"type": "double", "name": "hour"}]),
            "outputs": json.dumps(outputs),
        },
    }
    return read_mlmodel(json.dumps(said).encode())


DOUBLE = {"type": "double"}


def test_what_one_number_or_a_pair_of_probabilities_is():
    pair = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}
    number, text = {"type": "double", "name": "y"}, {"type": "string", "name": "z"}
    for outputs, flavor, output, names in (
        (None, {}, "value", ("value",)),
        ([number], {}, "value", ("value",)),
        ([number], {"predict_fn": "predict_proba"}, "probability", ("probability",)),
        ([pair], {}, "probability", ("probability",)),
        (
            [DOUBLE | {"name": "0"}, DOUBLE | {"name": "1"}],
            {},
            "probability",
            ("probability",),
        ),
        ([text], {}, "value", ("z",)),
        ([{"type": "string"}], {}, "value", ("predictions",)),
        ([number, text], {}, "value", ("y", "z")),
        ([text, {"type": "double", "name": "probability"}], {}, "probability", ("z", "probability")),
        ([number, {"type": "double", "name": "upper"}], {}, "value", ("y", "upper")),
    ):
        found = signature(outputs, **flavor).signature
        assert (found.output, found.gives) == (output, names)
    dates = signature([{"type": "datetime", "name": "when"}])
    assert dates.signature is None
    assert dates.problem.startswith("its output 'when' is \"datetime\"; served are boolean, ")
    images = signature([{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 8, 8]}}])
    assert "tensors [-1] and [-1, N]" in images.problem
    taken = signature([number, {"type": "string", "name": "prediction_id"}])
    assert "needs a name of its own" in taken.problem


def test_a_signature_that_the_model_does_not_keep_is_found_when_it_is_loaded(folder, tmp_path):
    def predict(hours):  # type: ignore[no-untyped-def]
        return pd.DataFrame({"probability": hours, "label": "x"})

    saved = save(tmp_path / "model", predict, predict(EXAMPLE["hour"]))
    with pytest.raises(
        ModelInvalid, match=r"answers 9\.5 to row 1 of its own example, which is no probability"
    ):
        load(saved, tmp_path / "log")
