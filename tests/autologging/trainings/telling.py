"""What a training tells of itself: everything that the server keeps of its run, as one line of JSON."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from typing import Any

import mlflow
from mlflow import MlflowClient

heard: list[str] = []


class Listener(logging.Handler):
    """Notes what MLflow warns of: an autologger that fails says so and goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        heard.append(f"{record.name}: {record.getMessage()}")


logging.getLogger("mlflow").addHandler(Listener(logging.WARNING))
warnings.simplefilter("ignore")


def run(run_id: str) -> dict[str, Any]:
    """All of a run."""
    client = MlflowClient()
    found = client.get_run(run_id)
    curves = {name: client.get_metric_history(run_id, name) for name in found.data.metrics}
    return {
        "status": found.info.status,
        "ended": (found.info.end_time or 0) >= found.info.start_time,
        "params": found.data.params,
        "metrics": {n: v for n, v in found.data.metrics.items() if not n.startswith("system/")},
        "curves": {n: [[p.step, p.value] for p in points] for n, points in curves.items()},
        "tags": sorted(found.data.tags),
        "files": files(run_id),
        "inputs": [[i.dataset.name, [t.value for t in i.tags]] for i in found.inputs.dataset_inputs],
        "models": sorted(
            (model(one.model_id) for one in found.outputs.model_outputs), key=lambda one: one["name"]
        ),
    }


def model(model_id: str) -> dict[str, Any]:
    """All of a logged model."""
    found = mlflow.get_logged_model(model_id)
    return {
        "id": found.model_id,
        "name": found.name,
        "status": found.status.name,
        "metrics": sorted(one.key for one in found.metrics or []),
        "params": found.params,
        "tags": sorted(found.tags),
        "files": sorted(one.path for one in MlflowClient().list_logged_model_artifacts(found.model_id)),
    }


def files(run_id: str, folder: str = "") -> list[str]:
    """The paths of a run's files."""
    found = []
    for one in MlflowClient().list_artifacts(run_id, folder):
        found += files(run_id, one.path) if one.is_dir else [one.path]
    return sorted(found)


def tell(**found: Any) -> None:
    """The last line of a training."""
    sys.stdout.write("\n" + json.dumps({**found, "warnings": heard}) + "\n")
