"""Whether a process still answers: one that is stopped, computes, starts, ends, or is only late."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from replica_parts import wait_for

from treadle.deploy.probing import Patience, Prober, Used, says_it_loads, used

ALIVE = b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"live":true}'
PATIENCE = Patience(every=0.01, wait=0.02, waits=3, busy=30.0, ending=60.0, starting=120.0)


class Process:
    """One that answers as it is told, and the clock and the system's view of it."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.answers, self.closes = True, False
        self.at, self.cpu, self.state, self.loads = 0.0, 0.0, "S", False
        self.asked = 0
        self.owed: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line = self.listening.accept()[0]
                with line, contextlib.suppress(OSError):
                    while line.recv(1000):
                        self.asked += 1
                        if self.closes:
                            break
                        if self.answers:
                            line.sendall(ALIVE)
                        else:
                            self.owed.append(line)

    def late(self) -> None:
        for line in self.owed:
            line.sendall(ALIVE)
        self.owed.clear()

    def look(self, pid: int) -> Used:
        assert pid == 7
        return Used(self.state, self.cpu)

    def passes(self, seconds: float, cpu: float = 0.0) -> None:
        self.at, self.cpu = self.at + seconds, self.cpu + cpu


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.listening.close()


@pytest.fixture
def prober(process: Process) -> Iterator[Prober]:
    address, clock = process.listening.getsockname(), lambda: process.at
    made = Prober(address, 7, PATIENCE, process.look, clock, lambda: process.loads)
    with contextlib.closing(made):
        yield made


def asks(prober: Prober, process: Process, times: int, seconds: float = 2.0, cpu: float = 0.0) -> list[str]:
    found = []
    for _ in range(times):
        process.passes(seconds, cpu)
        found.append(prober.ask())
    return found


def answered(prober: Prober, process: Process) -> None:
    wait_for(lambda: prober.ask() == "" and not prober.waits)
    assert process.asked >= 1


def test_one_that_answers_is_well_on_one_connection(prober, process) -> None:
    answered(prober, process)
    before = process.asked
    for _ in range(5):
        answered(prober, process)
    assert process.asked >= before + 5


@pytest.mark.parametrize(("state", "does"), [("S", "doing nothing"), ("T", "stopped")])
def test_one_that_does_nothing_hangs_after_three_waits(prober, process, state, does) -> None:
    answered(prober, process)
    process.answers, process.state = False, state
    assert asks(prober, process, 3) == ["", "", f"it answered nobody for 6 s, {does}"]


def test_one_that_computes_has_longer(prober, process) -> None:
    answered(prober, process)
    process.answers = False
    assert asks(prober, process, 14, cpu=1.5) == [""] * 14
    assert asks(prober, process, 1, cpu=1.5) == [f"it answered nobody for {30} s"]


def test_one_that_loads_a_model_has_far_longer(prober, process) -> None:
    process.loads, process.answers = True, False
    assert asks(prober, process, 11, seconds=50.0, cpu=1.0) == [""] * 11
    process.answers = True
    process.late()
    answered(prober, process)
    process.answers = False
    assert asks(prober, process, 11, seconds=50.0, cpu=40.0) == [""] * 11
    assert asks(prober, process, 1, seconds=50.0, cpu=40.0) == [
        "it answered nobody for 600 s while it loads a model"
    ]


def test_one_that_loads_and_does_nothing_has_as_long_as_one_that_computes(prober, process) -> None:
    answered(prober, process)
    process.answers, process.loads = False, True
    assert asks(prober, process, 14) == [""] * 14
    assert asks(prober, process, 1) == ["it answered nobody for 30 s, doing nothing while it loads a model"]
    process.state = "T"
    assert asks(prober, process, 1) == ["it answered nobody for 32 s, stopped"]


def test_what_a_process_before_left_says_nothing(tmp_path) -> None:
    assert not says_it_loads(tmp_path / "none", 0.0)
    (tmp_path / "loading-toy").write_text("3 1")
    os.utime(tmp_path / "loading-toy", (1000.0, 1000.0))
    assert says_it_loads(tmp_path, 999.5)
    assert not says_it_loads(tmp_path, 1001.0)


def test_one_that_is_late_is_asked_again_from_the_start(prober, process) -> None:
    answered(prober, process)
    for _ in range(3):
        process.answers = False
        asked = process.asked
        assert asks(prober, process, 2) == ["", ""]
        wait_for(lambda before=asked: process.asked == before + 1)
        process.answers = True
        process.late()
        answered(prober, process)


def test_one_that_starts_has_its_time(prober, process) -> None:
    process.answers = False
    assert asks(prober, process, 59) == [""] * 59
    assert asks(prober, process, 1) == ["it did not answer within 120 s"]


def test_one_that_closed_the_connection_ends_in_its_own_time(prober, process) -> None:
    answered(prober, process)
    process.closes = True
    assert asks(prober, process, 10) == [""] * 10
    process.closes = process.answers = False
    assert asks(prober, process, 20) == [""] * 20
    assert asks(prober, process, 1) == ["it did not answer within 60 s"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_system_knows_who_is_stopped_and_who_computes() -> None:
    busy = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", busy]) as computing:
        try:
            wait_for(lambda: used(computing.pid).seconds > 0.1)
            os.kill(computing.pid, signal.SIGSTOP)
            wait_for(lambda: used(computing.pid).state == "T")
        finally:
            computing.kill()
    assert used(computing.pid) == Used("", 0.0)
