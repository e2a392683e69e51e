from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cli_parts import Call, Wire

from treadle.kernel.errors import ErrorBody, NotFound


@pytest.mark.usefixtures("here")
def test_an_error_says_what_where_and_what_to_do(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/runs/x"] = NotFound(
        "there is no run 'x'", where="the runs", fix="did you mean 'y'?"
    )
    found = call("runs", "show", "x")
    assert found.code == 2
    assert found.out == ""
    assert found.err == "error: there is no run 'x'\n  where: the runs\n  fix: did you mean 'y'?\n"


@pytest.mark.usefixtures("here")
def test_with_json_an_error_is_json_too(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/runs/x"] = NotFound("there is no run 'x'", fix="did you mean 'y'?")
    found = call("runs", "show", "x", "--json")
    assert found.code == 2
    assert found.out == ""
    body = msgspec.json.decode(found.err, type=ErrorBody)
    assert body == ErrorBody("not_found", "there is no run 'x'", None, "did you mean 'y'?")


def test_a_usage_error_in_json(call: Call) -> None:
    found = call("runz", "--json")
    assert msgspec.json.decode(found.err, type=ErrorBody).fix == "did you mean 'run'?"


def test_without_a_project_it_says_how_to_make_one(call: Call, here: Path) -> None:
    found = call("runs")
    assert found.code == 2
    assert (
        found.err
        == f"error: no treadle.toml here or above\n  where: {here}\n  fix: run `treadle init` to write one\n"
    )


def test_a_bug_is_one_line_and_a_kept_traceback(call: Call, wire: Wire, project: Path) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("by zero\nand more")

    wire.answers["GET /v1/runs"] = broken
    found = call("--project", str(project), "runs")
    assert found.code == 2
    assert found.out == ""
    kept = list((project / ".treadle").glob("crash-*.txt"))
    assert len(kept) == 1
    assert "Traceback" in kept[0].read_text()
    assert "test_main.py" in kept[0].read_text()
    assert found.err == (
        "error: something broke inside Treadle: ZeroDivisionError: by zero\n"
        f"  where: {kept[0]}\n"
        "  fix: please report it, with that file\n"
    )


def test_a_bug_where_nothing_can_be_kept_is_kept_elsewhere(call: Call, wire: Wire, here: Path) -> None:
    (here / ".treadle").write_text("not a folder")
    wire.answers["GET /v1/runs"] = lambda _: 1 / 0
    found = call("runs")
    path = Path(found.err.splitlines()[1].removeprefix("  where: "))
    assert path.parent != here / ".treadle"
    assert "ZeroDivisionError" in path.read_text()
    path.unlink()


def test_the_client_is_closed_afterwards(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from treadle import client
    from treadle.client import Client

    wire = Wire()
    wire.answers["GET /v1/runs"] = []
    asked = []

    def connect(url: str | None, root: Path | None) -> Client:
        asked.append((url, root))
        return Client(wire)

    monkeypatch.setattr(client, "connect", connect)
    assert call("--url", "http://there", "runs").code == 0
    assert asked == [("http://there", None)]
    assert wire.closed


def test_a_reader_that_has_seen_enough_is_no_error(project: Path) -> None:
    script = (
        "from treadle.cli.main import main\n"
        "import sys; sys.argv = ['treadle', 'doctor', '--project']\n"
        "from treadle.cli import doctor\n"
        "doctor.examine = lambda app: [doctor.Finding('x', 'ok', 'y' * 100)] * 5000\n"
        f"sys.argv = ['treadle', '--project', {str(project)!r}, 'doctor', '--json']\n"
        "main()"
    )
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "$1" | head -1; echo "${{PIPESTATUS[0]}}"', "-", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["[", "0"]
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_narrow_terminal_encoding_ends_nothing(encoding: str, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "treadle.cli.main", "--project", str(project), "doctor"],
        env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"data rows" in done.stdout
    assert b"Traceback" not in done.stderr


def test_a_command_of_another_verb_is_named_where_it_is(call: Call) -> None:
    assert "fix: `treadle deploy promote`" in call("promote").err
    assert "fix: `treadle incidents ack`" in call("monitor", "ack").err
    assert "fix: `treadle data gc`, or `treadle gc`" in call("runs", "gc").err
    assert "fix: did you mean 'data'?" in call("dat").err


def test_data_is_collected_where_it_is_kept(call: Call) -> None:
    assert call("data", "gc", "--help").out.partition("\n")[2] == call("gc", "--help").out.partition("\n")[2]
