from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import click
import pytest
from cli_parts import Call

from treadle.cli.main import treadle

READS = (
    "run", "train", "runs ls", "runs show", "runs compare", "runs importance", "runs media", "data ls",
    "data log", "models ls", "models show", "deploy status", "monitor show", "monitor look", "monitor alerts",
    "monitor suggest",
    "incidents ls", "incidents show", "incidents mutes", "incidents sent",
    "retrain start", "retrain challenger show",
    "history", "cycles ls", "cycles show", "replay status", "replay until", "doctor",
)  # fmt: skip


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*path, name))


EVERYTHING = dict(walk(treadle))


@pytest.mark.parametrize("path", EVERYTHING)
def test_help_fits_a_screen(path: str, call: Call) -> None:
    found = call(*path.split(), "--help")
    assert found.code == 0
    lines = found.out.rstrip("\n").splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "Usage: treadle" in found.out


@pytest.mark.parametrize("path", [path for path in EVERYTHING if path])
def test_everything_has_a_short_help_of_its_own(path: str) -> None:
    text = EVERYTHING[path].get_short_help_str(64)
    assert text
    assert not text.endswith("...")


@pytest.mark.parametrize("path", READS)
def test_every_read_can_answer_in_json(path: str) -> None:
    assert any("--json" in parameter.opts for parameter in EVERYTHING[path].params)


@pytest.mark.parametrize(
    "command", ["--help", "--version", "run --help", "runs ls --help", "init --help", "runz"]
)
def test_help_and_usage_errors_import_nothing_heavy(command: str) -> None:
    script = (
        "import sys; from treadle.cli.main import run\n"
        f"run({command.split()!r})\n"
        "heavy = {'sqlalchemy', 'duckdb', 'numpy', 'urllib3', 'rich', 'dbos'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_alone_it_shows_help(call: Call) -> None:
    found = call()
    assert found.code == 0
    assert found.out == call("--help").out


def test_version(call: Call) -> None:
    assert call("--version").out == f"treadle {version('treadle')}\n"


@pytest.mark.parametrize(
    ("command", "fix"),
    [
        ("rnu", "did you mean 'run'?"),
        ("histroy", "did you mean 'history'?"),
        ("runs shwo x", "did you mean 'show'?"),
        ("deploy stauts", "did you mean 'status'?"),
        ("runs --jsn", "did you mean '--json'?"),
        ("run --reson x", "did you mean '--reason'?"),
        ("--projct x", "did you mean '--project'?"),
    ],
)
def test_unknown_names_say_what_was_meant(command: str, fix: str, call: Call) -> None:
    found = call(*command.split())
    assert found.code == 2
    assert found.out == ""
    assert f"  fix: {fix}" in found.err


def test_a_missing_argument_says_which_and_where(call: Call) -> None:
    found = call("runs", "show")
    assert found.code == 2
    assert found.err.splitlines() == [
        "error: missing argument 'RUN'",
        "  where: treadle runs show",
        "  fix: see `treadle runs show --help`",
    ]
