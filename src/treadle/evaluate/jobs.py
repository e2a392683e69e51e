"""Checks as jobs: they go on while somebody waits for them, and can be followed and stopped."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime

import msgspec

from treadle.evaluate.checking import Checks
from treadle.evaluate.types import CheckJob, CheckRequest, CheckResult
from treadle.evaluate.watching import Cancelled, Watch
from treadle.kernel.errors import Busy, Conflict, ErrorBody, TreadleError
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace

_log = logging.getLogger("treadle.checks")
_TICK = 1.0
_PATIENCE = 60
_LEFT = 3
_MOST, _KEPT = 16, 100
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class _Job:
    """A job, and the threads of it.

    Args:
        told: As it begins.
    """

    def __init__(self, told: CheckJob) -> None:
        self._told = told
        self.id, self.asked = told.id, told.asked
        self.watch, self.ended = Watch(), threading.Event()
        self.silent = 0

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
        self._ws, self._patience = workspace, patience
        self._checks = Checks(workspace)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(self, asked: CheckRequest, actor: str) -> CheckJob:
        """Begins to check, and returns at once.

        Args:
            asked: What is checked.
            actor: Who asks.

        Raises:
            Busy: If too many jobs are under way.
        """
        job = _Job(CheckJob(id=self._ws.ids.new("check"), asked=asked, actor=actor, at=self._now()))
        with self._lock:
            under_way = sum(not one.ended.is_set() for one in self._jobs.values())
            if self._closed or under_way >= _MOST:
                raise Busy(
                    f"{under_way} checks are under way; no more are begun",
                    fix="wait for one to end, or stop one: treadle check jobs lists them",
                )
            self._jobs[job.id] = job
            for old in [one.id for one in self._jobs.values() if one.ended.is_set()][:-_KEPT]:
                del self._jobs[old]
        for work in (self._work, self._mind):
            threading.Thread(target=work, args=(job,), name=f"treadle-{job.id}", daemon=True).start()
        return job.told

    def get(self, job_id: str) -> CheckJob:
        """A job as it stands; asking for it says that somebody waits for it.

        Raises:
            NotFound: If there is none, or not any more.
        """
        job = self._find(job_id)
        job.silent = 0
        return job.told

    def list(self) -> list[CheckJob]:
        """The jobs, the newest first."""
        with self._lock:
            return [job.told for job in reversed(self._jobs.values())]

    def cancel(self, job_id: str, actor: str) -> CheckJob:
        """Stops a job, and waits some seconds for that; one that has ended stays as it is.

        Raises:
            NotFound: If there is none, or not any more.
        """
        job = self._find(job_id)
        job.watch.cancel(f"{actor} stopped it")
        job.ended.wait(_END_SECONDS)
        return job.told

    def close(self) -> None:
        """Stops all jobs; what was answered is kept."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.watch.cancel("the server was shutting down")
        until = time.monotonic() + _END_SECONDS
        for job in jobs:
            job.ended.wait(max(until - time.monotonic(), 0))

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
            job.end(_cancelled(job) if job.watch.why else _stumbled(job, error))

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
        with self._lock:
            others = [one for one in self._jobs.values() if one is not job and not one.ended.is_set()]
        return next((one for one in others if one.watch.progress().check == check), None)

    def _abandoned(self, other: _Job, job: _Job) -> bool:
        """Whether nobody waits for a job any more; it has been stopped then."""
        until = time.monotonic() + (_LEFT + 1) * _TICK
        while other.silent < _LEFT and not other.watch.why and not other.ended.wait(_LOOK_SECONDS):
            job.watch.look()
            if time.monotonic() > until:
                return False
        other.watch.cancel("nobody waited for it, and somebody else asks the same")
        return other.ended.wait(_END_SECONDS)

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
            raise unknown("check", job_id, names)
        return found

    def _now(self) -> datetime:
        return self._ws.clock.now()


def _stumbled(job: _Job, error: Exception) -> ErrorBody:
    said = f"the check stumbled: {error.__class__.__name__}: {error}"
    return TreadleError(said, where=job.id, fix="the log has the details; please report it").body()


def _cancelled(job: _Job) -> ErrorBody:
    answered = job.watch.progress().answered
    kept = "what was answered is kept, and the same check goes on from there" if answered else "begin again"
    return Conflict(f"the check was stopped: {job.watch.why}", where=job.id, fix=kept).body()
