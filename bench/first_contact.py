"""First contact: what is installed, how long an import takes, and a first script from start to end."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from bench import measure, peers
from bench.tables import progress, reason, show, times

PROJECT = '[project]\nname = "first"\n'


class Tool(NamedTuple):
    """A tracker as it is compared.

    Attributes:
        title: Its name in the table.
        peer: Where it is installed.
        module: What is imported.
        script: Its function in ``scripts/first_run.py``.
    """

    title: str
    peer: peers.Peer
    module: str
    script: str


def run(quick: bool) -> None:
    """Prints the table."""
    tools = [
        Tool("Treadle, thin client, no server", peers.thin_client(), "treadle", "treadle"),
        Tool("Treadle, platform, SQLite workspace", peers.Peer(peers.PLATFORM), "treadle", "treadle"),
        Tool("MLflow skinny, files", peers.peer("mlflow-skinny"), "mlflow", "mlflow_file"),
        Tool("MLflow, SQLite", peers.peer("mlflow"), "mlflow", "mlflow"),
        Tool("wandb, offline", peers.peer("wandb"), "wandb", "wandb"),
        Tool("Trackio, local", peers.peer("trackio"), "trackio", "trackio"),
    ]
    rounds = 2 if quick else 5
    cases = {}
    for tool in tools:
        if tool.peer.python:
            cases[f"{tool.title} import"] = _importing(tool)
            cases[f"{tool.title} script"] = _script(tool)
    python = peers.thin_client().python or peers.PLATFORM
    cases["python"] = lambda: measure.run([python, "-c", "pass"], Path(tempfile.gettempdir()))
    progress(f"first contact: {rounds} rounds, load {measure.load_average()}")
    found = measure.interleaved(cases, rounds)
    base = found.get(f"{tools[0].title} script")
    rows: list[list[object]] = []
    for tool in tools:
        if not tool.peer.python:
            rows.append([tool.title, tool.peer.problem, *[None] * 7])
            continue
        mb, count = peers.size(tool.peer.python)
        installed = [None, None] if tool.peer.python == peers.PLATFORM else [round(mb), count]
        imported, script = found[f"{tool.title} import"], found[f"{tool.title} script"]
        if isinstance(imported, str) or isinstance(script, str):
            failed = imported if isinstance(imported, str) else str(script)
            rows.append([tool.title, *installed, reason(failed), *[None] * 5])
            continue
        ratio = times(measure.median(script, "cpu"), measure.median(base, "cpu")) if base else None
        rows.append(
            [
                tool.title,
                *installed,
                measure.median(imported, "wall") * 1000,
                measure.median(imported, "cpu") * 1000,
                measure.median(script, "wall"),
                measure.median(script, "cpu"),
                ratio,
                measure.median(script, "peak"),
            ]
        )
    empty = found["python"]
    if not isinstance(empty, str):
        wall, cpu = measure.median(empty, "wall") * 1000, measure.median(empty, "cpu") * 1000
        rows.append(
            ["python -c pass", None, None, wall, cpu, None, None, None, measure.median(empty, "peak")]
        )
    columns = [
        "tracker", "MB", "packages", "import, ms", "CPU-ms", "first script, s", "CPU-s", "ratio", "peak MB",
    ]  # fmt: skip
    notes = (
        f"First script: start a run, log 100 values, end it. Medians of {rounds}; ratio of CPU-seconds. "
        "A peak under 30 MB can't be told from that of the process that measures."
    )
    show("First contact", columns, rows, notes)


def _importing(tool: Tool):
    return lambda: measure.run([tool.peer.python, "-c", f"import {tool.module}"], Path(tempfile.gettempdir()))


def _script(tool: Tool):
    def once() -> measure.Cost:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "treadle.toml").write_text(PROJECT)
            return measure.run([tool.peer.python, peers.SCRIPTS / "first_run.py", tool.script], folder)

    return once
