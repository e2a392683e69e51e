"""Load tests as jobs: they go on while somebody waits for them, and can be followed and stopped."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from treadle.deploy.loadtest.service import LoadTests
from treadle.deploy.loadtest.types import LoadTestJob, NewLoadTest
from treadle.deploy.loadtest.watching import Watch
from treadle.kernel.errors import TreadleError
from treadle.kernel.following import FollowedJob, FollowedJobs
from treadle.kernel.workspace import Workspace

_log = logging.getLogger("treadle.loadtest")
_PATIENCE = 15
_KEPT = 20
_END_SECONDS = 15.0


class _Job(FollowedJob):
    """A job, and what watches it.

    Args:
        told: As it begins.
        new: What is asked for, with its rows.
    """

    def __init__(self, told: LoadTestJob, new: NewLoadTest) -> None:
        self.watch = Watch()
        super().__init__(told.id, self.watch)
        self._told, self.new = told, new

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
        self._workspace = workspace
        self._tests = LoadTests(workspace)
        self._jobs: FollowedJobs[_Job] = FollowedJobs("load test", patience, _KEPT, _END_SECONDS)

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
        self._jobs.begin(_Job(told, new), self._work)
        return told

    def get(self, job_id: str) -> LoadTestJob:
        """A job as it stands; asking for it says that somebody waits for it.

        Raises:
            NotFound: If there is none, or not any more.
        """
        return self._jobs.asked(job_id).told

    def cancel(self, job_id: str, actor: str) -> LoadTestJob:
        """Stops a job, and waits for that; one that has ended stays as it is.

        Raises:
            NotFound: If there is none, or not any more.
        """
        return self._jobs.stopped(job_id, f"{actor} stopped it").told

    def close(self) -> None:
        """Stops all jobs, and waits for that."""
        self._jobs.close()

    def _work(self, job: _Job) -> None:
        told = job.told
        try:
            found = self._tests.run(told.model, job.new, told.actor, job.watch)
            state = "cancelled" if found.cancelled else "done"
            job.end(replace(told, state=state, result=found))
        except TreadleError as error:
            job.end(replace(told, state="failed", error=error.body()))
        except Exception as error:  # noqa: BLE001 - whoever waits must be told of any
            _log.error("%s", job.id, exc_info=error)
            job.end(replace(told, state="failed", error=job.stumbled("load test", error).body()))
