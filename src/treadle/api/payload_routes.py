"""The route that other servers' loggers post requests and responses to."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from treadle.api.cloudevents import read_event
from treadle.api.rooms import Rooms
from treadle.api.route import NEWEST, Call, Query, RawSpec, RouteSpec
from treadle.kernel.errors import InvalidInput, TreadleError
from treadle.monitor import Unpaired

_MOST = 4 << 20


async def _log_inference_event(request: Request) -> Response:
    """Keeps a request or a response that another server logs as a CloudEvent; both make predictions."""
    rooms: Rooms = request.app.state.rooms
    call = Call(rooms, request.path_params, request.query_params, None)
    version = call.whole("version", 0, most=NEWEST) if "version" in call.query else None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST:
            raise InvalidInput(
                f"a payload has at most {_MOST >> 20} MiB", fix="log models whose requests are smaller"
            )

    await run_in_threadpool(_take, call, request.headers, bytes(body), version)
    return Response(b"null", media_type="application/json")


def _take(call: Call, headers: Mapping[str, str], body: bytes, version: int | None) -> None:
    model, payloads = call.path["model"], call.rooms.payloads
    try:
        event = read_event(headers, body)
        told = msgspec.structs.replace(event, version=version, output=call.query.get("output", ""))
        payloads.take(model, told)
    except TreadleError as error:
        payloads.tell_refused(model, error)
        raise


def _unpaired(call: Call) -> Unpaired:
    """How many logged requests and responses of other servers wait for each other."""
    return call.rooms.payloads.unpaired(call.path["model"])


PAYLOAD_ROUTES = (RouteSpec("GET", "/v1/predictions/{model}/events", _unpaired, Unpaired),)
PAYLOAD_RAW_ROUTES = [
    RawSpec(
        "POST",
        "/v1/predictions/{model}/events",
        _log_inference_event,
        "application/json",
        takes="*/*",
        query=(Query("version", kind="integer"), Query("output")),
    )
]
