"""A command line that runs in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_parts import Call, Result, Wire

from servers import s3, s3_lake, s3_server  # noqa: F401
from treadle.cli.app import App
from treadle.cli.main import run
from treadle.client import Client


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command line; without a terminal."""

    def made(*arguments: str) -> Result:
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are written for a terminal of 80 columns and 24 lines, without colour."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """The API that the command line talks to."""
    made = Wire()
    monkeypatch.setattr(App, "client", Client(made))
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which commands run."""
    folder = tmp_path / "my flights"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("TREADLE_URL", raising=False)
    return folder
