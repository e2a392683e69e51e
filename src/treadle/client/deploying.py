"""What the client asks of deployments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from treadle.client.calls import Calls
from treadle.client.following import finished
from treadle.deploy import LoadTest, LoadTestJob, NewLoadTest
from treadle.deploy.types import (
    DeploymentPlan,
    DeploymentStatus,
    DesiredRevision,
    InEnvironment,
    ReplicaReport,
    Revision,
)
from treadle.kernel.config import StrategyName
from treadle.kernel.errors import Unavailable


class DeployCalls(Calls):
    """Calls of the routes of deployments."""

    def deploy(
        self,
        ref: str,
        reason: str,
        strategy: StrategyName | None = None,
        *,
        environment: str | None = None,
        expect: int | None = None,
    ) -> Revision:
        """Deploys a version that has been approved before; as ``[deploy]`` says, or by a strategy.

        Args:
            ref: The version.
            reason: Why.
            strategy: How it takes over.
            environment: Where; the last environment if left out.
            expect: Only if this is the newest revision there; 0: only if there is none.
        """
        asked = {"ref": ref, "reason": reason, "actor": _actor(), **_chosen(strategy)}
        asked |= _in(environment) | ({} if expect is None else {"expect": str(expect)})
        found: Revision = self._ask(Revision, "POST", "/v1/deployments", **asked)
        return found

    def deployment_plan(
        self, ref: str, strategy: StrategyName | None = None, environment: str | None = None
    ) -> DeploymentPlan:
        """What deploying a version would change; does nothing."""
        asked = {"ref": ref, **_chosen(strategy), **_in(environment)}
        found: DeploymentPlan = self._ask(DeploymentPlan, "GET", "/v1/deployment-plan", **asked)
        return found

    def deployment(self, model: str, environment: str | None = None) -> DeploymentStatus:
        """What should run, what does, and what is about to take over."""
        found: DeploymentStatus = self._ask(DeploymentStatus, "GET", _of(model), **_in(environment))
        return found

    def revisions(self, model: str, environment: str | None = None) -> list[Revision]:
        """A model's deployments, oldest first."""
        path, asked = f"{_of(model)}/revisions", _in(environment)
        found: list[Revision] = self._ask(list[Revision], "GET", path, **asked)
        return found

    def environments(self, model: str, at: datetime | None = None) -> list[InEnvironment]:
        """What each declared environment serves, or served at a moment, in order."""
        path, asked = f"{_of(model)}/environments", {"at": at.isoformat()} if at else {}
        found: list[InEnvironment] = self._ask(list[InEnvironment], "GET", path, **asked)
        return found

    def promote(self, model: str, reason: str, environment: str | None = None) -> Revision:
        """Lets the revision in trial take over now."""
        path, asked = f"{_of(model)}/promotion", _in(environment)
        found: Revision = self._ask(Revision, "POST", path, reason=reason, actor=_actor(), **asked)
        return found

    def withdraw_trial(self, model: str, reason: str, environment: str | None = None) -> Revision:
        """Takes the revision in trial back; what serves goes on."""
        path, asked = f"{_of(model)}/withdrawal", _in(environment)
        found: Revision = self._ask(Revision, "POST", path, reason=reason, actor=_actor(), **asked)
        return found

    def load_test(
        self, model: str, new: NewLoadTest, follow: Callable[[LoadTestJob], None] | None = None
    ) -> LoadTest:
        """Sends requests to a version, or to what runs, and says whether the objective holds.

        Whoever interrupts it stops the test, also that of a server.

        Args:
            model: The model.
            new: What is asked for.
            follow: Told again and again how far it is, the last time when it has ended.

        Raises:
            Unavailable: If the server is away for longer than a restart takes, or was started again.
            TreadleError: Whatever keeps the test from being made.
        """
        job = self.start_load_test(model, new)
        lost = Unavailable(
            "the server was started again, and the load test ended with it",
            where=self.server,
            fix="nothing was judged; test again",
        )
        job = finished(job, self.load_test_job, self.cancel_load_test, lost, follow)
        assert job.result is not None  # noqa: S101 - it has ended without an error
        return job.result

    def start_load_test(self, model: str, new: NewLoadTest) -> LoadTestJob:
        """Begins a load test; it is stopped if nobody asks for it for 15 seconds."""
        path = f"{_of(model)}/load-tests"
        job: LoadTestJob = self._ask(LoadTestJob, "POST", path, new, actor=_actor())
        return job

    def load_test_job(self, job_id: str) -> LoadTestJob:
        """How far a load test is, and what it came to."""
        job: LoadTestJob = self._ask(LoadTestJob, "GET", f"/v1/load-tests/{quote(job_id, safe='')}")
        return job

    def cancel_load_test(self, job_id: str) -> LoadTestJob:
        """Stops a load test, and waits for that; nothing is judged."""
        path = f"/v1/load-tests/{quote(job_id, safe='')}"
        job: LoadTestJob = self._ask(LoadTestJob, "DELETE", path, actor=_actor())
        return job

    def load_tests(self, model: str, version: int | None = None) -> list[LoadTest]:
        """A model's latest load tests, or a version's, newest first."""
        path, asked = f"{_of(model)}/load-tests", {"version": version} if version else {}
        found: list[LoadTest] = self._ask(list[LoadTest], "GET", path, **asked)
        return found

    def desired(self, model: str, environment: str | None = None) -> DesiredRevision | None:
        """What a replica is to serve."""
        path, asked = f"{_of(model)}/desired", _in(environment)
        found: DesiredRevision | None = self._ask(DesiredRevision | None, "GET", path, **asked)
        return found

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        """Tells how a replica is; returns what it is to serve."""
        found: DesiredRevision | None = self._ask(DesiredRevision | None, "POST", "/v1/replicas", report)
        return found


def _chosen(strategy: StrategyName | None) -> dict[str, str]:
    return {"strategy": strategy} if strategy else {}


def _in(environment: str | None) -> dict[str, str]:
    return {"environment": environment} if environment else {}


def _of(model: str) -> str:
    from treadle.client.client import part

    return f"/v1/deployments/{part(model)}"


def _actor() -> str:
    from treadle.client.client import actor

    return actor()
