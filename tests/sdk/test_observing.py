"""What a run reads is seen, also where nobody declared it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import treadle
from treadle.client import Client
from treadle.data import AddPath
from treadle.sdk.observing import sort_out


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a versioned folder, a versioned file, a file in Git, and files of nobody."""
    for name in ("TREADLE_URL", "TREADLE_JOB", "TREADLE_RUN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("treadle.sdk.datasets._pending", {})
    root = tmp_path / "toy"
    (root / "images" / "cats").mkdir(parents=True)
    monkeypatch.chdir(root)
    (root / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (root / "images" / "cats" / "1.csv").write_text("n\n1\n")
    (root / "one.csv").write_text("n\n7\n")
    (root / "params.json").write_text("{}")
    (root / "loose.csv").write_text("n\n9\n")
    (root / "vocabulary").write_text("a b c")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "params.json", "treadle.toml"], check=True)
    with Client.in_process(root) as client:
        client.add_path(AddPath(path="images"))
        client.add_path(AddPath(path="one.csv", name="one"))
    os.utime(root / "loose.csv", (1e9, 1e9))
    os.utime(root / "vocabulary", (1e9, 1e9))
    return root


def noted(root: Path, run: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The inputs of a run, and its problems that are of what it read."""
    with Client.in_process(root) as client:
        found = client.run(run)
    assert found.provenance is not None
    problems = [one for one in found.provenance.problems if one.startswith("read ")]
    return [(one.name, one.context) for one in found.inputs], problems


def test_versions_that_are_read_become_inputs_and_loose_files_are_told(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with treadle.start_run(system_metrics=False) as run:
        pd.read_csv("images/cats/1.csv")
        np.loadtxt(toy / "one.csv", skiprows=1)
        Path("params.json").read_text()
        Path("loose.csv").read_text()
        with open(os.fsencode("vocabulary")) as file:  # noqa: PTH123 - a name of bytes
            file.read()
        Path("out.csv").write_text("n\n1\n")
        Path("out.csv").read_text()
    assert noted(toy, run.id) == (
        [("images", "observed"), ("one", "observed")],
        ["read without a version: loose.csv, vocabulary"],
    )
    assert "read without a version: loose.csv, vocabulary; `treadle data add`" in capsys.readouterr().err


def test_declared_data_is_noted_once_and_changed_data_is_no_version(toy: Path) -> None:
    with treadle.start_run(system_metrics=False) as run:
        treadle.data("images@v1")
        Path("images/cats/1.csv").read_text()
        Path("one.csv").read_text()
        Path("one.csv").write_text("n\n8\n9\n")
    inputs, problems = noted(toy, run.id)
    assert inputs == [("images", "input")]
    assert problems == ["read one.csv, which differed from the version that its pointer names"]


def test_what_a_run_does_not_read_is_not_noted(toy: Path) -> None:
    Path("loose.csv").read_text()
    with treadle.start_run(system_metrics=False) as run:
        os.listdir("images")  # noqa: PTH208 - reads no file
    Path("images/cats/1.csv").read_text()
    assert noted(toy, run.id) == ([], [])


def _read(path: str) -> None:
    Path(path).read_text()


def test_children_that_were_forked_are_seen_too(toy: Path) -> None:
    context = multiprocessing.get_context("fork")
    with treadle.start_run(system_metrics=False) as run:
        children = [context.Process(target=_read, args=(one,)) for one in ("images/cats/1.csv", "loose.csv")]
        for child in children:
            child.start()
        for child in children:
            child.join()
    assert noted(toy, run.id) == ([("images", "observed")], ["read without a version: loose.csv"])
    assert not list((toy / ".treadle" / "runs").glob("*/reads"))


def test_without_the_platform_it_is_said_that_nobody_can_tell(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with treadle.start_run(system_metrics=False) as run:
        Path("one.csv").read_text()
        monkeypatch.setenv("TREADLE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("TREADLE_URL")
    with Client.in_process(toy) as client:
        treadle.sync(client, toy)
    inputs, [problem] = noted(toy, run.id)
    assert inputs == []
    assert problem.startswith("read one.csv, of which no version could be found: ")


def test_files_of_programs_and_of_the_system_are_no_data(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in (".venv/lib/x.csv", ".hidden/x.csv", ".env", "a.toml", "b.py", "c.treadle", "d/e.txt"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    (tmp_path / "away.csv").write_text("x")
    (tmp_path / "away.txt").write_text("x")
    (tmp_path / "link").symlink_to(root / "d")
    paths = [str(one) for one in tmp_path.rglob("*")]
    paths += [
        os.__file__,
        "/etc/hostname",
        "/proc/self/maps",
        f"{sys.prefix}/x.csv",
        str(tmp_path / "gone.csv"),
    ]
    found = sort_out(root, [*paths, str(tmp_path / "link" / "e.txt")], time.time() + 1)
    assert found == ((), (str(tmp_path / "away.csv"), "d/e.txt"))
    assert sort_out(root, paths, 0.0) == ((), ())  # all was written by the run itself
