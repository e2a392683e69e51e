"""Load tests as jobs: they go on while somebody waits for them, and can be followed and stopped."""

from __future__ import annotations

import logging
import threading
import time

from msgspec.structs import replace

from treadle.deploy.loadtest.service import LoadTests
from treadle.deploy.loadtest.types import LoadTestJob, NewLoadTest
from treadle.deploy.loadtest.watching import Watch
from treadle.kernel.errors import Busy, ErrorBody, TreadleError
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace

_log = logging.getLogger("treadle.loadtest")
_TICK = 1.0
_PATIENCE = 15
_KEPT = 20
_END_SECONDS = 15.0


class _Job:
    """A job, and what watches it.

    Args:
        told: As it begins.
    """

    def __init__(self, told: LoadTestJob) -> None:
        self.id = told.id
        self._told = told
        self.watch, self.ended = Watch(), threading.Event()
        self.silent = 0

    @property
    def told(self) -> LoadTestJob:
        """As it stands."""
        return replace(self._told, progress=self.watch.progress)

    def end(self, told: LoadTestJob) -> None:
        """Says what it came to."""
        self._told = told
        self.ended.set()


class LoadTestJobs:
    """The load tests that are under way in this process, and those that ended lately.

    One that nobody has asked for for 15 seconds is stopped: whoever began it is gone, and it loads a
    machine for nothing.

    Args:
        workspace: The workspace.
        patience: For how many seconds a job goes on that nobody asks for.
    """

    def __init__(self, workspace: Workspace, patience: int = _PATIENCE) -> None:
        self._workspace, self._patience = workspace, patience
        self._tests = LoadTests(workspace)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(self, model: str, new: NewLoadTest, actor: str) -> LoadTestJob:
        """Begins a load test, and returns at once.

        Args:
            model: The model.
            new: What is asked for.
            actor: Who asks.

        Raises:
            Busy: If the server is shutting down.
        """
        at = self._workspace.clock.now()
        asked = replace(new, rows=())  # they may be many, and are told again and again
        told = LoadTestJob(
            id=self._workspace.ids.new("loadtest"), model=model, asked=asked, actor=actor, at=at
        )
        job = _Job(told)
        with self._lock:
            if self._closed:
                raise Busy("the server is shutting down", fix="ask again when it runs")
            self._jobs[job.id] = job
            for old in [one.id for one in self._jobs.values() if one.ended.is_set()][:-_KEPT]:
                del self._jobs[old]
        for work, given in ((self._work, (job, new)), (self._mind, (job,))):
            threading.Thread(target=work, args=given, name=f"treadle-{job.id}", daemon=True).start()
        return told

    def get(self, job_id: str) -> LoadTestJob:
        """A job as it stands; asking for it says that somebody waits for it.

        Raises:
            NotFound: If there is none, or not any more.
        """
        job = self._find(job_id)
        job.silent = 0
        return job.told

    def cancel(self, job_id: str, actor: str) -> LoadTestJob:
        """Stops a job, and waits for that; one that has ended stays as it is.

        Raises:
            NotFound: If there is none, or not any more.
        """
        job = self._find(job_id)
        job.watch.cancel(f"{actor} stopped it")
        job.ended.wait(_END_SECONDS)
        return job.told

    def close(self) -> None:
        """Stops all jobs, and waits for that."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.watch.cancel("the server was shutting down")
        until = time.monotonic() + _END_SECONDS
        for job in jobs:
            job.ended.wait(max(until - time.monotonic(), 0))

    def _work(self, job: _Job, new: NewLoadTest) -> None:
        told = job.told
        try:
            found = self._tests.run(told.model, new, told.actor, job.watch)
            state = "cancelled" if found.cancelled else "done"
            job.end(replace(told, state=state, result=found))
        except TreadleError as error:
            job.end(replace(told, state="failed", error=error.body()))
        except Exception as error:  # noqa: BLE001 - whoever waits must be told of any
            _log.error("%s", job.id, exc_info=error)
            job.end(replace(told, state="failed", error=_stumbled(job, error)))

    def _mind(self, job: _Job) -> None:
        """Stops a job that nobody asks for. Ticks are counted: a machine that slept hasn't been silent."""
        while not job.ended.wait(_TICK):
            job.silent += 1
            if job.silent >= self._patience:
                job.watch.cancel(f"nobody has waited for it for {self._patience} seconds")

    def _find(self, job_id: str) -> _Job:
        with self._lock:
            found = self._jobs.get(job_id)
            names = list(self._jobs)
        if found is None:
            raise unknown("load test", job_id, names)
        return found


def _stumbled(job: _Job, error: Exception) -> ErrorBody:
    said = f"the load test stumbled: {error.__class__.__name__}: {error}"
    return TreadleError(said, where=job.id, fix="the log has the details; please report it").body()
