"""The load test that a version has to pass before it is let into the last environment.

Whoever approves or deploys may ask for it beforehand, to follow it and to stop it; then nothing was
approved or deployed. Who doesn't waits for it within :func:`treadle.retrain.publish.publish`.
"""

from __future__ import annotations

from treadle.deploy import Deployments, Environments, LoadTests, NewLoadTest
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, ModelVersion, Registry
from treadle.retrain.publish import check_redeployed, has_served, outcome_of


def load_test_before_approval(workspace: Workspace, ref: str, actor: str) -> NewLoadTest | None:
    """The load test that approving a version would make; None if it makes none.

    Raises:
        NotFound: If there is no such version.
        Refused: If this person may not approve it, or it lacks what the stage takes.
        Conflict: If the version isn't on its way to production.
    """
    version = Registry(workspace).get(ref)
    outcome = outcome_of(workspace, version)
    standing = Approvals(workspace).expected(version.ref, actor, outcome)
    if standing.given < standing.needed or standing.next != "production":
        return None
    return _required(workspace, version, actor)  # the stage's guard will have what it lacks


def load_test_before_deployment(
    workspace: Workspace, ref: str, actor: str, environment: str = ""
) -> NewLoadTest | None:
    """The load test that deploying a version to an environment would make; None if it makes none.

    Raises:
        NotFound: If there is no such version.
        Refused: If it lacks what the environment asks for, or the actor may not deploy there.
        Conflict: If it never was in production and no environment lies before.
    """
    if environment and environment not in list(workspace.config.environments)[-1:]:
        return None  # an earlier one makes none
    version = Registry(workspace).get(ref)
    outcome = outcome_of(workspace, version)
    check_redeployed(workspace, version, outcome)
    Registry(workspace).check_guard(version, "production", outcome)
    return _required(workspace, version, actor)


def _required(workspace: Workspace, version: ModelVersion, actor: str) -> NewLoadTest | None:
    if not workspace.config.deploy.loadtest or has_served(Deployments(workspace), version):
        return None
    Environments(workspace).admit("", version, actor)
    return LoadTests(workspace).required(version.ref)
