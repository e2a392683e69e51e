"""One logging call, as the training's thread feels it."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bench import measure, peers
from bench.first_contact import PROJECT
from bench.tables import progress, reason, show, times

COLUMNS = ["tracker", "p50, µs", "p99, µs", "CPU-µs a call", "ratio of p50", "ratio of CPU"]


def run(quick: bool) -> None:
    """Prints the table."""
    calls, rounds = (300, 1) if quick else (2000, 3)
    here = peers.Peer(peers.PLATFORM)
    cases = {
        "Treadle": (here, "treadle", False),
        "Treadle, sent to `treadle up` meanwhile": (here, "treadle", True),
        "MLflow, SQLite": (peers.peer("mlflow"), "mlflow", False),
        "MLflow, SQLite, asynchronous": (peers.peer("mlflow"), "mlflow_async", False),
        "wandb, offline": (peers.peer("wandb"), "wandb", False),
        "Trackio, local": (peers.peer("trackio"), "trackio", False),
    }
    progress(f"log_call: {rounds} rounds of {calls} calls, load {measure.load_average()}")
    found: dict[str, list[dict[str, float]] | str] = {title: [] for title in cases}
    for _ in range(rounds):
        for title, (peer, script, served) in cases.items():
            so_far = found[title]
            if isinstance(so_far, str):
                continue
            if peer.python is None:
                found[title] = peer.problem
                continue
            try:
                so_far.append(_once(peer.python, script, served, calls))
            except measure.Failed as error:
                found[title] = reason(str(error))
    base = _medians(found["Treadle"])
    rows: list[list[object]] = []
    for title, figures in found.items():
        if isinstance(figures, str):
            rows.append([title, figures, *[None] * 4])
            continue
        mine = _medians(figures)
        ratios = [times(mine[key], base[key]) if base else None for key in ("p50", "cpu")]
        rows.append([title, mine["p50"], mine["p99"], mine["cpu"], *ratios])
    notes = (
        f"{calls:,} calls of one metric each, one after the other; medians of {rounds} processes. "
        "CPU is all of the process's own threads."
    )
    show("One logging call", COLUMNS, rows, notes)


def _medians(figures: list[dict[str, float]] | str) -> dict[str, float]:
    if isinstance(figures, str) or not figures:
        return {}
    return {key: statistics.median(one[key] for one in figures) for key in figures[0]}


def _once(python: Path, script: str, served: bool, calls: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "treadle.toml").write_text(PROJECT)
        with _server(folder) if served else nullcontext():
            command = [python, peers.SCRIPTS / "log_call.py", script, str(calls)]
            cost = measure.run(command, folder)
    line = next(line for line in reversed(cost.out.splitlines()) if line.startswith("{"))
    return json.loads(line)


@contextmanager
def _server(folder: Path) -> Iterator[None]:
    command = [peers.PLATFORM.with_name("treadle"), "up", "--port", "0"]
    log = folder / "up.log"
    with measure.running(command, folder, log):
        deadline = time.monotonic() + 60
        while "API at" not in log.read_text():
            if time.monotonic() > deadline:
                raise measure.Failed(f"treadle up did not start: {log.read_text()[-500:]}")
            time.sleep(0.05)
        yield
