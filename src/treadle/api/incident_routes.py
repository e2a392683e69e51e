"""The routes of incidents."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from treadle.api.rooms import Rooms
from treadle.api.route import Call, Query, RawSpec, RouteSpec
from treadle.kernel.errors import InvalidInput
from treadle.monitor import (
    ChannelTest,
    Delivery,
    Incident,
    IncidentChange,
    IncidentReport,
    Mute,
    NewMute,
    incident_page,
)

_ACTOR = Query("actor", required=True)


def _incidents(call: Call) -> list[Incident]:
    """A model's incidents, oldest first, perhaps of a `state`."""
    state: Any = call.query.get("state") or None
    if state not in (None, "open", "acknowledged", "resolved"):
        raise InvalidInput(f"an incident can't be {state[:40]!r}", fix="use open, acknowledged or resolved")
    return call.rooms.incidents.list(call.path["model"], state)


def _incident(call: Call) -> IncidentReport:
    """What changed, since when, who is affected, the causes, what production was doing, what to do."""
    return call.rooms.incidents.show(call.path["incident"])


def _change_incident(call: Call) -> Incident:
    """Takes an incident, or says that it is over."""
    return call.rooms.incidents.change(call.path["incident"], call.body, call.need("actor"))


def _deliveries(call: Call) -> list[Delivery]:
    """What was sent about an incident, or is on its way."""
    return [*call.rooms.incidents.deliveries(call.path["incident"])]


def _test(call: Call) -> list[ChannelTest]:
    """Sends a test notice by every declared way, and says what became of it."""
    return [*call.rooms.incidents.test(call.path["model"], call.need("actor"))]


def _mute(call: Call) -> Mute:
    """Keeps a model, a kind of monitor or a column quiet for some time."""
    return call.rooms.incidents.mute(call.path["model"], call.body, call.need("actor"))


def _mutes(call: Call) -> list[Mute]:
    """What is kept quiet now."""
    return [*call.rooms.incidents.mutes(call.path["model"])]


def _unmute(call: Call) -> None:
    """Ends a mute."""
    call.rooms.incidents.unmute(call.path["mute"], call.query.get("actor", ""))


async def _page(request: Request) -> Response:
    """An incident as one HTML page."""
    rooms: Rooms = request.app.state.rooms
    report = await run_in_threadpool(rooms.incidents.show, request.path_params["incident"])
    return Response(await run_in_threadpool(incident_page, report), media_type="text/html")


INCIDENT_ROUTES = (
    RouteSpec("GET", "/v1/models/{model}/incidents", _incidents, list[Incident], query=(Query("state"),)),
    RouteSpec("GET", "/v1/incidents/{incident}", _incident, IncidentReport),
    RouteSpec(
        "POST", "/v1/incidents/{incident}/changes", _change_incident, Incident, IncidentChange, (_ACTOR,)
    ),
    RouteSpec("GET", "/v1/incidents/{incident}/deliveries", _deliveries, list[Delivery]),
    RouteSpec("POST", "/v1/models/{model}/notices/test", _test, list[ChannelTest], query=(_ACTOR,)),
    RouteSpec("POST", "/v1/models/{model}/mutes", _mute, Mute, NewMute, (_ACTOR,)),
    RouteSpec("GET", "/v1/models/{model}/mutes", _mutes, list[Mute]),
    RouteSpec("DELETE", "/v1/mutes/{mute}", _unmute, None, query=(Query("actor"),)),
)
INCIDENT_RAW_ROUTES = (RawSpec("GET", "/v1/incidents/{incident}/page", _page, "text/html"),)
