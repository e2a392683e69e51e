"""Checks as jobs: they go on while somebody waits for them, and can be followed and stopped."""

from __future__ import annotations

import logging
import time

import msgspec

from treadle.evaluate.checking import Checks
from treadle.evaluate.types import CheckJob, CheckRequest, CheckResult
from treadle.evaluate.watching import Cancelled, Watch
from treadle.kernel import following
from treadle.kernel.errors import Busy, Conflict, ErrorBody, TreadleError
from treadle.kernel.following import FollowedJob, FollowedJobs
from treadle.kernel.workspace import Workspace

_log = logging.getLogger("treadle.checks")
_PATIENCE = 60
_LEFT = 3
_MOST, _KEPT = 16, 100
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class _Job(FollowedJob):
    """A job, and the threads of it.

    Args:
        told: As it begins.
    """

    def __init__(self, told: CheckJob) -> None:
        self.watch = Watch()
        super().__init__(told.id, self.watch)
        self._told, self.asked = told, told.asked

    @property
    def told(self) -> CheckJob:
        """As it stands."""
        if self.ended.is_set():
            return self._told
        return msgspec.structs.replace(self._told, asking=self.watch.progress())

    def end(self, found: CheckResult | ErrorBody) -> None:
        """Says what it came to."""
        result, error = (found, None) if isinstance(found, CheckResult) else (None, found)
        state = "done" if error is None else "cancelled" if self.watch.why else "failed"
        asking = self.watch.progress()
        self._told = msgspec.structs.replace(
            self._told, state=state, asking=asking, result=result, error=error
        )
        self.ended.set()


class CheckJobs:
    """The checks that are under way in this process, and those that ended lately.

    A job that nobody has asked for for a minute is stopped: whoever began it is gone, and calls cost money.
    That loses nothing, for answers are kept and the next check of the same goes on from there.

    Args:
        workspace: The workspace.
        patience: For how many seconds a job goes on that nobody asks for.
    """

    def __init__(self, workspace: Workspace, patience: int = _PATIENCE) -> None:
        self._ws = workspace
        self._checks = Checks(workspace)
        self._jobs: FollowedJobs[_Job] = FollowedJobs("check", patience, _KEPT, _END_SECONDS)

    def start(self, asked: CheckRequest, actor: str) -> CheckJob:
        """Begins to check, and returns at once.

        Args:
            asked: What is checked.
            actor: Who asks.

        Raises:
            Busy: If too many jobs are under way.
        """
        at = self._ws.clock.now()
        job = _Job(CheckJob(id=self._ws.ids.new("check"), asked=asked, actor=actor, at=at))
        fix = "wait for one to end, or stop one: treadle check jobs lists them"
        self._jobs.begin(job, self._work, _MOST, fix)
        return job.told

    def get(self, job_id: str) -> CheckJob:
        """A job as it stands; asking for it says that somebody waits for it.

        Raises:
            NotFound: If there is none, or not any more.
        """
        return self._jobs.asked(job_id).told

    def list(self) -> list[CheckJob]:
        """The jobs, the newest first."""
        return [job.told for job in self._jobs.all()]

    def cancel(self, job_id: str, actor: str) -> CheckJob:
        """Stops a job, and waits some seconds for that; one that has ended stays as it is.

        Raises:
            NotFound: If there is none, or not any more.
        """
        return self._jobs.stopped(job_id, f"{actor} stopped it").told

    def close(self) -> None:
        """Stops all jobs; what was answered is kept."""
        self._jobs.close()

    # ── one job ──────────────────────────────────────────────────────────

    def _work(self, job: _Job) -> None:
        try:
            job.end(self._run(job))
        except Cancelled:
            job.end(_cancelled(job))
        except TreadleError as error:
            job.end(error.body())
        except Exception as error:  # noqa: BLE001 - whoever waits must be told of any
            if not job.watch.why:  # else it was interrupted just there
                _log.error("%s", job.id, exc_info=error)
            job.end(_cancelled(job) if job.watch.why else job.stumbled("check", error).body())

    def _run(self, job: _Job) -> CheckResult:
        """Checks; in place of whoever asked the same and is gone.

        Raises:
            Busy: If somebody asks the same, and still waits for it.
        """
        try:
            return self._checks.run(job.asked, job.watch)
        except Busy as error:
            other = self._holder(job)
            if other is None:
                raise
            if not self._abandoned(other, job):
                raise Busy(
                    error.message, where=error.where, fix=f"wait for it, or: treadle check cancel {other.id}"
                ) from None
        return self._checks.run(job.asked, job.watch)

    def _holder(self, job: _Job) -> _Job | None:
        """Another job here that asks the same."""
        check = job.watch.progress().check
        if not check:
            return None
        others = [one for one in self._jobs.all() if one is not job and not one.ended.is_set()]
        return next((one for one in others if one.watch.progress().check == check), None)

    def _abandoned(self, other: _Job, job: _Job) -> bool:
        """Whether nobody waits for a job any more; it has been stopped then."""
        until = time.monotonic() + (_LEFT + 1) * following.TICK
        while other.silent < _LEFT and not other.watch.why and not other.ended.wait(_LOOK_SECONDS):
            job.watch.look()
            if time.monotonic() > until:
                return False
        other.watch.cancel("nobody waited for it, and somebody else asks the same")
        return other.ended.wait(_END_SECONDS)


def _cancelled(job: _Job) -> ErrorBody:
    answered = job.watch.progress().answered
    kept = "what was answered is kept, and the same check goes on from there" if answered else "begin again"
    return Conflict(f"the check was stopped: {job.watch.why}", where=job.id, fix=kept).body()
