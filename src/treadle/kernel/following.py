"""Jobs of this process that somebody follows: stopped by whoever asks, or when nobody asks for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from treadle.kernel.errors import Busy, TreadleError
from treadle.kernel.names import unknown

TICK = 1.0
"""Seconds between two looks at whether somebody waits."""


class Stoppable(Protocol):
    """What stops a job from any thread."""

    def cancel(self, why: str) -> None:
        """Stops it; the first reason counts."""


class FollowedJob:
    """A job, and what stops it.

    Args:
        job_id: Its identity.
        watch: Stops it.

    Attributes:
        ended: Set when it has ended.
        silent: For how many seconds nobody has asked for it.
    """

    def __init__(self, job_id: str, watch: Stoppable) -> None:
        self.id, self._watch = job_id, watch
        self.ended = threading.Event()
        self.silent = 0

    def stop(self, why: str) -> None:
        """Has it end soon."""
        self._watch.cancel(why)

    def stumbled(self, what: str, error: Exception) -> TreadleError:
        """The error for one that nobody foresaw."""
        said = f"the {what} stumbled: {error.__class__.__name__}: {error}"
        return TreadleError(said, where=self.id, fix="the log has the details; please report it")


J = TypeVar("J", bound=FollowedJob)


class FollowedJobs(Generic[J]):
    """Those that are under way, and those that ended lately.

    One that nobody has asked for for a while is stopped: whoever began it is gone.

    Args:
        kind: What a job is called in errors.
        patience: For how many seconds a job goes on that nobody asks for.
        kept: How many that have ended are still known.
        end_seconds: How long a job that was stopped is waited for.
    """

    def __init__(self, kind: str, patience: int, kept: int, end_seconds: float) -> None:
        self._kind, self._patience, self._kept, self._end_seconds = kind, patience, kept, end_seconds
        self._jobs: dict[str, J] = {}
        self._lock = threading.Lock()
        self._closed = False

    def begin(self, job: J, work: Callable[[J], None], most: int | None = None, fix: str = "") -> None:
        """Begins a job on threads of its own.

        Args:
            job: The job.
            work: Does it, and says what it came to; must not raise.
            most: How many may be under way; any number when None.
            fix: What to do if that many are.

        Raises:
            Busy: If that many are under way, or the server is shutting down.
        """
        with self._lock:
            under_way = sum(not one.ended.is_set() for one in self._jobs.values())
            if self._closed:
                raise Busy("the server is shutting down", fix="ask again when it runs")
            if most is not None and under_way >= most:
                raise Busy(f"{under_way} {self._kind}s are under way; no more are begun", fix=fix)
            self._jobs[job.id] = job
            for old in [one.id for one in self._jobs.values() if one.ended.is_set()][: -self._kept]:
                del self._jobs[old]
        for task in (work, self._mind):
            threading.Thread(target=task, args=(job,), name=f"treadle-{job.id}", daemon=True).start()

    def asked(self, job_id: str) -> J:
        """A job that somebody waits for.

        Raises:
            NotFound: If there is none, or not any more.
        """
        job = self._find(job_id)
        job.silent = 0
        return job

    def stopped(self, job_id: str, why: str) -> J:
        """A job that was stopped and, if that took no longer than it may, has ended.

        Raises:
            NotFound: If there is none, or not any more.
        """
        job = self._find(job_id)
        job.stop(why)
        job.ended.wait(self._end_seconds)
        return job

    def all(self) -> list[J]:
        """They, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def close(self) -> None:
        """Stops all of them, and waits for that."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stop("the server was shutting down")
        until = time.monotonic() + self._end_seconds
        for job in jobs:
            job.ended.wait(max(until - time.monotonic(), 0))

    def _mind(self, job: J) -> None:
        """Stops a job that nobody asks for. Ticks are counted: a machine that slept hasn't been silent."""
        while not job.ended.wait(TICK):
            job.silent += 1
            if job.silent >= self._patience:
                job.stop(f"nobody has waited for it for {self._patience} seconds")

    def _find(self, job_id: str) -> J:
        with self._lock:
            found = self._jobs.get(job_id)
            names = list(self._jobs)
        if found is None:
            raise unknown(self._kind, job_id, names)
        return found
