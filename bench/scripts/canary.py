"""A canary that fails at a share of the requests: how long until it is gone, and whom it hurt.

Usage: ``canary.py SHARE_OF_FAILURES SHARE_OF_REQUESTS SECONDS``. A replica in a process of its own,
a platform on SQLite that decides by its reports, and one caller that asks as fast as it can from
this process. Both versions are one model, of which the second answers no number where a value is
missing; so many requests lack it. Prints JSON.
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

from treadle.deploy import ReplicaOptions
from treadle.deploy.replica import ReplicaServer
from treadle.kernel.config import DeployConfig
from treadle.kernel.workspace import Workspace


def run(failing: float, share: float, seconds: float) -> dict[str, float | None]:
    """Lets a canary fail; see :func:`measured`."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        (root / "treadle.toml").write_text('[project]\nname = "bench"\n')
        workspace = Workspace.open(root)
        for number in (1, 2):
            register(workspace, model(root / f"m{number}", fills=number == 1), f"run_{number}")
        platform = Platform(workspace)
        platform.deployments.deploy("bench", 1, "bench", "first", "k1")
        server = ReplicaServer(ReplicaOptions(models=("bench",), state=str(root / "state"), port=0), platform)
        threading.Thread(target=server.run, daemon=True).start()
        while platform.deployments.status("bench").serving is None:
            time.sleep(0.05)
        plan = DeployConfig(strategy="canary", steps=(share,), bake="10m")
        platform.deployments.deploy("bench", 2, "bench", "worse", "k2", plan=plan)
        try:
            return measured(platform, server.url, failing, seconds)
        finally:
            server.stop()
            time.sleep(1)
            workspace.close()


def measured(platform: Platform, url: str, failing: float, seconds: float) -> dict[str, float | None]:
    """Asks until nothing has failed for two seconds after the canary was taken back, or time is up."""
    chance, pool = random.Random(7), urllib3.PoolManager(maxsize=1, retries=False)
    asked = failed = own = 0
    first = last = back = None
    began = looked = time.monotonic()
    while time.monotonic() - began < seconds:
        value = None if chance.random() < failing else 1.0
        body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [value]}]})
        answer = pool.request("POST", f"{url}/v2/models/bench/infer", body=body)
        now = time.monotonic()
        asked += 1
        if answer.status >= 500:
            failed += 1
            first, last = first or now, now
        elif answer.json()["model_version"] == "2":
            own += 1
        if back is None and now - looked > 0.05:
            looked = now
            if platform.deployments.history("bench")[-1].state == "failed":
                back = now
        if back and now - back > 2:
            break
    return {
        "asked": asked,
        "rate": asked / (time.monotonic() - began),
        "failed": failed,
        "answered": own,
        "back": back - first if back and first else None,
        "gone": last - first if first and last else None,
    }


print(json.dumps(run(float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
