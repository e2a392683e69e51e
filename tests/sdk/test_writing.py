from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import treadle
from treadle.experiment import RunFolder
from treadle.kernel.errors import InvalidInput, MissingExtra, ModelInvalid
from treadle.registry import LoadedModel, Signature
from treadle.sdk import converting
from treadle.sdk.writing import write_model


class Doubling(RegressorMixin, BaseEstimator):
    """A model that no converter knows."""

    def predict(self, X):  # noqa: N803 - scikit-learn's name
        return np.asarray(X)[:, 0] * 2.0


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Many tests share few cores: OpenMP's threads would spin for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 600
    frame = pd.DataFrame(
        {
            "hour": rng.integers(0, 24, n),
            "temp": rng.normal(40, 10, n).round(2),
            "carrier": rng.choice(["AA", "B6", "UA"], n),
            "holiday": rng.random(n) < 0.1,
        }
    )
    frame.loc[::13, "temp"] = np.nan
    frame["late"] = rng.random(n) < 1 / (1 + np.exp(-(frame.hour - 12) / 5))
    return frame


FEATURES = ["hour", "temp", "carrier", "holiday"]


@pytest.fixture(scope="module")
def boosted(rows: pd.DataFrame):
    encode = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["carrier"]),
        remainder="passthrough",
    )
    return make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5)).fit(rows[FEATURES], rows.late)


def columns(frame: pd.DataFrame) -> dict[str, list]:
    return {
        name: [
            None if pd.isna(v) else (float(v) if isinstance(v, (bool, int)) else v)
            for v in column.astype(object)
        ]
        for name, column in frame.items()
    }


def test_a_pipeline_is_logged_as_what_is_served(client, workspace, rows, boosted):
    model = boosted
    with treadle.start_run() as run:
        run.log_model(model, rows[FEATURES])
    kept = {a.path: a for a in client.experiments.artifacts(run.id) if a.path.startswith("model/")}
    assert sorted(kept) == ["model/example.json", "model/model.onnx", "model/signature.json"]
    folder = RunFolder(Path.cwd() / ".treadle" / "runs" / run.id).files
    for path, artifact in kept.items():
        assert workspace.blobs.get(artifact.digest) == (folder / path).read_bytes()
    assert sorted(p.name for p in folder.iterdir() if p.name != "provenance") == ["model"]
    signature = msgspec.json.decode((folder / "model/signature.json").read_bytes(), type=Signature)
    assert [(f.name, f.kind) for f in signature.inputs] == [
        ("hour", "float"),
        ("temp", "float"),
        ("carrier", "string"),
        ("holiday", "float"),
    ]
    assert signature.output == "probability"
    example = msgspec.json.decode((folder / "model/example.json").read_bytes())
    assert example == {name: values[:100] for name, values in columns(rows[FEATURES]).items()}
    loaded = LoadedModel.load(folder / "model")
    assert (
        np.abs(loaded.predict(columns(rows[FEATURES])) - model.predict_proba(rows[FEATURES])[:, 1]).max()
        < 1e-5
    )
    unseen = rows[FEATURES].head(1).assign(carrier="ZZ")
    assert loaded.predict(columns(unseen))[0] == pytest.approx(model.predict_proba(unseen)[0, 1], abs=1e-5)


def test_the_same_model_is_the_same_bytes(rows, boosted, tmp_path):
    for name in ("a", "b"):
        write_model(boosted, rows[FEATURES], "binary", tmp_path / name)
    assert (tmp_path / "a/model.onnx").read_bytes() == (tmp_path / "b/model.onnx").read_bytes()


NUMBERS = ["hour", "temp", "holiday"]


@pytest.mark.parametrize(
    ("make", "features", "output"),
    [
        (lambda: HistGradientBoostingClassifier(max_iter=5), NUMBERS, "probability"),
        (lambda: HistGradientBoostingRegressor(max_iter=5), NUMBERS, "value"),
        (LogisticRegression, ["hour"], "probability"),
        (lambda: make_pipeline(StandardScaler(), LogisticRegression()), ["hour", "holiday"], "probability"),
        (LinearRegression, ["hour", "holiday"], "value"),
        (
            lambda: make_pipeline(
                make_column_transformer(
                    (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), ("passthrough", ["hour"])
                ),
                LogisticRegression(),
            ),
            ["carrier", "hour"],
            "probability",
        ),
    ],
)
def test_estimators_of_many_kinds_convert(rows, tmp_path, make, features, output):
    model = make().fit(rows[features], rows.late)
    files = write_model(model, rows[features], None, tmp_path / "model")
    assert [file.name for file in files] == ["example.json", "model.onnx", "signature.json"]
    loaded = LoadedModel.load(tmp_path / "model")
    assert loaded.signature.output == output
    expected = (
        model.predict_proba(rows[features])[:, 1]
        if output == "probability"
        else model.predict(rows[features])
    )
    assert loaded.predict(columns(rows[features])) == pytest.approx(expected, abs=1e-4)


def test_large_values_are_compared_by_their_size(rows, tmp_path):
    model = LinearRegression().fit(rows[["hour"]], rows.hour * 1e6 + 1e7)
    write_model(model, rows[["hour"]], "regression", tmp_path / "model")


def test_a_conversion_that_answers_differently_is_refused_and_nothing_stays(rows, boosted, tmp_path):
    codes = rows[["carrier", "hour"]].assign(carrier=rows.carrier.astype("category").cat.codes * 1.0)
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]).fit(
        codes, rows.late ^ (codes.carrier == 1)
    )
    kept = write_model(boosted, rows[FEATURES], "binary", tmp_path / "model")
    before = [file.read_bytes() for file in kept]
    with pytest.raises(ModelInvalid, match=r"row \d+ of the example: converted, the model answers 0\.\d+"):
        write_model(model, codes, "binary", tmp_path / "model")
    assert [file.read_bytes() for file in kept] == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_models_that_cannot_be_logged(rows, tmp_path):
    some = rows[["hour"]]

    def write(model, example, task=None):
        return write_model(model, example, task, tmp_path / "model")

    fitted = LogisticRegression().fit(some, rows.late)
    timed = some.assign(at=pd.Timestamp("2026-01-01"))
    pick = make_column_transformer(("passthrough", ["hour"]))
    dated = make_pipeline(pick, LogisticRegression()).fit(timed, rows.late)
    three = LogisticRegression().fit(some, rows.hour % 3)
    for error, message, call in (
        (InvalidInput, "is no model", lambda: write(object(), some)),
        (InvalidInput, "more than two classes", lambda: write(three, some)),
        (InvalidInput, "task is regression", lambda: write(fitted, some, "regression")),
        (
            InvalidInput,
            "task is binary",
            lambda: write(LinearRegression().fit(some, rows.late), some, "binary"),
        ),
        (InvalidInput, "names no columns", lambda: write(fitted, some.to_numpy())),
        (InvalidInput, "pandas DataFrame", lambda: write(fitted, {"hour": [1]})),
        (InvalidInput, "at least one row", lambda: write(fitted, some.head(0))),
        (
            InvalidInput,
            "column 'at'.*Timestamp",
            lambda: write(dated, timed),
        ),
        (ModelInvalid, "can't be converted", lambda: write(Doubling(), some)),
        (ModelInvalid, "fails on its own example.*not fitted", lambda: write(LogisticRegression(), some)),
        (ModelInvalid, "not a model", lambda: write(tmp_path / "gone.onnx", some)),
    ):
        with pytest.raises(error, match=message):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_taken_as_it_is_when_it_answers(rows, boosted, tmp_path):
    write_model(boosted, rows[FEATURES], "binary", tmp_path / "made")
    file = tmp_path / "made" / "model.onnx"
    example = columns(rows[FEATURES].head(150))
    write_model(str(file), example, "binary", tmp_path / "a")
    write_model(file, rows[FEATURES], None, tmp_path / "b")
    for name in ("a", "b"):
        assert (tmp_path / name / "model.onnx").read_bytes() == file.read_bytes()
        assert LoadedModel.load(tmp_path / name).signature == LoadedModel.load(tmp_path / "made").signature
    assert len(msgspec.json.decode((tmp_path / "a/example.json").read_bytes())["hour"]) == 100
    with pytest.raises((InvalidInput, ModelInvalid), match="carrier"):
        write_model(file, {**example, "carrier": [1.0] * 150}, "binary", tmp_path / "c")
    with pytest.raises((InvalidInput, ModelInvalid), match="wind"):
        write_model(file, {**example, "wind": [1.0] * 150}, "binary", tmp_path / "c")
    missing = {name: [math.nan if v is None else v for v in values] for name, values in example.items()}
    write_model(file, missing, "binary", tmp_path / "d")
    assert (tmp_path / "d/example.json").read_bytes() == (tmp_path / "a/example.json").read_bytes()


def test_a_missing_converter_is_answered_with_its_install_line(client, rows, monkeypatch):
    monkeypatch.setattr(converting, "find_spec", lambda name: None if name == "skl2onnx" else object())
    with treadle.start_run() as run, pytest.raises(MissingExtra, match=r"pip install 'treadle\[sklearn\]'"):
        run.log_model(LogisticRegression().fit(rows[["hour"]], rows.late), rows[["hour"]])
    assert not [a for a in client.experiments.artifacts(run.id) if a.path.startswith("model/")]
