"""Where jobs run: the port that every executor fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from treadle.train.types import JobResult, JobSpec

JOBS_ABREAST = 2  # how many jobs of a cycle run at the same time


class Executor(Protocol):
    """Runs jobs, each at most once, whoever dies and comes back meanwhile."""

    @property
    def resources(self) -> str:
        """The class of machine that jobs run on, such as ``local-cpu2``."""

    def start(self, spec: JobSpec) -> None:
        """Starts a job; does nothing if it was started before, however it went."""

    def wait(self, spec: JobSpec, on_poll: Callable[[], None]) -> JobResult:
        """Waits until a job has ended, also one that an earlier process started.

        Args:
            spec: The job.
            on_poll: Called several times a second while it runs. What it raises is raised
                here; the job runs on.
        """

    def cancel(self, spec: JobSpec) -> None:
        """Stops a job, or keeps it from starting; does nothing to one that has ended."""
