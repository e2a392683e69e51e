"""The process that runs one job and tells how it ended: ``python -m treadle.train.supervise FOLDER``.

It lives in a session of its own, so that a job goes on when Treadle is stopped or killed.
The job's folder holds all there is to know:

    spec.json    what to run (from the executor)
    lock         locked for as long as this process lives
    begun.json   the job was begun: it is never begun again
    cancel       somebody wants it stopped
    log.txt      what the command printed
    exit.json    how it ended

Imports nothing but the standard library and msgspec.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from treadle.kernel.errors import Busy
from treadle.kernel.files import write_atomic
from treadle.kernel.lock import Holder, exclusive
from treadle.train.types import JobResult, JobSpec

SPEC, LOCK, BEGUN, CANCEL, LOG, EXIT = "spec.json", "lock", "begun.json", "cancel", "log.txt", "exit.json"

_POLL = 0.02
_TRIES = 25
_CANNOT_RUN = 127
_SET_CHILD_SUBREAPER = 36


class Begun(msgspec.Struct, frozen=True):
    """That a job was begun: by which supervisor, and under which process group its command runs."""

    supervisor: int
    command: int | None = None


def main(folder: Path) -> None:
    """Begins the job in a folder, unless it was begun before; returns once it is begun."""
    spec = msgspec.json.decode((folder / SPEC).read_bytes(), type=JobSpec)
    for _ in range(_TRIES):
        with contextlib.suppress(Busy), exclusive(folder / LOCK, Holder(os.getpid(), f"job {spec.id}")):
            if not (folder / BEGUN).exists() and not (folder / EXIT).exists():
                _begin(folder, spec)
            return
        # Another supervisor has it, or somebody who asked whether it is held, for an instant.
        if (folder / BEGUN).exists():
            return
        time.sleep(_POLL)
    sys.exit(f"{folder / LOCK} is held by somebody who doesn't begin the job")


def _begin(folder: Path, spec: JobSpec) -> None:
    """Leaves a child behind, which inherits the lock and supervises."""
    write_atomic(folder / BEGUN, msgspec.json.encode(Begun(os.getpid())))
    if os.fork():
        os._exit(0)
    write_atomic(folder / EXIT, msgspec.json.encode(_run(folder, spec)))


def _run(folder: Path, spec: JobSpec) -> JobResult:
    started = time.monotonic()
    outcome, code = _execute(folder, spec, started + spec.timeout)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return JobResult(
        outcome=outcome or ("crashed" if code else "finished"),
        exit_code=code,
        wall_seconds=time.monotonic() - started,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_bytes=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


Stopped = Literal["timed_out", "cancelled"]


def _execute(folder: Path, spec: JobSpec, deadline: float) -> tuple[Stopped | None, int]:
    if (folder / CANCEL).exists():
        return "cancelled", -signal.SIGTERM
    _adopt_orphans()
    with (folder / LOG).open("ab") as log:
        try:
            child = subprocess.Popen(
                shlex.split(spec.command),
                cwd=spec.cwd,
                env=os.environ | spec.env | {"TREADLE_JOB": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            log.write(f"treadle: can't run {spec.command!r}: {error}\n".encode())
            return None, _CANNOT_RUN
    write_atomic(folder / BEGUN, msgspec.json.encode(Begun(os.getpid(), child.pid)))
    stopped = _watch(folder, spec, child.pid, deadline)
    # The command is still a zombie, so its group's number can't have been given to anybody else.
    _signal_group(child.pid, signal.SIGKILL)
    code = child.wait()
    _end_orphans()
    return stopped, code


def _watch(folder: Path, spec: JobSpec, pid: int, deadline: float) -> Stopped | None:
    """Waits until the command has ended; stops it when its time is up or somebody asks."""
    stopped: Stopped | None = None
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = time.monotonic()
        if stopped is None:
            if (folder / CANCEL).exists():
                stopped = "cancelled"
            elif now >= deadline:
                stopped = "timed_out"
            if stopped is not None:
                _signal_group(pid, signal.SIGTERM)
                deadline = now + spec.grace
        elif now >= deadline:
            _signal_group(pid, signal.SIGKILL)
        time.sleep(_POLL)
    return stopped


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _children() -> Path:
    return Path(f"/proc/self/task/{os.getpid()}/children")


def _adopt_orphans() -> None:
    """On Linux, whatever the command leaves behind becomes this process's child, to be ended and counted."""
    if _children().exists():
        import ctypes

        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_orphans() -> None:
    """Ends what left the command's process group and outlived it; nothing runs on uncounted."""
    with contextlib.suppress(ChildProcessError):
        while True:
            with contextlib.suppress(FileNotFoundError):
                for pid in _children().read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(_POLL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
