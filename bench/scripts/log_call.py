"""What one logging call costs the training's thread. Usage: ``log_call.py TOOL CALLS``; prints JSON.

Each call logs one metric at one step, as fast as the loop goes, and is timed by itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Log = Callable[[float, int], object]


@contextmanager
def treadle() -> Iterator[Log]:
    import treadle

    with treadle.start_run() as run:
        yield lambda value, step: run.log(loss=value, step=step)


@contextmanager
def mlflow() -> Iterator[Log]:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    with mlflow.start_run():
        yield lambda value, step: mlflow.log_metric("loss", value, step=step)


@contextmanager
def mlflow_async() -> Iterator[Log]:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    with mlflow.start_run():
        yield lambda value, step: mlflow.log_metric("loss", value, step=step, synchronous=False)


@contextmanager
def wandb() -> Iterator[Log]:
    import wandb

    with wandb.init(project="first", mode="offline") as run:
        yield lambda value, step: run.log({"loss": value}, step=step)


@contextmanager
def trackio() -> Iterator[Log]:
    os.environ["TRACKIO_DIR"] = str(Path.cwd() / "trackio")
    import trackio

    trackio.init(project="first", embed=False)
    yield lambda value, step: trackio.log({"loss": value}, step=step)
    trackio.finish()


def main() -> None:
    calls = int(sys.argv[2])
    taken = [0] * calls
    clock = time.perf_counter_ns
    with globals()[sys.argv[1]]() as log:
        for step in range(100):
            log(1.0, step)
        before = time.process_time()
        for step in range(calls):
            start = clock()
            log(1 / (step + 1), step + 100)
            taken[step] = clock() - start
        used = time.process_time() - before
    taken.sort()
    found = {"p50": taken[calls // 2] / 1e3, "p99": taken[calls * 99 // 100] / 1e3, "cpu": used / calls * 1e6}
    print("\n" + json.dumps(found))


main()
