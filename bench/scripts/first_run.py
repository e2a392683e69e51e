"""A first script: start a run, log a hundred values, end it. Usage: ``first_run.py TOOL``."""

from __future__ import annotations

import sys
from pathlib import Path

STEPS = 100


def treadle() -> None:
    import treadle

    with treadle.start_run() as run:
        for step in range(STEPS):
            run.log(loss=1 / (step + 1), step=step)


def mlflow() -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    with mlflow.start_run():
        for step in range(STEPS):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)


def mlflow_file() -> None:
    import os

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    import mlflow

    mlflow.set_tracking_uri(f"file://{Path.cwd()}/mlruns")
    with mlflow.start_run():
        for step in range(STEPS):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)


def wandb() -> None:
    import wandb

    with wandb.init(project="first", mode="offline") as run:
        for step in range(STEPS):
            run.log({"loss": 1 / (step + 1)}, step=step)


def trackio() -> None:
    import os

    os.environ["TRACKIO_DIR"] = str(Path.cwd() / "trackio")
    import trackio

    trackio.init(project="first", embed=False)
    for step in range(STEPS):
        trackio.log({"loss": 1 / (step + 1)}, step=step)
    trackio.finish()


globals()[sys.argv[1]]()
