"""What the client asks of checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

from treadle.client.calls import Calls
from treadle.client.following import finished
from treadle.evaluate.types import (
    CheckJob,
    CheckPlan,
    CheckRequest,
    CheckResult,
    Evaluation,
    ForeignSuite,
    ReportFormat,
    WrittenChecks,
)
from treadle.kernel.errors import Unavailable


class CheckCalls(Calls):
    """Calls of the routes of checks."""

    def check(self, asked: CheckRequest, follow: Callable[[CheckJob], None] | None = None) -> CheckResult:
        """Checks data, models and behaviour; what was judged before, of the same by the same, is told again.

        Whoever interrupts it stops the checks, also those of a server.

        Args:
            asked: What is checked.
            follow: Told again and again how far it is, the last time when it has ended.

        Raises:
            Conflict: If somebody else stopped it.
            Unavailable: If the server is away for longer than a restart takes, or was started again.
            TreadleError: Whatever keeps the checks from being made.
        """
        job = self.start_check(asked)
        lost = Unavailable(
            "the server was started again, and the check ended with it",
            where=self.server,
            fix="what was answered is kept: the same check goes on from there",
        )
        job = finished(job, self.check_job, self.cancel_check, lost, follow)
        assert job.result is not None  # noqa: S101 - it has ended without an error
        return job.result

    def start_check(self, asked: CheckRequest) -> CheckJob:
        """Begins to check; the job is stopped if nobody asks for it for a minute."""
        from treadle.client.client import actor

        job: CheckJob = self._ask(CheckJob, "POST", "/v1/checks/jobs", asked, actor=actor())
        return job

    def check_job(self, job_id: str) -> CheckJob:
        """How far checks are, and what they came to."""
        job: CheckJob = self._ask(CheckJob, "GET", f"/v1/checks/jobs/{quote(job_id, safe='')}")
        return job

    def check_jobs(self) -> list[CheckJob]:
        """The checks that are under way, and those that ended lately, the newest first."""
        jobs: list[CheckJob] = self._ask(list[CheckJob], "GET", "/v1/checks/jobs")
        return jobs

    def cancel_check(self, job_id: str) -> CheckJob:
        """Stops checks, and waits some seconds for that; answers that are there are kept."""
        from treadle.client.client import actor

        path = f"/v1/checks/jobs/{quote(job_id, safe='')}"
        job: CheckJob = self._ask(CheckJob, "DELETE", path, actor=actor())
        return job

    def plan_checks(self, asked: CheckRequest) -> CheckPlan:
        """What checks would test, and what the data at hand can tell; judges nothing."""
        found: CheckPlan = self._ask(CheckPlan, "POST", "/v1/checks/plan", asked)
        return found

    def suggest_checks(self, data: str) -> WrittenChecks:
        """Checks that some rows pass, as lines of ``treadle.toml``, for a person to prune."""
        found: WrittenChecks = self._ask(WrittenChecks, "GET", "/v1/checks/suggestion", data=data)
        return found

    def import_checks(self, suite: ForeignSuite) -> WrittenChecks:
        """Checks as Great Expectations or Pandera write them, as lines of ``treadle.toml``."""
        found: WrittenChecks = self._ask(WrittenChecks, "POST", "/v1/checks/import", suite)
        return found

    def evaluations(self, subject: str | None = None, limit: int = 100) -> list[Evaluation]:
        """What gates found, the newest first."""
        found: list[Evaluation] = self._ask(
            list[Evaluation], "GET", "/v1/evaluations", subject=subject, limit=limit
        )
        return found

    def check_report(self, evaluations: Sequence[str], wanted: ReportFormat) -> bytes:
        """What some evaluations found, as one document."""
        query = urlencode([*(("evaluation", one) for one in evaluations), ("format", wanted)])
        return self._send("GET", f"/v1/checks/report?{query}").read()
