"""``import treadle`` costs nothing: measured in modules, for a clock would make the test a coin toss.

The time itself is reported, not asserted: 150 ms is the budget, and ``bench`` watches it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from live import environment

SLOW = {"asyncio", "click", "concurrent", "multiprocessing", "rich", "urllib3"}
PLATFORM = {
    "alembic", "blake3", "dbos", "deltalake", "duckdb", "httptools", "jinja2", "numpy", "obstore", "onnx",
    "onnxruntime", "pandas", "prometheus_client", "psycopg", "pyarrow", "scipy", "sklearn", "sqlalchemy",
    "starlette", "uvicorn", "uvloop",
}  # fmt: skip
HEAVY = SLOW | PLATFORM
RUN = "import treadle\nrun = treadle.start_run()\nrun.log(loss=0.5, step=1)\nrun._owned = False"
CLI = """
import sys
from treadle.cli.main import run

sys.stdout = sys.stderr
assert run([{!r}]) == 0
sys.stdout = sys.__stdout__
"""


def loaded(code: str, folder: Path) -> set[str]:
    """The modules that a fresh interpreter has after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    ("code", "never", "most"),
    [
        ("import treadle", HEAVY | {"msgspec", "json", "dataclasses"}, 40),
        (RUN, HEAVY, 300),
        (CLI.format("--version"), PLATFORM | {"rich", "urllib3", "asyncio"}, 400),
        (CLI.format("--help"), PLATFORM | {"urllib3", "asyncio"}, 700),
        ("import treadle.client, treadle.experiment, treadle.registry, treadle.retrain", HEAVY, 100),
        ("from treadle.client import Client", PLATFORM, 500),
    ],
    ids=["import", "start_run", "--version", "--help", "rooms", "client"],
)
def test_what_is_never_loaded(code: str, never: set[str], most: int, project: Path) -> None:
    modules = loaded(code, project) - loaded("", project)
    assert packages(modules) & never == set()
    assert len(modules) < most


def test_the_modules_of_an_import_are_these(tmp_path: Path) -> None:
    ours = {name for name in loaded("import treadle", tmp_path) if name.startswith("treadle")}
    assert ours == {"treadle", "treadle.kernel", "treadle.kernel.lazy"}


def test_the_time_is_reported(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    def seconds(code: str) -> float:
        began = time.perf_counter()
        loaded(code, tmp_path)
        return time.perf_counter() - began

    median = {
        code: statistics.median(seconds(code) for _ in range(7))
        for code in ("", "import treadle", "import asyncio")
    }
    spent = 1000 * (median["import treadle"] - median[""])
    record_property("import_treadle_ms", round(spent, 1))
    # Beside an import of known size, in the same minute, on the same machine: no clock decides.
    assert len(loaded("import treadle", tmp_path)) < len(loaded("import asyncio", tmp_path))
