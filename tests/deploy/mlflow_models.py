"""Models as MLflow's client writes them: scikit-learn's, and ones whose code is a user's own."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = pd.DataFrame({"hour": [1.0, 5.5, 9.25, 20.0], "stops": [0, 1, 2, 1]})
LABELS = [0, 0, 1, 1]


def fitted() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)


def save_sklearn(folder: Path, **more: Any) -> Path:
    """A classifier that is asked for probabilities."""
    model = fitted()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = {
            "signature": mlflow.models.infer_signature(ROWS, model.predict_proba(ROWS)),
            "input_example": ROWS,
            "pip_requirements": ["scikit-learn"],
            "serialization_format": "cloudpickle",
            "pyfunc_predict_fn": "predict_proba",
        }
        mlflow.sklearn.save_model(model, str(folder), **(known | more))
    return folder


def save_custom(folder: Path, **more: Any) -> Path:
    """A model of a user's own: twice the hour and a text's length; certain hours do harm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hints come as warnings, from the class statement too

        class Custom(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
                hours = set(model_input["hour"])
                if -1.0 in hours:
                    raise ValueError("no such hour")
                if -2.0 in hours:
                    os.kill(os.getpid(), signal.SIGSEGV)
                if -3.0 in hours:
                    time.sleep(60)
                if -4.0 in hours:
                    return ["late"] * len(model_input)
                if -5.0 in hours:
                    return [1.0]
                return model_input["hour"] * 2 + model_input["name"].fillna("").str.len()

        example = pd.DataFrame({"hour": [1.0, 2.0], "name": ["ab", None]})
        known = {
            "python_model": Custom(),
            "signature": mlflow.models.infer_signature(example, pd.Series([1.0, 2.0])),
            "input_example": example,
            "pip_requirements": ["pandas"],
        }
        mlflow.pyfunc.save_model(str(folder), **(known | more))
    return folder
