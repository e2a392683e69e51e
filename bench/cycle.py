"""What the platform adds to a training that takes a tenth of a second, and what its server's start costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import urllib3

from bench import measure, peers
from bench.tables import progress, reason, show, times

TREADLE = peers.PLATFORM.with_name("treadle")
WHOLE = [peers.PLATFORM, peers.SCRIPTS / "whole_tree.py"]


def run(quick: bool) -> None:
    """Prints both tables."""
    rounds = 1 if quick else 5
    progress(f"cycle: {rounds} rounds, load {measure.load_average()}")
    _cycles(rounds)
    _starts(min(rounds, 3))


def _cycles(rounds: int) -> None:
    stages: dict[str, list[list[float]]] = {}
    costs: list[list[measure.Cost]] = [[], []]
    jobs: list[list[float]] = [[], []]
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            measure.run([peers.PLATFORM, peers.SCRIPTS / "make_toy.py", folder], folder)
            for number in (0, 1):
                command = [*WHOLE, TREADLE, "run", "--set", f"model={number + 1}"]
                costs[number].append(measure.run(command, folder))
            listed = subprocess.run(
                [TREADLE, "cycles", "--json"], cwd=folder, check=True, capture_output=True, text=True
            )
        for number, cycle in enumerate(json.loads(listed.stdout)):
            jobs[number].append(cycle["cpu_seconds"])
            for stage in cycle["stages"]:
                taken = stages.setdefault(stage["name"], [[], []])
                if stage["ended_at"] and stage["started_at"]:
                    taken[number].append(_seconds(stage["started_at"], stage["ended_at"]))
    rows: list[list[object]] = [
        [name, *(statistics.median(one) if one else None for one in taken)] for name, taken in stages.items()
    ]
    totals = {
        "`treadle run`, wall": [measure.median(one, "wall") for one in costs],
        "`treadle run`, CPU-s of all processes": [measure.median(one, "cpu") for one in costs],
        "of that the training's process": [statistics.median(one) for one in jobs],
    }
    rows += [[title, *values] for title, values in totals.items()]
    notes = (
        "Stages in seconds of wall time; the training computes for 0.1 s, imports treadle and hands in a "
        f"ready ONNX model; 14,400 rows; no server. Medians of {rounds}."
    )
    show("One cycle, fixed cost", ["stage", "first cycle, s", "second, against production, s"], rows, notes)


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def _starts(rounds: int) -> None:
    mlflow = peers.peer("mlflow")
    found: dict[str, list[tuple[float, float, float]] | str] = {}
    cases: dict[str, Callable[[Path], tuple[float, float, float]]] = {
        "`treadle up`, API": lambda folder: _start([TREADLE, "up"], folder, "/v1/runs", "toml"),
        "`treadle up`, API and inference server": lambda folder: _start(
            [TREADLE, "up"], folder, "/v1/runs", "toy"
        ),
    }
    if mlflow.python:
        program = [mlflow.program("mlflow"), "server", "--workers", "1", "--backend-store-uri"]
        path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
        # Without its job workers, which are processes of their own: what a tracking server needs.
        for title, jobs in (("its job workers off", "false"), ("as it comes", "true")):
            cases[f"`mlflow server`, one worker, SQLite, {title}"] = lambda folder, jobs=jobs: _start(
                [*program, f"sqlite:///{folder}/mlflow.db"],
                folder,
                path,
                env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": jobs},
            )
    else:
        found["`mlflow server`, one worker, SQLite"] = mlflow.problem
    for _ in range(rounds):
        for title, case in cases.items():
            so_far = found.setdefault(title, [])
            if isinstance(so_far, str):
                continue
            try:
                with tempfile.TemporaryDirectory() as name:
                    so_far.append(case(Path(name)))
            except measure.Failed as error:
                found[title] = reason(str(error))
    rows: list[list[object]] = []
    base = found["`treadle up`, API and inference server"]
    for title, figures in found.items():
        if isinstance(figures, str):
            rows.append([title, figures, None, None, None])
            continue
        wall, cpu, memory = (statistics.median(one[i] for one in figures) for i in range(3))
        ratio = None if isinstance(base, str) else times(cpu, statistics.median(one[1] for one in base))
        rows.append([title, wall, cpu, ratio, memory])
    columns = ["server", "to the first answer, s", "CPU-s until then", "ratio of CPU", "MB (PSS) 5 s later"]
    show("A server's cold start", columns, rows, f"A new, empty store each time. Medians of {rounds}.")


def _start(
    command: list[str | Path],
    folder: Path,
    path: str,
    project: str = "",
    env: dict[str, str] | None = None,
) -> tuple[float, float, float]:
    """Seconds to the first answered request, CPU seconds until then, and MB five seconds later."""
    if project == "toy":
        measure.run([peers.PLATFORM, peers.SCRIPTS / "make_toy.py", folder], folder)
    elif project:
        (folder / "treadle.toml").write_text('[project]\nname = "first"\n')
    port = measure.free_port()
    log = folder / "log"
    started = time.monotonic()
    with measure.running([*command, "--port", str(port)], folder, log, env) as process:
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None or time.monotonic() - started > 120:
                raise measure.Failed(f"it did not start: {log.read_text()[-500:]}")
            time.sleep(0.02)
        wall, cpu = time.monotonic() - started, measure.cpu_of(process.pid)
        time.sleep(5)
        return wall, cpu, measure.memory_of(process.pid)


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False
