"""A replica of two that runs and answers nobody: how long until it is out, and what its callers saw.

Usage: ``hung.py stopped|loop|model [router]``. Two supervised replicas, in processes of their own and on a
platform on SQLite, are asked at 200 requests a second, in an open loop. After five seconds one of them is
stopped (SIGSTOP), or blocks its event loop in a prediction, or has a prediction beside it that never returns.
Prints how many requests failed, the slowest answer, and the seconds from then until the router leaves the
replica out, an incident is open, its process is ended, and it is ready again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import urllib3
from parts import Platform, model, register

from treadle.deploy import ReplicaOptions, Supervisor, listen
from treadle.deploy.loadtest.generator import generate
from treadle.deploy.loadtest.types import Load, Sent
from treadle.deploy.local import router_command
from treadle.deploy.probing import RESTARTED
from treadle.deploy.replica import ReplicaServer
from treadle.deploy.replica.batcher import Batcher
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, ServiceWatch
from treadle.registry import LoadedModel

_AFTER, _LASTS, _RATE = 5.0, 60.0, 200
_BODY = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}).encode()


def hang(kind: str, flag: Path) -> None:
    """Lets predictions of this process hang once a file is there."""
    if kind == "model":
        LoadedModel.beside = True  # type: ignore[misc]
    predict = Batcher._predict  # noqa: SLF001 - where a model that hangs does

    def predicted(self: Batcher, jobs: list[Any], *, here: bool) -> Any:
        if flag.exists():
            time.sleep(3600)
        return predict(self, jobs, here=here)

    Batcher._predict = predicted  # type: ignore[method-assign]  # noqa: SLF001


def replica(root: Path, number: int, kind: str, own: int, door: int) -> None:
    """One replica, until its supervisor ends it."""
    platform = Platform(Workspace.open(root))
    options = ReplicaOptions(models=("bench",), state=str(root / f"state-{number}"), name=f"replica-{number}")
    flag = root / f"hang-{number}"
    flag.unlink(missing_ok=True)  # the process after the one that hangs is well
    hang(kind, flag)
    server = ReplicaServer(
        options,
        platform,
        listening=socket.socket(fileno=own),
        abort=lambda: os._exit(75),
        door=None if door == own else socket.socket(fileno=door),
        restarted=os.environ.get(RESTARTED, ""),
    )
    server.run()


def supervised(
    root: Path, kind: str, *, routed: bool
) -> tuple[socket.socket, list[Supervisor], list[Supervisor]]:
    """Where they answer, the replicas, and the router if there is one."""
    public, made, addresses = listen("127.0.0.1", 0), [], []
    for number in (1, 2):
        own = listen("127.0.0.1", 0) if routed else public
        door = own if routed else listen("127.0.0.1", 0)
        addresses.append(own.getsockname()[:2])
        words = ["replica", str(root), str(number), kind, str(own.fileno()), str(door.fileno())]
        command = [sys.executable, __file__, *words]
        made.append(Supervisor(command, root / f"{number}.log", listening=own, asked=door))
    if not routed:
        return public, made, []
    options = ReplicaOptions(models=("bench",), state=str(root / "none"))
    command = router_command(options, addresses, public)
    return public, made, [Supervisor(command, root / "router.log", listening=public)]


class Seen:
    """When things were first seen, in seconds after the fault."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.after: dict[str, float] = {}

    def note(self, what: str) -> None:
        """Notes it, the first time."""
        self.after.setdefault(what, round(time.monotonic() - self.began, 1))


def observe(workspace: Workspace, url: str | None, victim: Supervisor, seen: Seen) -> None:
    """Looks ten times a second at the replica, and every two at the service, until it is ready again."""
    monitors, watch, looked = Monitors(workspace), ServiceWatch(), 0.0
    pid = victim.pid
    while time.monotonic() < seen.began + _LASTS - 10:
        time.sleep(0.1)
        if url is not None:
            ready = urllib3.request("GET", f"{url}/treadle/router").json()["replicas"][0]["ready"]
            if not ready:
                seen.note("left out")
            elif "left out" in seen.after and "ended" in seen.after:
                seen.note("ready again")
        if victim.pid != pid:
            seen.note("ended")
        if time.monotonic() >= looked + 2:
            looked = time.monotonic()
            if monitors.watch_service("bench", watch=watch) is not None:
                seen.note("incident")


def measure(root: Path, kind: str, *, routed: bool) -> dict[str, Any]:
    """Runs all of it once."""
    (root / "treadle.toml").write_text('[project]\nname = "bench"\n')
    workspace = Workspace.open(root)
    register(workspace, model(root / "m1", fills=False), "run_1")
    Platform(workspace).deployments.deploy("bench", 1, "bench", "first", "k1")
    public, made, router = supervised(root, kind, routed=routed)
    address = public.getsockname()[:2]
    url = f"http://{address[0]}:{address[1]}"
    for one in (*made, *router):
        one.start()
    try:
        while len(Platform(workspace).deployments.status("bench").replicas) < 2:
            time.sleep(0.2)
        time.sleep(5)
        load = Load(
            addresses=(address,), path="/v2/models/bench/infer", bodies=(_BODY,), headers={}, rate=_RATE,
            seconds=_LASTS, warmup=1.0, arrivals="poisson", seed=7, timeout=60.0,
        )  # fmt: skip
        found: list[Sent] = []
        loading = threading.Thread(target=lambda: found.append(generate(load)))
        loading.start()
        time.sleep(1 + _AFTER)
        if kind == "stopped":
            os.kill(made[0].pid or 0, signal.SIGSTOP)
        else:
            (root / "hang-1").touch()
        seen = Seen()
        observe(workspace, url if routed else None, made[0], seen)
        loading.join()
        (sent,) = found
        return {
            "requests": len(sent.seconds),
            "failed": sum(count for code, count in sent.statuses.items() if code != 200),
            "statuses": sent.statuses,
            "slowest": round(max(one for one in sent.seconds if one < 1000), 2),
            **seen.after,
        }
    finally:
        for one in (*router, *made):
            one.close()
        workspace.close()


if sys.argv[1] == "replica":
    replica(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
else:
    with tempfile.TemporaryDirectory() as made_folder:
        result = measure(Path(made_folder), sys.argv[1], routed="router" in sys.argv[2:])
    print(msgspec.json.encode(result).decode())
