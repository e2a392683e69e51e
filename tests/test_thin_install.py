"""What ``pip install treadle`` brings: a wheel, installed as a user would, into an environment of its own."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import conftest
from live import (
    Up,
    environment,
    live,  # noqa: F401 - a fixture
)

ROOT = Path(__file__).parents[1]
INSTALL = "pip install 'treadle[platform]'"
MOST_PACKAGES = 15
MOST_BYTES = 30_000_000
TRAIN = """
import treadle

with treadle.start_run(name="offline", params={"depth": 3}) as run:
    for step in range(3):
        run.log(step=step, loss=1 / (step + 1))
"""


def pip(python: Path | str, *arguments: str) -> None:
    """Runs pip; without an index there is nothing to test, except in CI, where there must be one."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        reason = f"pip {arguments[0]} failed, is the package index there? {done.stderr[-800:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (found,) = folder.glob("treadle-*.whl")
    return found


@pytest.fixture(scope="module")
def thin(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs of an environment that has nothing but treadle."""
    folder = tmp_path_factory.mktemp("thin")
    venv.create(folder, with_pip=True)
    pip(folder / "bin" / "python", "install", "--quiet", str(wheel))
    return folder / "bin"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "treadle.toml").write_text(conftest.PROJECT)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def run(thin: Path, folder: Path, *asked: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [thin / asked[0], *asked[1:]],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def installed(thin: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(thin.parent)}))


def test_the_wheel_holds_all_that_is_needed_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        about = email.message_from_bytes(file.read(metadata))
    source = {
        f"treadle/{path.relative_to(ROOT / 'src' / 'treadle')}"
        for path in (ROOT / "src" / "treadle").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert source <= names
    assert all(name.startswith("treadle") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert about["License-Expression"] == "Apache-2.0"
    assert set(about.get_all("Provides-Extra", [])) == {
        "chunks",
        "grpc",
        "ibis",
        "platform",
        "polars",
        "sklearn",
        "spark",
        "torch",
        "trees",
    }


def test_it_is_small(thin: Path) -> None:
    packages = [path for path in installed(thin).glob("*.dist-info") if _own(path.name)]
    assert "treadle" in {path.name.partition("-")[0] for path in packages}
    assert len(packages) <= MOST_PACKAGES, [path.name for path in packages]
    size = sum(
        path.stat().st_size
        for path in installed(thin).rglob("*")
        if path.is_file() and _own(path.relative_to(installed(thin)).parts[0])
    )
    assert size <= MOST_BYTES, (size, sorted(path.name for path in packages))


def _own(name: str) -> bool:
    """Whether it came with treadle and not with the empty environment."""
    return not name.startswith(
        ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
    )


def test_the_version(thin: Path, project: Path) -> None:
    done = run(thin, project, "treadle", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("treadle ")


def test_a_run_is_logged_without_a_server(thin: Path, project: Path) -> None:
    done = run(thin, project, "python", "train.py")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (folder,) = (project / ".treadle" / "runs").iterdir()
    lines = (folder / "journal.jsonl").read_text().splitlines()
    assert [line for line in lines if '"loss"' in line]
    assert '"finish"' in lines[-1]


def test_a_run_is_sent_to_a_server(thin: Path, project: Path, live: Up) -> None:  # noqa: F811 - the fixture
    assert run(thin, project, "python", "train.py").returncode == 0
    done = run(thin, project, "treadle", "sync", TREADLE_URL=live.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 run sent\n")
    shown = run(thin, project, "treadle", "--url", live.url, "runs")
    assert (shown.returncode, "offline" in shown.stdout) == (0, True), shown.stderr


def test_the_doctor_explains_what_this_is(thin: Path, project: Path) -> None:
    done = run(thin, project, "treadle", "doctor")
    assert done.returncode in {0, 1}
    assert "Traceback" not in done.stdout + done.stderr
    assert INSTALL in done.stdout


@pytest.mark.parametrize("verb", ["up", "run", "runs", "serve", "train", "replay status"])
def test_what_needs_the_platform_says_how_to_get_it(verb: str, thin: Path, project: Path) -> None:
    done = run(thin, project, "treadle", *verb.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert INSTALL in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((project / ".treadle").glob("crash-*"))
