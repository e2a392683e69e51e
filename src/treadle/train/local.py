"""Jobs as processes of this machine, each under a supervisor of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from treadle.kernel.errors import JobFailed
from treadle.kernel.files import storage_errors, write_atomic
from treadle.kernel.lock import holder
from treadle.train.executor import JOBS_ABREAST
from treadle.train.supervise import BEGUN, CANCEL, EXIT, LOCK, SPEC
from treadle.train.types import JobResult, JobSpec

_POLL = 0.05


def _share() -> int:
    """The processors that one job may count on."""
    available = getattr(os, "sched_getaffinity", None)
    processors = len(available(0)) if available else os.cpu_count() or 1
    return max(1, processors // JOBS_ABREAST)


def _threads() -> dict[str, str]:
    """What numerical libraries are told; the user's own environment goes before it."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(_share()))


class LocalExecutor:
    """Runs each job on this machine, in a session of its own.

    Two jobs share the machine's processors: while one starts or loads data, the other
    computes. Each is told its share, because numerical libraries that believe they have
    all processors to themselves wait for each other in busy loops.

    Killing Treadle leaves the job running; the next ``wait`` takes it over. That a job
    lives is told by a lock that its supervisor holds, not by a process number, which
    may be another's by now.
    """

    @property
    def resources(self) -> str:
        """The class of machine that a job sees: this one, with a job's share of its processors."""
        return f"local-cpu{_share()}"

    def start(self, spec: JobSpec) -> None:
        """Starts a job; does nothing if it was started before, however it went.

        Raises:
            JobFailed: If its supervisor can't be started.
            StorageFull: If no space is left for its files.
        """
        folder = Path(spec.folder)
        if (folder / BEGUN).exists() or (folder / EXIT).exists():
            return
        write_atomic(folder / SPEC, msgspec.json.encode(spec))
        # The project's own `python` comes first. -P: no module of the user's stands in for ours.
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        log = folder / "supervisor.txt"
        with storage_errors(str(log)), log.open("ab") as file:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "treadle.train.supervise", str(folder)],
                env=_threads() | os.environ | {"PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                check=False,
            )
        if done.returncode:
            raise JobFailed(
                "the job's supervisor could not start", where=str(log), fix="see that file for why"
            )

    def wait(self, spec: JobSpec, on_poll: Callable[[], None]) -> JobResult:
        """Waits until a job has ended, also one that an earlier process started.

        A job whose supervisor is gone without a word is lost; what may run on of it is killed.

        Args:
            spec: The job.
            on_poll: Called about 20 times a second while it runs. What it raises is raised
                here; the job runs on.
        """
        folder = Path(spec.folder)
        while True:
            # In this order: the supervisor writes how the job ended before it lets go of the lock.
            alive = holder(folder / LOCK) is not None
            with contextlib.suppress(FileNotFoundError):
                return msgspec.json.decode((folder / EXIT).read_bytes(), type=JobResult)
            if not alive:
                _kill_left_over(folder)
                return JobResult(
                    outcome="lost", exit_code=-signal.SIGKILL, wall_seconds=0, cpu_seconds=0, peak_bytes=0
                )
            on_poll()
            time.sleep(_POLL)

    def cancel(self, spec: JobSpec) -> None:
        """Stops a job, or keeps it from starting; does nothing to one that has ended."""
        write_atomic(Path(spec.folder) / CANCEL, b"")


def _kill_left_over(folder: Path) -> None:
    """Ends the processes of a job whose supervisor is gone, known by the job in their environment (Linux)."""
    mark = f"TREADLE_JOB={folder}".encode()
    for _ in range(100):
        found = False
        for process in Path("/proc").glob("[0-9]*"):
            # Gone by now, or another user's.
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(_POLL)
