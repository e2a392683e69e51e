"""What a process costs: wall time, CPU time and peak memory, as the kernel counted them.

CPU seconds hold on a shared machine where wall times don't, so ratios are made of CPU
seconds. The peak of a process that was just forked includes its parent's memory, so the
programs that measure stay small: heavy libraries are imported by the measured scripts only.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil


class Cost(NamedTuple):
    """What a process and its waited-for children cost.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of processor time, user and system.
        peak: The largest resident memory of any of them, in MB.
        out: What it printed.
    """

    wall: float
    cpu: float
    peak: float
    out: str


class Failed(Exception):
    """A measured program did not do its work; the text says why."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would send a peer elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "WANDB_", "TREADLE_"))}
    quiet = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "true",
        "NML_DISABLE_USAGE_LOGGING": "1",
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_OFFLINE": "1",
    }
    return {**kept, **quiet, **(extra or {})}


def run(
    command: Sequence[str | Path],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 1500,
) -> Cost:
    """Runs a program to its end.

    Raises:
        Failed: If it ends with another code than 0, or not in time.
    """
    with tempfile.TemporaryFile("w+") as out:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        previous = signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise Failed(f"{command[0]} ended with {process.returncode}: {said[-1500:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, said)


def interleaved(
    cases: Mapping[str, Callable[[], Cost]], rounds: int, warm: int = 1
) -> dict[str, list[Cost] | str]:
    """Costs of each case, measured in turns (A B C A B C); a case that fails is its reason."""
    found: dict[str, list[Cost] | str] = {name: [] for name in cases}
    for number in range(-warm, rounds):
        for name, case in cases.items():
            kept = found[name]
            if isinstance(kept, str):
                continue
            try:
                cost = case()
            except Failed as error:
                found[name] = str(error)
                continue
            if number >= 0:
                kept.append(cost)
    return found


def median(costs: Sequence[Cost], which: str) -> float:
    """The median of one figure of many costs."""
    return statistics.median(getattr(cost, which) for cost in costs)


@contextmanager
def running(
    command: Sequence[str | Path], cwd: Path, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a session of its own, which is ended with everything it started."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        tree = family(process.pid)
        for one in tree:
            _signal(one, signal.SIGTERM)
        _, left = psutil.wait_procs(tree, 10)
        for one in left:
            _signal(one, signal.SIGKILL)
        psutil.wait_procs(left, 5)


def _signal(process: psutil.Process, which: signal.Signals) -> None:
    try:
        process.send_signal(which)
    except psutil.NoSuchProcess:
        return


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_of(pid: int) -> float:
    """CPU seconds so far of a process and all that it started, also of those that have ended."""
    total = 0.0
    for one in family(pid):
        times = one.cpu_times()
        total += times.user + times.system
        if one.pid == pid:
            total += times.children_user + times.children_system
    return total


def precise_cpu_of(pid: int) -> float:
    """CPU seconds so far of a process's living threads, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory_of(pid: int) -> float:
    """MB of a process and all that it started; what they share counts once."""
    return sum(one.memory_full_info().pss for one in family(pid)) / 1e6


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def load_average() -> str:
    """How busy the machine is: the mean length of the run queue over 1, 5 and 15 minutes."""
    return " ".join(f"{one:.1f}" for one in os.getloadavg())
