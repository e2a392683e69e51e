"""What the client asks of deployments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from treadle.client.load_testing import LoadTestCalls, acting, of_model
from treadle.deploy import LoadTestJob
from treadle.deploy.types import (
    DeploymentPlan,
    DeploymentStatus,
    DesiredRevision,
    InEnvironment,
    ReplicaReport,
    ReplicaReports,
    Revision,
)
from treadle.kernel.config import StrategyName


class DeployCalls(LoadTestCalls):
    """Calls of the routes of deployments."""

    def deploy(
        self,
        ref: str,
        reason: str,
        strategy: StrategyName | None = None,
        *,
        environment: str | None = None,
        expect: int | None = None,
        follow: Callable[[LoadTestJob], None] | None = None,
    ) -> Revision:
        """Deploys a version that has been approved before; as ``[deploy]`` says, or by a strategy.

        Who interrupts it while a load test is made for it stops that; nothing is deployed then.

        Args:
            ref: The version.
            reason: Why.
            strategy: How it takes over.
            environment: Where; the last environment if left out.
            expect: Only if this is the newest revision there; 0: only if there is none.
            follow: Told how far the load test is that ``[deploy] loadtest`` asks for, if one is due.

        Raises:
            Refused: If the version doesn't hold the objective, or somebody stopped the load test.
        """
        self._held(ref, "deployment", follow, environment)
        asked = {"ref": ref, "reason": reason, "actor": acting(), **_chosen(strategy)}
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
        found: DeploymentStatus = self._ask(DeploymentStatus, "GET", of_model(model), **_in(environment))
        return found

    def revisions(self, model: str, environment: str | None = None) -> list[Revision]:
        """A model's deployments, oldest first."""
        path, asked = f"{of_model(model)}/revisions", _in(environment)
        found: list[Revision] = self._ask(list[Revision], "GET", path, **asked)
        return found

    def environments(self, model: str, at: datetime | None = None) -> list[InEnvironment]:
        """What each declared environment serves, or served at a moment, in order."""
        path, asked = f"{of_model(model)}/environments", {"at": at.isoformat()} if at else {}
        found: list[InEnvironment] = self._ask(list[InEnvironment], "GET", path, **asked)
        return found

    def promote(self, model: str, reason: str, environment: str | None = None) -> Revision:
        """Lets the revision in trial take over now."""
        path, asked = f"{of_model(model)}/promotion", _in(environment)
        found: Revision = self._ask(Revision, "POST", path, reason=reason, actor=acting(), **asked)
        return found

    def withdraw_trial(self, model: str, reason: str, environment: str | None = None) -> Revision:
        """Takes the revision in trial back; what serves goes on."""
        path, asked = f"{of_model(model)}/withdrawal", _in(environment)
        found: Revision = self._ask(Revision, "POST", path, reason=reason, actor=acting(), **asked)
        return found

    def desired(self, model: str, environment: str | None = None) -> DesiredRevision | None:
        """What a replica is to serve."""
        path, asked = f"{of_model(model)}/desired", _in(environment)
        found: DesiredRevision | None = self._ask(DesiredRevision | None, "GET", path, **asked)
        return found

    def report_all(self, reports: Sequence[ReplicaReport]) -> list[DesiredRevision | None]:
        """Tells how a replica of several models is; returns what it is to serve of each.

        Raises:
            NotFound: If the server is older than that.
        """
        body = ReplicaReports(reports=tuple(reports))
        path = "/v1/replica-reports"
        found: list[DesiredRevision | None] = self._ask(list[DesiredRevision | None], "POST", path, body)
        return found

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        """Tells how a replica is; returns what it is to serve."""
        found: DesiredRevision | None = self._ask(DesiredRevision | None, "POST", "/v1/replicas", report)
        return found


def _chosen(strategy: StrategyName | None) -> dict[str, str]:
    return {"strategy": strategy} if strategy else {}


def _in(environment: str | None) -> dict[str, str]:
    return {"environment": environment} if environment else {}
