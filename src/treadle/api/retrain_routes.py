"""The routes of retraining: what would start it and what it would do, by hand, and by a signed webhook."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from treadle.api.rooms import Rooms
from treadle.api.route import Call, RawSpec, RouteSpec
from treadle.kernel.errors import InvalidInput
from treadle.retrain import (
    AskRetraining,
    Challenger,
    Cycle,
    RetrainPlan,
    StartChallenger,
    StopChallenger,
)

_MODEL = "/v1/retrain/{model}"
_MOST = 1 << 20
_JSON = "application/json"


def _retrain_plan(call: Call) -> RetrainPlan:
    """What a retraining would do now, and which trigger would start it; changes nothing."""
    return call.rooms.retrainings.plan(call.path["model"])


def _start_retraining(call: Call) -> Cycle:
    """Starts a retraining: production's parameters on newer data."""
    return call.rooms.retrainings.start(call.path["model"], call.body)


def _challenger(call: Call) -> Challenger:
    """Which version is held beside production on live rows, and how it does."""
    return call.rooms.challengers.show(call.path["model"])


def _start_challenger(call: Call) -> Challenger:
    """Holds a version beside production from now on."""
    return call.rooms.challengers.start(call.path["model"], call.body)


def _stop_challenger(call: Call) -> Challenger:
    """Holds the version beside production no more."""
    return call.rooms.challengers.stop(call.path["model"], call.body)


async def _webhook(request: Request) -> Response:
    """Starts a retraining that a webhook signed as GitHub does asks for, unless its trigger is held back."""
    rooms: Rooms = request.app.state.rooms
    raw = bytearray()
    async for piece in request.stream():
        if len(raw) <= _MOST:
            raw += piece
    if len(raw) > _MOST:
        raise InvalidInput(f"the body is larger than {_MOST >> 20} MiB")
    found = await run_in_threadpool(
        rooms.retrainings.webhook,
        request.path_params["model"],
        bytes(raw),
        request.headers.get("x-hub-signature-256"),
        request.headers.get("x-github-delivery"),
        request.headers.get("x-github-event"),
    )
    return Response(msgspec.json.encode(found), media_type=_JSON)


RETRAIN_ROUTES = (
    RouteSpec("GET", f"{_MODEL}/plan", _retrain_plan, RetrainPlan),
    RouteSpec("POST", _MODEL, _start_retraining, Cycle, AskRetraining),
    RouteSpec("GET", f"{_MODEL}/challenger", _challenger, Challenger),
    RouteSpec("POST", f"{_MODEL}/challenger", _start_challenger, Challenger, StartChallenger),
    RouteSpec("POST", f"{_MODEL}/challenger/stop", _stop_challenger, Challenger, StopChallenger),
)
RETRAIN_RAW_ROUTES = (RawSpec("POST", f"{_MODEL}/trigger", _webhook, _JSON, takes=_JSON),)
