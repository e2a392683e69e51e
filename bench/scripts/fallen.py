"""A deployment that falls: how long until its service levels say so.

Usage: ``fallen.py SHARE RATE [slow]``. A replica in this process, a platform on SQLite that counts by its
reports, and a caller that asks RATE times a second: for 75 s all is well, then so large a share of the
requests fails, or takes 0.1 s where 0.05 s are declared. Prints the seconds from then to the first look, ten
a second, that finds it fallen.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import urllib3
from parts import Platform, model, register

from treadle.deploy import ReplicaOptions, service_levels
from treadle.deploy.replica import ReplicaServer
from treadle.deploy.replica.batcher import Answer, Batcher, Job
from treadle.kernel.workspace import Workspace

_OBJECTIVE = {False: "availability = 99.9", True: "p99_ms = 50"}
_SLOW = 0.1
_WELL = 75.0
_LONGEST = 120.0


def ask(url: str, rate: float, failing: list[float], stop: threading.Event) -> None:
    """Asks at even distances; a request without its value fails."""
    chance, pool = random.Random(7), urllib3.PoolManager(maxsize=1, retries=False)
    due = time.monotonic()
    while not stop.is_set():
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        value = None if chance.random() < failing[0] else 1.0
        body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [value]}]}
        pool.request("POST", f"{url}/v2/models/bench/infer", body=json.dumps(body))


def make_slow(share: list[float]) -> None:
    """Has a share of the predictions take long from now on."""
    chance, predict = random.Random(7), Batcher._predict  # noqa: SLF001 - where a slow model takes its time

    def predicted(self: Batcher, jobs: list[Job], *, here: bool) -> list[Answer]:
        if chance.random() < share[0]:
            time.sleep(_SLOW)
        return predict(self, jobs, here=here)

    Batcher._predict = predicted  # type: ignore[method-assign]  # noqa: SLF001


def seen_after(workspace: Workspace, url: str, share: float, rate: float, *, slow: bool) -> float | None:
    """Seconds until it is seen; None if it isn't within two minutes."""
    failing, slowed, stop = [0.0], [0.0], threading.Event()
    if slow:
        make_slow(slowed)
    caller = threading.Thread(target=ask, args=(url, rate, failing, stop))
    caller.start()
    time.sleep(_WELL)
    (slowed if slow else failing)[0], began = share, time.monotonic()
    try:
        while (passed := time.monotonic() - began) < _LONGEST:
            if any(one.fallen for one in service_levels(workspace, "bench").levels):
                return passed
            time.sleep(0.1)
        return None
    finally:
        stop.set()
        caller.join()


def run(share: float, rate: float, *, slow: bool) -> float | None:
    """Starts all of it, and measures once."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        (root / "treadle.toml").write_text(
            f'[project]\nname = "bench"\n[serve.objective]\n{_OBJECTIVE[slow]}\n'
        )
        workspace = Workspace.open(root)
        register(workspace, model(root / "m1", fills=False), "run_1")
        platform = Platform(workspace)
        platform.deployments.deploy("bench", 1, "bench", "first", "k1")
        options = ReplicaOptions(models=("bench",), state=str(root / "state"), port=0)
        server = ReplicaServer(options, platform)
        threading.Thread(target=server.run, daemon=True).start()
        while platform.deployments.status("bench").serving is None:
            time.sleep(0.05)
        try:
            return seen_after(workspace, server.url, share, rate, slow=slow)
        finally:
            server.stop()
            time.sleep(1)
            workspace.close()


print(json.dumps(run(float(sys.argv[1]), float(sys.argv[2]), slow="slow" in sys.argv[3:])))
