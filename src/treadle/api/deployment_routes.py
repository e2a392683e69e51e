"""The routes of deployments: what should run, what does, and how the one takes over from the other."""

from __future__ import annotations

from typing import cast, get_args

from treadle.api.route import NEWEST, Call, Query, RouteSpec, moment
from treadle.deploy import (
    DeploymentPlan,
    Deployments,
    DeploymentStatus,
    DesiredRevision,
    Environments,
    InEnvironment,
    LoadTest,
    LoadTestJob,
    NewLoadTest,
    ReplicaReport,
    ReplicaReports,
    Revision,
)
from treadle.kernel.config import StrategyName
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.retrain import chosen, load_test_before_approval, load_test_before_deployment, redeploy

_MODEL = "/v1/deployments/{model}"
_REF, _ACTOR, _REASON = (Query(name, required=True) for name in ("ref", "actor", "reason"))
_PURPOSE = Query("purpose", required=True)
_VERSION = Query("version", kind="integer")
STRATEGY = Query("strategy")
_ENVIRONMENT = Query("environment")
_EXPECT = Query("expect", kind="integer")
_AT = Query("at", format="date-time")


def strategy(call: Call) -> StrategyName | None:
    """The strategy that was asked for, if one was.

    Raises:
        InvalidInput: If there is none of that name.
    """
    name = call.query.get("strategy")
    if name is None or name in get_args(StrategyName):
        return cast("StrategyName | None", name)
    raise InvalidInput(
        f"there is no strategy {name!r}", where="strategy", fix=did_you_mean(name, get_args(StrategyName))
    )


def _of(call: Call) -> Deployments:
    """The deployments of the environment that was named; of the last one if none was."""
    return call.rooms.deployments.at(call.query.get("environment", ""))


def _deploy(call: Call) -> Revision:
    """Deploys a version that has been in production before, or may come into the environment."""
    ref, actor, reason = (call.need(name) for name in ("ref", "actor", "reason"))
    return redeploy(
        call.rooms.workspace,
        ref,
        actor,
        reason,
        strategy(call),
        environment=call.query.get("environment", ""),
        expect=call.whole("expect", 0, least=0, most=NEWEST) if "expect" in call.query else None,
    )


def _deployment_plan(call: Call) -> DeploymentPlan:
    """What deploying a version would change; does nothing."""
    version = call.rooms.registry.get(call.need("ref"))
    plan = chosen(call.rooms.workspace, strategy(call))
    return _of(call).plan(version.model, version.number, plan)


def _deployment(call: Call) -> DeploymentStatus:
    """What should run, what does, and what is about to take over."""
    return _of(call).status(call.path["model"])


def _revisions(call: Call) -> list[Revision]:
    """A model's deployments, oldest first."""
    return _of(call).history(call.path["model"])


def _environments(call: Call) -> list[InEnvironment]:
    """What each declared environment serves, or served at a moment, in order."""
    at = call.query.get("at")
    return Environments(call.rooms.workspace).everywhere(call.path["model"], moment(at) if at else None)


def _promote(call: Call) -> Revision:
    """Lets the revision in trial take over now."""
    return _of(call).promote(call.path["model"], call.need("actor"), call.need("reason"))


def _stop(call: Call) -> Revision:
    """Takes the revision in trial back; what serves goes on."""
    return _of(call).stop(call.path["model"], call.need("actor"), call.need("reason"))


def _load_test(call: Call) -> LoadTestJob:
    """Begins to send requests to a version or to what runs, to say whether the objective holds."""
    return call.rooms.load_test_jobs.start(call.path["model"], call.body, call.need("actor"))


def _required_load_test(call: Call) -> LoadTestJob | None:
    """Begins the load test that a version has to pass before it is approved or deployed; null if none is due.

    Followed and passed, what it was required for goes on without another.
    """
    ref, actor, purpose = (call.need(name) for name in ("ref", "actor", "purpose"))
    workspace, version = call.rooms.workspace, call.rooms.registry.get(ref)
    if purpose == "approval":
        new = load_test_before_approval(workspace, version.ref, actor)
    elif purpose == "deployment":
        where = call.query.get("environment", "")
        new = load_test_before_deployment(workspace, version.ref, actor, where)
    else:
        raise InvalidInput(
            f"nothing is required for {purpose!r}", where="purpose", fix="say approval or deployment"
        )
    return call.rooms.load_test_jobs.start(version.model, new, actor) if new else None


def _load_test_job(call: Call) -> LoadTestJob:
    """How far a load test is, and what it came to; it is stopped if nobody asks for 15 seconds."""
    return call.rooms.load_test_jobs.get(call.path["job"])


def _cancel_load_test(call: Call) -> LoadTestJob:
    """Stops a load test, and waits for that; nothing is judged, and it is no evidence."""
    return call.rooms.load_test_jobs.cancel(call.path["job"], call.need("actor"))


def _load_tests(call: Call) -> list[LoadTest]:
    """A model's latest load tests, newest first."""
    version = call.whole("version", 0, least=0, most=NEWEST)
    return call.rooms.load_tests.list(call.path["model"], version or None)


def _desired(call: Call) -> DesiredRevision | None:
    """What a replica is to serve."""
    return _of(call).desired(call.path["model"])


def _report_replica(call: Call) -> DesiredRevision | None:
    """Takes a replica's report; answers with what it is to serve."""
    return call.rooms.deployments.at(call.body.environment).report(call.body)


def _report_replicas(call: Call) -> list[DesiredRevision | None]:
    """Takes a replica's reports of all its models; answers with what it is to serve of each."""
    reports = call.body.reports
    return call.rooms.deployments.at(reports[0].environment).report_all(reports) if reports else []


DEPLOYMENT_ROUTES = (
    RouteSpec(
        "POST",
        "/v1/deployments",
        _deploy,
        Revision,
        query=(_REF, _ACTOR, _REASON, STRATEGY, _ENVIRONMENT, _EXPECT),
    ),
    RouteSpec(
        "GET", "/v1/deployment-plan", _deployment_plan, DeploymentPlan, query=(_REF, STRATEGY, _ENVIRONMENT)
    ),
    RouteSpec("GET", _MODEL, _deployment, DeploymentStatus, query=(_ENVIRONMENT,)),
    RouteSpec("GET", f"{_MODEL}/revisions", _revisions, list[Revision], query=(_ENVIRONMENT,)),
    RouteSpec("GET", f"{_MODEL}/environments", _environments, list[InEnvironment], query=(_AT,)),
    RouteSpec("GET", f"{_MODEL}/desired", _desired, DesiredRevision | None, query=(_ENVIRONMENT,)),
    RouteSpec("POST", f"{_MODEL}/promotion", _promote, Revision, query=(_ACTOR, _REASON, _ENVIRONMENT)),
    RouteSpec("POST", f"{_MODEL}/withdrawal", _stop, Revision, query=(_ACTOR, _REASON, _ENVIRONMENT)),
    RouteSpec("POST", f"{_MODEL}/load-tests", _load_test, LoadTestJob, NewLoadTest, query=(_ACTOR,)),
    RouteSpec(
        "POST",
        "/v1/required-load-test",
        _required_load_test,
        LoadTestJob | None,
        query=(_REF, _ACTOR, _PURPOSE, _ENVIRONMENT),
    ),
    RouteSpec("GET", "/v1/load-tests/{job}", _load_test_job, LoadTestJob),
    RouteSpec("DELETE", "/v1/load-tests/{job}", _cancel_load_test, LoadTestJob, query=(_ACTOR,)),
    RouteSpec("GET", f"{_MODEL}/load-tests", _load_tests, list[LoadTest], query=(_VERSION,)),
    RouteSpec("POST", "/v1/replicas", _report_replica, DesiredRevision | None, ReplicaReport),
    RouteSpec("POST", "/v1/replica-reports", _report_replicas, list[DesiredRevision | None], ReplicaReports),
)
