from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3
from replica_parts import (
    ServicesPlatform,
    ids_of,
    inbox_rows,
    one_row,
    options,
    post,
    register,
    status,
    wait_for,
    write_model,
)

from treadle.deploy import Supervisor, listen, replica_command
from treadle.kernel.workspace import Workspace

PARTS = Path(__file__).with_name("replica_parts.py")


@contextlib.contextmanager
def process(project: Path, state: Path, inbox: Path, flush: float) -> Iterator[tuple[subprocess.Popen, str]]:
    """A replica in a process of its own, on the project's real services; ready."""
    command = [sys.executable, str(PARTS), str(project), str(state), str(inbox), str(flush)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            url = child.stdout.readline().split()[-1]
            wait_for(lambda: status(f"{url}/v2/health/ready") == 200, timeout=60)
            yield child, url
        finally:
            child.kill()


@pytest.fixture
def platform(workspace: Workspace, tmp_path: Path) -> ServicesPlatform:
    register(workspace, write_model(tmp_path / "m1"), "run_1")
    found = ServicesPlatform(workspace, tmp_path / "inbox")
    found.deployments.deploy("toy", 1, "me", "test", "k")
    return found


def test_after_kill_9_every_answered_prediction_arrives_exactly_once(platform, project, tmp_path):
    state, inbox = tmp_path / "state", platform.inbox
    answered: list[str] = []
    for kill_after, flush in ((60, 60.0), (60, 0.02)):
        with process(project, state, inbox, flush) as (child, url):
            callers = [threading.Thread(target=ask, args=(url, kill_after, answered)) for _ in range(3)]
            for caller in callers:
                caller.start()
            enough = len(answered) + kill_after
            wait_for(lambda enough=enough: len(answered) >= enough)
            # In the middle of everything: answering, writing, shipping.
            child.send_signal(signal.SIGKILL)
            child.wait()
            for caller in callers:
                caller.join()
    with process(project, state, inbox, 0.02) as (child, url):
        wait_for(lambda: not list((state / "journal" / "toy").iterdir()))
        child.terminate()
        assert child.wait(20) == 0
    arrived = inbox_rows(inbox)
    assert len(arrived) == len(set(arrived))
    # A prediction may have been written down whose answer the kill cut off; never the other way round.
    assert set(answered) <= set(arrived)
    assert len(set(arrived) - set(answered)) <= 6


def ask(url: str, times: int, answered: list[str]) -> None:
    for _ in range(times):
        try:
            code, answer = post(url, one_row())
        except urllib3.exceptions.HTTPError:
            return
        assert code == 200
        answered.extend(ids_of(answer))


def test_sigterm_finishes_what_is_in_flight_and_ships_the_journal(platform, project, tmp_path):
    answered: list[str] = []
    with process(project, tmp_path / "state", platform.inbox, 60.0) as (child, url):
        ask(url, 20, answered)
        child.terminate()
        assert child.wait(20) == 0
    assert sorted(inbox_rows(platform.inbox)) == sorted(answered)
    assert list((tmp_path / "state" / "journal" / "toy").iterdir()) == []


def test_a_supervised_process_is_started_again_when_it_dies_and_ends_when_closed(tmp_path):
    command = [sys.executable, "-c", "import os, time; os.write(1, b'up\\n'); time.sleep(600)"]
    supervisor = Supervisor(command, tmp_path / "logs" / "replica.log", first_pause=0.05)
    supervisor.start()
    try:
        for start in (1, 2, 3):
            wait_for(lambda n=start: supervisor.starts == n and supervisor.pid)
            os.kill(supervisor.pid, signal.SIGKILL)
        wait_for(lambda: supervisor.starts == 4 and supervisor.pid)
        last = supervisor.pid
        wait_for(lambda: (tmp_path / "logs" / "replica.log").read_text().endswith("up\n"))
    finally:
        supervisor.close()
    assert not psutil.pid_exists(last)
    assert set((tmp_path / "logs" / "replica.log").read_text().splitlines()) == {"up"}


def test_a_process_that_ends_at_once_is_started_less_and_less_often(tmp_path):
    supervisor = Supervisor([sys.executable, "-c", ""], tmp_path / "replica.log", first_pause=0.01)
    pauses = []
    wait = supervisor._stop.wait

    def noted(timeout: float) -> bool:
        pauses.append(timeout)
        return wait(0) or len(pauses) == 13

    supervisor._stop.wait = noted
    supervisor.start()
    supervisor._thread.join(30)
    supervisor.close()
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]
    assert pauses[-1] == 30.0


def test_what_ended_is_told_by_name_with_the_last_error_that_its_log_holds(tmp_path, caplog):
    script = "print('up', flush=True); raise OSError('no room\\n  → make some')"
    supervisor = Supervisor([sys.executable, "-c", script], tmp_path / "router.log", first_pause=30)
    supervisor.start()
    wait_for(lambda: caplog.messages)
    supervisor.close()
    (said,) = caplog.messages
    assert said.startswith("the process router of inference ended with status 1; it is started again")
    assert said.endswith(f"(its log: {tmp_path / 'router.log'}): OSError: no room\n  → make some")


def test_a_replica_dies_with_its_parent(tmp_path):
    """The real command: there is no platform at its URL, so it only waits. It answers at its own door too."""
    door = listen("127.0.0.1", 0)
    command = replica_command(options(tmp_path / "state"), "http://127.0.0.1:9", door=door)
    parent = (
        "import socket, sys, time\n"
        "from pathlib import Path\n"
        "from treadle.deploy import Supervisor\n"
        f"door = socket.socket(fileno={door.fileno()})\n"
        f"s = Supervisor({command!r}, Path({str(tmp_path / 'replica.log')!r}), asked=door)\n"
        "s.start()\n"
        "time.sleep(600)\n"
    )
    log = tmp_path / "replica.log"
    with door, subprocess.Popen([sys.executable, "-c", parent], pass_fds=[door.fileno()]) as supervised:
        wait_for(lambda: log.exists() and "answers at" in log.read_text(), timeout=60)
        (replica,) = psutil.Process(supervised.pid).children()
        url = next(line.split()[-1] for line in log.read_text().splitlines() if "answers at" in line)
        wait_for(lambda: status(f"{url}/v2/health/live") == 200)
        assert status(f"{url}/v2/health/ready") == 503
        assert status(f"http://127.0.0.1:{door.getsockname()[1]}/v2/health/live") == 200
        supervised.kill()
    psutil.wait_procs([replica], timeout=20)
    assert not replica.is_running()
