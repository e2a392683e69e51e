"""Trainings by other libraries, each in a process of its own against a real server.

They run in the environment that ``requirements/autolog.txt`` pins and ``make soak`` builds.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlflow_parts import TrackingServer, tracked  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("AUTOLOG_PYTHON") or ROOT / ".venv-autolog" / "bin" / "python")

Train = Callable[[str], dict[str, Any]]


@pytest.fixture
def train(tracked: TrackingServer, tmp_path: Path) -> Train:  # noqa: F811 - the fixture
    """Runs a training to its end; returns what it told."""
    if not PYTHON.exists():
        missing = f"{PYTHON} is not there: `make .venv-autolog/ready` builds the environment"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)

    def run(name: str) -> dict[str, Any]:
        done = subprocess.run(
            [PYTHON, Path(__file__).parent / "trainings" / f"train_{name}.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            | {
                "MLFLOW_TRACKING_URI": tracked.url,
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "1",
                "DO_NOT_TRACK": "true",
                "GIT_PYTHON_REFRESH": "quiet",
                "HF_HUB_OFFLINE": "1",
                "CUDA_VISIBLE_DEVICES": "",
            },
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return msgspec.json.decode(done.stdout.splitlines()[-1])

    return run
