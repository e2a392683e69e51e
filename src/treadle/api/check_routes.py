"""The routes of checks: planned, made, listed, reported."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from treadle.api.rooms import Rooms
from treadle.api.route import Call, Query, RawSpec, RouteSpec
from treadle.evaluate import (
    CheckJob,
    CheckPlan,
    CheckRequest,
    Evaluation,
    ForeignSuite,
    WrittenChecks,
    render,
)
from treadle.kernel.errors import InvalidInput


def _start_checks(call: Call) -> CheckJob:
    """Begins to check data, models and behaviour; what was judged before, of the same, is told again."""
    return call.rooms.check_jobs.start(call.body, call.query.get("actor", "api"))


def _check_jobs(call: Call) -> list[CheckJob]:
    """The checks that are under way, and those that ended lately, the newest first."""
    return call.rooms.check_jobs.list()


def _check_job(call: Call) -> CheckJob:
    """How far checks are, and what they came to; they are stopped if nobody asks for a minute."""
    return call.rooms.check_jobs.get(call.path["job"])


def _cancel_checks(call: Call) -> CheckJob:
    """Stops checks; answers of behaviour that are there are kept, and gone on with the next time."""
    return call.rooms.check_jobs.cancel(call.path["job"], call.query.get("actor", "api"))


def _plan_checks(call: Call) -> CheckPlan:
    """What checks would test, and what the data at hand can tell; judges nothing."""
    return call.rooms.checks.plan(call.body)


def _evaluations(call: Call) -> list[Evaluation]:
    """What gates found, the newest first, perhaps of a `subject`."""
    limit = call.whole("limit", 100)
    return call.rooms.evaluations.list(call.query.get("subject"))[:limit]


def _suggest_checks(call: Call) -> WrittenChecks:
    """Checks that some rows pass, as lines of `treadle.toml`, for a person to prune."""
    return call.rooms.checks.suggest(call.need("data"))


def _import_checks(call: Call) -> WrittenChecks:
    """Checks as Great Expectations or Pandera write them, as lines of `treadle.toml`."""
    return call.rooms.checks.take_in(call.body)


async def _check_report(request: Request) -> Response:
    """What some evaluations found, as `html`, `markdown`, `junit` or `json`."""
    rooms: Rooms = request.app.state.rooms
    named = request.query_params.getlist("evaluation")
    if not named:
        raise InvalidInput("the query parameter `evaluation` is missing", fix="add ?evaluation=...")

    def make() -> tuple[bytes, str]:
        found = [rooms.evaluations.get(one) for one in named]
        return render(found, request.query_params.get("format", "html"))

    body, media = await run_in_threadpool(make)
    return Response(body, media_type=media)


_ACTOR = Query("actor")
CHECK_ROUTES = [
    RouteSpec("POST", "/v1/checks/jobs", _start_checks, CheckJob, CheckRequest, (_ACTOR,)),
    RouteSpec("GET", "/v1/checks/jobs", _check_jobs, list[CheckJob]),
    RouteSpec("GET", "/v1/checks/jobs/{job}", _check_job, CheckJob),
    RouteSpec("DELETE", "/v1/checks/jobs/{job}", _cancel_checks, CheckJob, query=(_ACTOR,)),
    RouteSpec("POST", "/v1/checks/plan", _plan_checks, CheckPlan, CheckRequest),
    RouteSpec(
        "GET", "/v1/checks/suggestion", _suggest_checks, WrittenChecks, query=(Query("data", required=True),)
    ),
    RouteSpec("POST", "/v1/checks/import", _import_checks, WrittenChecks, ForeignSuite),
    RouteSpec(
        "GET",
        "/v1/evaluations",
        _evaluations,
        list[Evaluation],
        query=(Query("subject"), Query("limit", kind="integer")),
    ),
]
CHECK_RAW_ROUTES = [
    RawSpec("GET", "/v1/checks/report", _check_report, "text/html"),
]
