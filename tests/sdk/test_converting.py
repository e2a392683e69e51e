"""XGBoost, LightGBM and PyTorch become ONNX that answers as they do; what doesn't is refused by its row."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

from treadle.kernel.errors import InvalidInput, MissingExtra, ModelInvalid
from treadle.registry import LoadedModel
from treadle.sdk import converting
from treadle.sdk.writing import _compare, write_model

pytest.importorskip(
    "onnxmltools", reason="XGBoost and LightGBM are converted by onnxmltools: requirements/dev.in"
)

NUMBERS = ["hour", "temp", "holiday"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 300
    frame = pd.DataFrame(
        {
            "hour": rng.integers(0, 24, n),
            "temp": rng.normal(40, 10, n),
            "holiday": rng.random(n) < 0.2,
            "carrier": rng.choice(["AA", "B6"], n),
        }
    )
    frame.loc[::9, "temp"] = np.nan
    frame["late"] = (frame.hour / 24 + rng.normal(0, 0.3, n) + 0.3 * frame.holiday > 0.6).astype(int)
    return frame


def estimator(library: str, kind: str):
    module = pytest.importorskip(library, reason=f"{library} isn't installed: requirements/dev.in")
    prefix, more = ("XGB", {}) if library == "xgboost" else ("LGBM", {"verbose": -1})
    return getattr(module, prefix + kind)(n_estimators=8, n_jobs=1, **more)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_boosted_trees_convert_and_answer_alike_also_where_values_are_missing(rows, tmp_path, library, kind):
    model = estimator(library, kind).fit(rows[NUMBERS], rows.late)
    write_model(model, rows[NUMBERS], None, tmp_path / "model")
    loaded = LoadedModel.load(tmp_path / "model")
    assert loaded.signature.output == ("probability" if kind == "Classifier" else "value")
    fresh = rows[NUMBERS].astype(float)
    fresh = fresh.mask(np.random.default_rng(1).random(fresh.shape) < 0.3)
    expected = model.predict_proba(fresh)[:, 1] if kind == "Classifier" else model.predict(fresh)
    found = loaded.predict({name: column.to_numpy() for name, column in fresh.items()})
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosted_trees_convert_within_a_pipeline(rows, tmp_path, library):
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["carrier"]), ("passthrough", ["hour"])
    )
    features = rows[["carrier", "hour"]]
    with warnings.catch_warnings():
        # scikit-learn 1.9 asks LightGBM's estimators for names that a pipeline doesn't pass on.
        warnings.simplefilter("ignore", UserWarning)
        model = make_pipeline(encode, estimator(library, "Classifier")).fit(features, rows.late)
        write_model(model, features, "binary", tmp_path / "model")
        expected = model.predict_proba(features)[:, 1]
    found = LoadedModel.load(tmp_path / "model").predict(
        {"carrier": list(features.carrier), "hour": [float(hour) for hour in features.hour]}
    )
    assert found == pytest.approx(expected, abs=1e-6)


def test_what_32_bit_floats_cannot_tell_apart_is_refused_by_the_worst_row(rows, tmp_path):
    big = pd.DataFrame({"count": 2.0**24 + np.arange(len(rows)) % 2})
    model = estimator("lightgbm", "Regressor").fit(big, np.arange(len(rows)) % 2)
    with pytest.raises(ModelInvalid, match=r"row \d+ of the example: converted, the model answers"):
        write_model(model, big, None, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_worst_row_is_named_also_where_only_the_label_differs():
    before = np.array([0.2, 0.499951, 0.49998, 0.9])
    with pytest.raises(
        ModelInvalid, match=r"row 2 of the example: .* answers 0.50004; .*0.49998: the other label"
    ):
        _compare(np.array([0.2, 0.49999, 0.50004, 0.9]), before, "probability")
    _compare(np.array([0.2, 0.49999, 0.50004, 0.9]), before, "value")
    _compare(np.array([0.5000004]), np.array([0.4999998]), "probability")
    with pytest.raises(ModelInvalid, match="row 1 of the example"):
        _compare(np.array([0.2, np.nan]), np.array([0.2, 0.3]), "value")


def test_what_converters_do_not_know_and_what_is_not_installed(rows, tmp_path, monkeypatch):
    model = estimator("xgboost", "Classifier").set_params(booster="gblinear", updater="coord_descent")
    model.fit(rows[NUMBERS].fillna(0), rows.late)
    with pytest.raises(ModelInvalid, match="XGBClassifier: the model can't be converted to ONNX"):
        write_model(model, rows[NUMBERS].fillna(0), None, tmp_path / "model")
    booster = estimator("xgboost", "Classifier").fit(rows[NUMBERS], rows.late).get_booster()
    with pytest.raises(InvalidInput, match="XGBClassifier"):
        write_model(booster, rows[NUMBERS], None, tmp_path / "model")
    monkeypatch.setattr(converting, "find_spec", lambda name: None if name == "onnxmltools" else object())
    with pytest.raises(MissingExtra, match=r"pip install 'treadle\[trees\]'"):
        write_model(
            estimator("lightgbm", "Regressor").fit(rows[NUMBERS], rows.late),
            rows[NUMBERS],
            None,
            tmp_path / "m",
        )


def test_a_pytorch_module_is_exported_as_it_is_for_inference(rows, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed: it is too large for every change")
    pytest.importorskip("onnxscript", reason="PyTorch exports by onnxscript, which isn't installed")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(2, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Dropout(),
        torch.nn.Linear(8, 1),
        torch.nn.Sigmoid(),
    )
    features = rows[["hour", "holiday"]]
    write_model(net, features, "binary", tmp_path / "model")
    assert net.training
    loaded = LoadedModel.load(tmp_path / "model")
    assert loaded.signature.output == "probability"
    with torch.no_grad():
        expected = net.eval()(torch.tensor(features.to_numpy(np.float32)))[:, 0].numpy()
    found = loaded.predict({name: column.to_numpy() for name, column in features.items()})
    assert found == pytest.approx(expected, abs=1e-6)
    for message, model, example in (
        ("takes numbers only", net, rows[["hour", "carrier"]]),
        ("fails on its own example", net, rows[["hour"]]),
        (r"shape \[300, 3\]", torch.nn.Linear(2, 3), features),
        ("is no probability", torch.nn.Linear(2, 1), features * 100),
    ):
        with pytest.raises((InvalidInput, ModelInvalid), match=message):
            write_model(model, example, "binary", tmp_path / "other")
