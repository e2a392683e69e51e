"""Trains the model that is served, and saves it as a server wants it. Usage: ``export_model.py FORM FOLDER``.

The same rows and settings everywhere: gradient boosting, 100 trees, 30 numbers a row.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

FEATURES = [f"feature_{i:02d}" for i in range(30)]


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 30)).astype(np.float32)
    return x, x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=4000) > 0


def fitted(seed: int = 0):
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=100, subsample=0.9, random_state=seed).fit(*rows())


def treadle(folder: Path) -> None:
    """Two versions, to swap between."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline

    x, y = rows()
    for version in (1, 2):
        target = folder / str(version)
        target.mkdir()
        columns = ColumnTransformer([("all", "passthrough", list(range(30)))]).fit(x, y)
        model = make_pipeline(columns, fitted(version))
        inputs = [(name, FloatTensorType([None, 1])) for name in FEATURES]
        exported = to_onnx(model, initial_types=inputs, options={id(model): {"zipmap": False}})
        (target / "model.onnx").write_bytes(exported.SerializeToString())
        fields = [{"name": name, "kind": "float"} for name in FEATURES]
        (target / "signature.json").write_text(json.dumps({"inputs": fields, "output": "probability"}))
        example = {name: x[:3, i].tolist() for i, name in enumerate(FEATURES)}
        (target / "example.json").write_text(json.dumps(example))


def joblib(folder: Path) -> None:
    import joblib

    joblib.dump(fitted(), folder / "model.joblib")


def mlserver(folder: Path) -> None:
    joblib(folder)
    settings = {
        "name": "bench",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib"},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))


def mlflow(folder: Path) -> None:
    import mlflow.sklearn

    mlflow.sklearn.save_model(fitted(), str(folder / "model"), serialization_format="cloudpickle")


globals()[sys.argv[1]](Path(sys.argv[2]))
