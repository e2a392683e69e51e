"""A server that is killed, a database that is locked, clocks that are wrong: nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from mlflow_parts import TrackingServer, tracked  # noqa: F401 - a fixture

NOW = 1_700_000_000_000
NAMES = [f"m{i}" for i in range(10)]


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[TrackingServer, subprocess.Popen[str]]]:
    """A server that is killed at the end, whatever it does then."""
    command = [sys.executable, "-m", "treadle.cli.main", "--project", str(folder), "up", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        found = re.search(r"API at (http://\S+)", process.stdout.readline())
        assert found
        try:
            yield TrackingServer(found[1], folder), process
        finally:
            process.send_signal(signal.SIGKILL)


def batch(step: int) -> list[dict[str, Any]]:
    return [{"key": name, "value": float(step), "timestamp": NOW + step, "step": step} for name in NAMES]


def test_a_kill_amid_the_requests_of_eight_clients_loses_nothing_acknowledged_and_keeps_no_half(tmp_path):
    (tmp_path / "treadle.toml").write_text('[project]\nname = "tracked"\n')
    acknowledged: dict[str, list[int]] = {}
    enough = threading.Event()
    with server(tmp_path) as (asked, process):
        made = [asked.ask("POST", "/runs/create", {"experiment_id": "0"}) for _ in range(8)]
        runs = [answer["run"]["info"]["run_id"] for _, answer in made]

        def log(run: str) -> None:
            mine = acknowledged.setdefault(run, [])
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                for step in range(100_000):
                    body = {"run_id": run, "metrics": batch(step)}
                    if step % 5 == 0:
                        body["tags"] = [{"key": "step", "value": str(step)}]
                    status, _ = asked.ask("POST", "/runs/log-batch", body)
                    if status == 200:
                        mine.append(step)
                    if len(mine) == 40:
                        enough.set()

        threads = [threading.Thread(target=log, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        assert enough.wait(120)
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
    with server(tmp_path) as (asked, _):
        for run, steps in acknowledged.items():
            curves = []
            for name in NAMES:
                _, found = asked.ask("GET", "/metrics/get-history", run_id=run, metric_key=name)
                curves.append([point["step"] for point in found.get("metrics", [])])
            assert curves[0][: len(steps)] == steps
            assert len(curves[0]) <= len(steps) + 1  # one was asked for, but not answered
            assert all(curve == curves[0] for curve in curves)
            tags = asked.ask("GET", "/runs/get", run_id=run)[1]["run"]["data"]["tags"]
            kept = [int(tag["value"]) for tag in tags if tag["key"] == "step"]
            assert kept == [step // 5 * 5 for step in curves[0][-1:]]


def test_a_locked_database_is_waited_for(tracked):  # noqa: F811 - a fixture
    run = tracked.ask("POST", "/runs/create", {"experiment_id": "0"})[1]["run"]["info"]["run_id"]
    point = {"run_id": run, "key": "m", "value": 1.0, "timestamp": NOW}
    assert tracked.ask("POST", "/runs/log-metric", point)[0] == 200
    found: list[int] = []
    with contextlib.closing(
        sqlite3.connect(tracked.root / ".treadle" / "treadle.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        ask = threading.Thread(target=lambda: found.append(tracked.ask("POST", "/runs/log-metric", point)[0]))
        ask.start()
        ask.join(0.5)
        assert found == []
        # Who only reads doesn't wait.
        assert tracked.ask("GET", "/runs/get", run_id=run)[0] == 200
        other.execute("COMMIT")
    ask.join(30)
    assert found == [200]


def test_a_client_whose_clock_is_wrong_is_taken_at_its_word(tracked, tmp_path):  # noqa: F811 - a fixture
    asked = {"experiment_id": "0", "start_time": NOW, "run_name": "skewed"}
    run = tracked.ask("POST", "/runs/create", asked)[1]["run"]["info"]["run_id"]
    for at, step in ((NOW + 10**11, 0), (NOW - 10**11, 1), (0, 2)):
        point = {"run_id": run, "key": "loss", "value": float(step), "timestamp": at, "step": step}
        assert tracked.ask("POST", "/runs/log-metric", point)[0] == 200
    ended = {"run_id": run, "status": "FINISHED", "end_time": NOW - 5000}
    assert tracked.ask("POST", "/runs/update", ended)[0] == 200
    found = tracked.ask("GET", "/runs/get", run_id=run)[1]["run"]
    assert (found["info"]["start_time"], found["info"]["end_time"]) == (NOW, NOW - 5000)
    assert [(metric["step"], metric["value"]) for metric in found["data"]["metrics"]] == [(2, 2.0)]
    command = [sys.executable, "-m", "treadle.cli.main", "--project", str(tracked.root), "runs", "show", run]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "skewed" in shown
    assert "-5" not in shown.replace(run, "")
