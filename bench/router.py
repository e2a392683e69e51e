"""Two replicas, with the router before them and without: what the hop costs, and what a kill loses."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
import urllib3

from bench import measure, peers
from bench.serving import FEATURES, ROW
from bench.tables import progress, show
from treadle.deploy import DesiredRevision, ReplicaOptions, Supervisor, listen
from treadle.deploy.loadtest.generator import generate
from treadle.deploy.loadtest.types import Load, Sent
from treadle.deploy.local import router_command
from treadle.kernel.ids import digest_file

_PATH = "/v2/models/bench/infer"
_BODY = msgspec.json.encode(
    {
        "inputs": [
            {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
            for name, value in zip(FEATURES, ROW, strict=True)
        ]
    }
)


def run(quick: bool) -> None:
    """Prints both tables."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "m").mkdir()
        measure.run([peers.PLATFORM, peers.SCRIPTS / "export_model.py", "treadle", work / "m"], work)
        rates = (200,) if quick else (200, 1000)
        _hop(work, rates, 3 if quick else 8)
        _kills(work, 1 if quick else 5)


def _hop(work: Path, rates: tuple[int, ...], seconds: float) -> None:
    rows: list[list[object]] = []
    for rate in rates:
        for routed in (False, True):
            progress(f"router: {rate} a second, {'with' if routed else 'without'} a router")
            with _replicas(work, routed=routed) as (address, replicas, router):
                found = _send(address, 200, 1)
                pids = [one.pid for one in replicas if one.pid]
                before = [measure.cpu_of(pid) for pid in pids]
                own = measure.cpu_of(router.pid) if router and router.pid else 0.0
                found = _send(address, rate, seconds)
                used = sum(measure.cpu_of(pid) for pid in pids) - sum(before)
                own = measure.cpu_of(router.pid) - own if router and router.pid else None
                sent = len(found.seconds) + rate  # and a second of warm-up
                ordered = sorted(found.seconds)
                rows.append(
                    [
                        f"{rate} a second, {'router' if routed else 'one socket'}",
                        used / sent * 1000,
                        own / sent * 1000 if own is not None else None,
                        median(ordered) * 1000,
                        ordered[int(0.99 * len(ordered))] * 1000,
                    ]
                )
    columns = ["two replicas", "CPU-ms a request, replicas", "and router", "p50, ms", "p99, ms"]
    show("The router's hop", columns, rows, "Open loop, random arrivals; one row of 30 numbers a request.")


def _kills(work: Path, rounds: int) -> None:
    rows: list[list[object]] = []
    for routed in (False, True):
        failed = sent = 0
        slowest = 0.0
        for _ in range(rounds):
            progress(f"router: a kill {'with' if routed else 'without'} a router")
            with _replicas(work, routed=routed) as (address, replicas, _):
                timers = [
                    threading.Timer(2.5 + 2 * place, os.kill, [one.pid, signal.SIGKILL])
                    for place, one in enumerate(replicas[:1])
                ]
                for timer in timers:
                    timer.start()
                found = _send(address, 500, 6)
                failed += sum(count for code, count in found.statuses.items() if code != 200)
                sent += len(found.seconds)
                slowest = max([slowest, *(one for one in found.seconds if one < 100)])
        rows.append(["router" if routed else "one socket", rounds, sent, failed, slowest])
    columns = ["two replicas", "kills", "requests", "failed", "slowest answer, s"]
    show("kill -9 of one of two replicas", columns, rows, "500 requests a second, open loop.")


def _send(address: tuple[str, int], rate: float, seconds: float) -> Sent:
    load = Load(
        addresses=(address,), path=_PATH, bodies=(_BODY,), headers={}, rate=rate, seconds=seconds,
        warmup=1.0, arrivals="poisson", seed=7, timeout=20.0,
    )  # fmt: skip
    return generate(load)


@contextlib.contextmanager
def _replicas(
    work: Path, *, routed: bool
) -> Iterator[tuple[tuple[str, int], list[Supervisor], Supervisor | None]]:
    """Two replicas at one address."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder, files = Path(name), work / "files"
        files.mkdir(exist_ok=True)
        digests = {path.name: digest_file(path) for path in (work / "m" / "1").iterdir()}
        for path in (work / "m" / "1").iterdir():
            (files / digests[path.name]).write_bytes(path.read_bytes())
        wanted = msgspec.json.encode(DesiredRevision(revision=1, version=1, files=digests)).decode()
        public, made, addresses = listen("127.0.0.1", 0), [], []
        for number in range(2):
            own = listen("127.0.0.1", 0) if routed else public
            addresses.append(own.getsockname()[:2])
            options = ReplicaOptions(models=("bench",), state=str(folder / f"state-{number}"))
            given = [msgspec.json.encode(options).decode(), wanted, str(files), str(own.fileno())]
            command = [sys.executable, "-m", "treadle.deploy.loadtest.candidate", *given]
            made.append(Supervisor(command, folder / f"{number}.log", listening=own))
        router = None
        if routed:
            router = Supervisor(router_command(options, addresses, public), folder / "log", listening=public)
        for one in (*made, *([router] if router else [])):
            one.start()
        address = public.getsockname()[:2]
        try:
            _wait(address, routed=routed)
            yield address, made, router
        finally:
            for one in (*([router] if router else []), *made):
                one.close()


def _wait(address: tuple[str, int], *, routed: bool) -> None:
    """Until both answer: the router says so; of one socket, a while after the first does."""
    url = f"http://{address[0]}:{address[1]}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if not routed:
                answer = urllib3.request("GET", f"{url}/v2/health/ready", retries=False, timeout=5)
                if answer.status == 200:
                    time.sleep(4)
                    return
            else:
                found = urllib3.request("GET", f"{url}/treadle/router", retries=False, timeout=5).json()
                if all(one["ready"] for one in found["replicas"]):
                    return
        time.sleep(0.1)
    raise measure.Failed("the replicas did not start")
