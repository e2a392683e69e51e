"""``treadle up`` from its first line to its last."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from live import AT, BY_HAND, PATIENCE, command, environment, make, turn, until, up
from treadle.api.server import _every, _url
from treadle.client import Client, connect, find_server
from treadle.client.finding import ENGINE_LOCK
from treadle.kernel.errors import Busy, Unavailable
from treadle.kernel.lock import holder
from treadle.kernel.workspace import Workspace, replays
from treadle.monitor import PredictionLog
from treadle.retrain import NewCycle
from treadle.retrain.worker import LOCK


def refused(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        command(root, *arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make(tmp_path / "toy")


def predict(url: str, rows: int) -> list[float]:
    inputs = [
        {"name": "id", "shape": [rows], "datatype": "BYTES", "data": [f"mine-{n}" for n in range(rows)]},
        {"name": "hour", "shape": [rows], "datatype": "FP64", "data": [float(n % 24) for n in range(rows)]},
        {"name": "carrier", "shape": [rows], "datatype": "BYTES", "data": ["AA"] * rows},
    ]
    request = urllib.request.Request(
        f"{url}/v2/models/toy/infer",
        json.dumps({"inputs": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[float] = json.load(answer)["outputs"][0]["data"]
    return found


@pytest.mark.parametrize("how", [pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGTERM])
def test_the_end_comes_within_seconds_and_predictions_are_handed_in(how: int, toy: Path) -> None:
    with up(toy) as running, Client.http(running.url) as client:
        client.start_replay(AT)
        assert turn(client).state == "promoted"
        assert len(predict(running.inference, 200)) == 200
        code, said, seconds = running.end(how)
        assert (code, said) == (0, "")
        assert seconds < 20
        with pytest.raises(Unavailable, match="no answer"):
            client.health()
    assert holder(toy / ENGINE_LOCK) is None
    workspace = Workspace.open(toy)
    assert PredictionLog(workspace).count("toy") == 200
    workspace.close()


def test_the_end_does_not_wait_for_a_job_and_the_cycle_goes_on(toy: Path) -> None:
    script = (toy / "train.py").read_text()
    waits = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.05)\n"
    go = toy.parent / "go"
    (toy / "train.py").write_text(waits.format(str(go)) + script)
    with up(toy) as running, Client.http(running.url) as client:
        client.start_replay(AT)
        cycle = client.start_cycle(NewCycle(trigger=BY_HAND)).id
        until(lambda: any((s.name, s.state) == ("train", "running") for s in client.cycle(cycle).stages))
        code, said, seconds = running.end(signal.SIGINT)
        assert (code, said) == (0, "")
        assert seconds < 20
    go.touch()
    with up(toy) as running, Client.http(running.url) as client:
        assert running.process.stdout
        assert running.process.stdout.readline() == "going on with 1 interrupted cycle\n"
        ended = until(lambda: (found := client.cycle(cycle)).state != "running" and found)
        assert ended.state == "promoted", ended.error


def test_of_two_the_second_is_told_of_the_first(toy: Path) -> None:
    with up(toy) as running:
        for port in ("0", running.url.rpartition(":")[2]):
            said = refused(toy, "up", "--port", port)
            assert f"treadle up (process {running.process.pid}) is driving this workspace" in said
        with Client.in_process(toy) as here, pytest.raises(Busy, match=str(running.process.pid)):
            here.start_cycle(NewCycle(trigger=BY_HAND))
        with connect(root=toy) as found:
            assert (found.server, found.health().driving) == (running.url, True)


def test_a_port_that_is_taken(toy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(toy, "up", "--port", str(port))
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in said
    assert "choose another with --port" in said
    assert holder(toy / ENGINE_LOCK) is None


def test_where_the_inference_server_s_port_is_taken_it_says_so_and_drives_on(toy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        file = toy / "treadle.toml"
        file.write_text(re.sub(r"(\[serve\]\n(?:.*\n)*?)port = 0", rf"\1port = {port}", file.read_text()))
        process = subprocess.Popen(
            command(toy, "up", "--port", "0"), stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert process.stdout
        try:
            first, second = process.stdout.readline(), process.stdout.readline()
            with Client.http(first.split()[-1]) as client:
                assert client.health().driving
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert second.startswith(f"no inference yet: 127.0.0.1:{port}: the server can't listen there: Address")


def test_an_address_that_is_not_here(toy: Path) -> None:
    assert "can't listen on 192.0.2.1:0" in refused(toy, "up", "--port", "0", "--host", "192.0.2.1")
    assert "can't listen on no.such.host.invalid:0" in refused(
        toy, "up", "--port", "0", "--host", "no.such.host.invalid"
    )


def test_nobody_else_can_take_the_port_while_it_starts() -> None:
    from treadle.api.server import _listen
    from treadle.kernel.errors import Conflict

    with _listen("127.0.0.1", 0) as first, pytest.raises(Conflict):
        _listen("127.0.0.1", first.getsockname()[1])


def test_people_are_told_while_the_past_is_replayed(toy: Path) -> None:
    """Nothing is looked at between the steps; what a receiver didn't take is tried again all the same."""
    workspace = Workspace.open(toy)
    rooms: Any = SimpleNamespace(workspace=workspace)
    looked, delivered = threading.Event(), threading.Event()
    with _every(0.01, "test", rooms, looked.set, delivered.set):
        assert looked.wait(PATIENCE)
        assert not delivered.is_set()
    with workspace.database.write() as connection:
        connection.execute(replays.insert().values(id=1, since=AT, at=AT))
    looked.clear()
    with _every(0.01, "test", rooms, looked.set, delivered.set):
        assert delivered.wait(PATIENCE)
        assert not looked.is_set()
    workspace.close()


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert _url("::1", 80) == "http://[::1]:80"
    assert _url("localhost", 80) == "http://localhost:80"


def test_a_replica_that_dies_is_started_again(toy: Path) -> None:
    with up(toy) as running, Client.http(running.url) as client:
        client.start_replay(AT)
        assert turn(client).state == "promoted"
        before = predict(running.inference, 3)
        first = replica(running.process.pid)
        os.kill(first, signal.SIGKILL)
        second = until(lambda: (pid := replica(running.process.pid)) not in {None, first} and pid)
        assert second != first
        assert until(lambda: _try(lambda: predict(running.inference, 3))) == before
        assert client.health().driving


def test_each_environment_has_a_server_and_the_same_bytes_go_from_one_to_the_next(toy: Path) -> None:
    file = toy / "treadle.toml"
    file.write_text(file.read_text() + "[environments.staging]\nport = 0\n[environments.production]\n")
    with up(toy) as running, Client.http(running.url) as client:
        client.start_replay(AT)
        assert turn(client).state == "held"
        [first, last] = until(lambda: (now := client.environments("toy"))[0].served and now)
        assert (first.served.version, first.replicas, first.lacks, last.served) == (1, 1, (), None)
        [replica] = client.deployment("toy", "staging").replicas
        answers = predict(replica.url, 3)
        with pytest.raises(urllib.error.HTTPError, match="503"):
            predict(running.inference, 3)
        assert client.deploy("toy/1", "as in staging", environment="production", expect=0).state == "serving"
        assert predict(running.inference, 3) == answers
        assert {one.digest for one in client.environments("toy")} == {first.digest}
        assert client.model("toy@production").id == first.digest
        # What is tried before the last environment isn't written down.
        written = [(toy / ".treadle" / name / "journal").exists() for name in ("replica-staging", "replica")]
        assert written == [False, True]


def test_a_replica_does_not_outlive_a_server_that_is_killed(toy: Path) -> None:
    with up(toy) as running:
        child = until(lambda: replica(running.process.pid))
        running.end(signal.SIGKILL)
        until(lambda: not Path(f"/proc/{child}").exists())
        assert find_server(root=toy) is None
    with up(toy) as again:
        assert again.url


def replica(parent: int) -> int | None:
    """The inference server that a process has as a child."""
    return next(
        (
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/stat")
            if _parent(path) == parent and b"treadle.deploy.replica" in _read(path.with_name("cmdline"))
        ),
        None,
    )


def _parent(stat: Path) -> int:
    return int((_read(stat).rpartition(b")")[2].split() or [b"0", b"0"])[1])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _try(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except OSError:
        return None


def test_the_client_looks_where_the_worker_locks() -> None:
    assert ENGINE_LOCK == LOCK
