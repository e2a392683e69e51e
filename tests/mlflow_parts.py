"""A real server, and scripts that use MLflow's own client against it, as a training would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

BEFORE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
say = lambda **found: print(json.dumps(found))
"""


class TrackingServer:
    """A running ``treadle up``, for clients of MLflow's protocol."""

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self.root = root
        self._pool = urllib3.PoolManager()

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """A request below ``/api/2.0/mlflow``; the status and the decoded answer."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None
        answer = self._pool.request(
            method, f"{self.url}/api/2.0/mlflow{path}", body=raw, fields=query if raw is None else None
        )
        return answer.status, msgspec.json.decode(answer.data)

    def run(self, script: str, folder: Path) -> dict[str, Any]:
        """Runs a script with the client; returns what it said."""
        done = subprocess.run(
            [sys.executable, "-c", BEFORE + textwrap.dedent(script)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env=os.environ
            | {
                "MLFLOW_TRACKING_URI": self.url,
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "DO_NOT_TRACK": "true",
                "GIT_PYTHON_REFRESH": "quiet",
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = {}
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                found |= msgspec.json.decode(line)
        return found


def serve(folder: Path, settings: str = "") -> Iterator[TrackingServer]:
    """A server of a project that has nothing but a name; ended at the end."""
    (folder / "treadle.toml").write_text(f'[project]\nname = "tracked"\n{settings}')
    command = [sys.executable, "-m", "treadle.cli.main", "--project", str(folder), "up", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        found = re.search(r"API at (http://\S+)", line)
        try:
            assert found, line + process.stderr.read()
            yield TrackingServer(found[1], folder)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A server for the tests of a module."""
    yield from serve(tmp_path_factory.mktemp("tracked"))
