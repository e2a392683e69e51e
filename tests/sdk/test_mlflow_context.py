"""A run of the MLflow client tells where it comes from once Treadle is installed; one line tells the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import treadle
from live import Up, live  # noqa: F401 - a fixture
from treadle.client import Client
from treadle.kernel.errors import Conflict

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow, treadle
{before}
mlflow.set_experiment("plugged")
with mlflow.start_run() as outer:
    mlflow.log_metric("a", 1.0)
    with mlflow.start_run(nested=True) as inner:
        {line}
print(outer.info.run_id, inner.info.run_id)
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that makes this package look installed, with the entry points of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / "treadle_here-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: treadle-here\nVersion: 0\n")
    lines = [
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return info.parent


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "training"
    root.mkdir()
    (root / "base.py").write_text("x = 1\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(root)]
    for command in (["init", "-q", "-b", "trunk"], ["add", "-A"], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *command], check=True)
    (root / "base.py").write_text("x = 2\n")
    return root


# The environment of the tests has the plugin where this package is installed in it.
UNPLUGGED = """
from mlflow.tracking.context.registry import _run_context_provider_registry as known
known._registry = [one for one in known._registry if not type(one).__module__.startswith("treadle")]
"""


def train(live: Up, site: Path, root: Path, line: str, before: str = "") -> tuple[str, str]:  # noqa: F811 - the fixture
    (root / "train.py").write_text(SCRIPT.format(line=line, before=before))
    path = os.pathsep.join([str(site), str(ROOT / "src")])
    env = {**os.environ, "PYTHONPATH": path, "MLFLOW_TRACKING_URI": live.url, "TREADLE_URL": live.url}
    done = subprocess.run(
        [sys.executable, "train.py", "--password", "hunter2"], cwd=root, env=env, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outer, inner = done.stdout.split()[-2:]
    return outer, inner


def test_a_run_of_mlflow_tells_where_it_comes_from(live: Up, installed: Path, repository: Path) -> None:  # noqa: F811
    outer, inner = train(live, installed, repository, "treadle.record_provenance()")
    with Client.http(live.url) as client:
        told = client.run(outer).provenance
        assert told is not None
        assert told.command[-3:] == ("train.py", "--password", "***")
        assert (told.branch, told.dirty, told.patch) == ("trunk", True, None)
        assert told.commit is not None
        assert told.environment is not None
        assert told.hardware is not None
        more = client.run(inner).provenance
        assert more is not None
        assert (more.parent, more.commit, more.environment) == (outer, told.commit, told.environment)
        files = {file.path for file in client.artifacts(inner)}
        assert (more.patch, more.lock) == ("provenance/changes.patch", "provenance/requirements.txt")
        assert {more.patch, more.lock} <= files
        patch = next(file for file in client.artifacts(inner) if file.path == more.patch)
        client.fetch_blob(patch.digest, repository / "back.patch")
        assert "+x = 2" in (repository / "back.patch").read_text()


def test_without_the_plugin_mlflow_s_own_tags_tell(live: Up, tmp_path: Path, repository: Path) -> None:  # noqa: F811
    outer, inner = train(live, tmp_path, repository, "pass", UNPLUGGED)
    with Client.http(live.url) as client:
        told = client.run(inner).provenance
        assert told is not None
        assert (told.parent, told.environment) == (outer, None)
        assert told.command == ("train.py",)


def test_recording_needs_a_run(client) -> None:
    with pytest.raises(Conflict, match="no run is active"):
        treadle.record_provenance()
    with treadle.start_run():
        treadle.record_provenance()
