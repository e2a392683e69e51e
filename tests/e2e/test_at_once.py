"""Several at once, and Ctrl-C: one does the work, the state is whole, and what was begun goes on."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from e2e.user import TRACE, Done, User, refused, wait_until


def wait_for_file(path: Path) -> str:
    """A script that waits until a file is there, and says when it has begun to."""
    begun = path.with_suffix(".begun")
    wait = f"while not pathlib.Path({str(path)!r}).exists(): time.sleep(0.05)"
    return f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n{wait}\n"


@pytest.fixture
def held(user: User, tmp_path: Path) -> Path:
    """A file without which the training doesn't go on; ``.begun`` beside it tells that it has begun."""
    go = tmp_path / "go"
    user.edit("train.py", "\nimport numpy", f"\n{wait_for_file(go)}import numpy")
    return go


def begun(go: Path) -> bool:
    return go.with_suffix(".begun").exists()


def ended(process: subprocess.Popen[str], timeout: float = 60) -> Done:
    out, err = process.communicate(timeout=timeout)
    return Done(process.returncode, out, err)


def test_of_two_runs_at_once_one_turns_the_wheel_and_the_other_is_told(user: User, held: Path) -> None:
    with user.start("run") as one, user.start("run") as other:
        wait_until(lambda: one.poll() is not None or other.poll() is not None)
        told, turning = (one, other) if one.poll() is not None else (other, one)
        refused(ended(told), "is driving this workspace", ".treadle", "wait for it to end")
        held.touch()
        done = ended(turning)
    assert done.code == 0, done
    assert "toy/2 is in production" in done.out
    assert [cycle["state"] for cycle in user.json("cycles")] == ["promoted", "promoted"]
    assert [version["number"] for version in user.json("models")] == [2, 1]
    assert user.litter() == []


def test_two_runs_through_one_server_join_one_cycle(user: User, held: Path) -> None:
    with user.up(), user.start("run") as one, user.start("run") as other:
        wait_until(lambda: begun(held))
        held.touch()
        found = [ended(one), ended(other)]
    assert [cycle["state"] for cycle in user.json("cycles")] == ["promoted", "promoted"]
    for done in found:
        assert TRACE not in done.out + done.err
        assert done.code == 0 or "running already" in done.err, done
    assert "toy/2 is in production" in found[0].out + found[1].out
    assert [version["number"] for version in user.json("models")] == [2, 1]


def test_of_two_servers_at_once_one_serves_and_the_other_is_told(user: User) -> None:
    with user.start("up", "--port", "0") as one, user.start("up", "--port", "0") as other:
        wait_until(lambda: one.poll() is not None or other.poll() is not None)
        told, serving = (one, other) if one.poll() is not None else (other, one)
        refused(ended(told), "is driving this workspace", ".treadle", "wait for it to end")
        assert re.match(r"Treadle drives toy: API at http://", serving.stdout.readline())
        assert user.run("history").code == 0
        serving.send_signal(signal.SIGINT)
        assert ended(serving).code == 0


def test_a_run_is_told_of_a_port_that_is_taken(user: User) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(user.run("up", "--port", str(port)), "can't listen on", f"127.0.0.1:{port}", "--port")


@pytest.mark.parametrize("verb", ["run", pytest.param("train", marks=pytest.mark.soak)])
def test_a_cycle_that_is_interrupted_is_gone_on_with_and_ends_once(user: User, held: Path, verb: str) -> None:
    with user.start(verb) as process:
        wait_until(lambda: begun(held))
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        done = ended(process, 20)
        assert time.monotonic() - began < 5
    assert done.code == 130, done
    assert "goes on from its last finished step with `treadle run` or `treadle up`" in done.err
    assert TRACE not in done.err
    held.touch()
    again = user.run(verb)
    assert again.code == 0, again
    assert "was interrupted at train; going on with it" in again.out
    assert len(user.json("cycles")) == 2
    assert len(user.json("runs")) == 2


@pytest.mark.soak
def test_an_experiment_never_goes_on_with_an_interrupted_cycle_that_deploys(user: User, held: Path) -> None:
    with user.start("run") as process:
        wait_until(lambda: begun(held))
        process.send_signal(signal.SIGINT)
        assert ended(process, 20).code == 130
    held.touch()
    refused(user.run("train"), "a cycle that deploys has not ended", "cycle_", "end it with `treadle run`")
    assert user.json("models", "@production")["number"] == 1


def test_adding_data_that_is_interrupted_adds_nothing_and_can_be_done_again(user: User) -> None:
    """A CSV of a million rows, so that it is surely still at work."""
    import duckdb

    user.edit("treadle.toml", "data/rows.parquet", "data/rows.csv")
    rows = user.folder / "data" / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT r.* FROM '{rows}' r, range(150)) TO '{rows.with_suffix('.csv')}'")
    before = user.state()
    tmp = user.folder / ".treadle" / "tmp"
    with user.start("data", "add", "rows") as process:
        wait_until(lambda: any(tmp.iterdir()) if tmp.exists() else False)
        process.send_signal(signal.SIGINT)
        done = ended(process, 20)
    assert done.code == 130, done
    assert done.err.strip() == "interrupted"
    assert user.state() == before
    assert user.run("data", "add", "rows").code == 0
    assert user.json("data")[0]["rows"] == 7200 * 150
