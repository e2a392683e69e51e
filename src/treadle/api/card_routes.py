"""The routes of models' cards: made, written, and what was written before."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from treadle.api.rooms import Rooms
from treadle.api.route import Call, Query, RawSpec, RouteSpec
from treadle.kernel.errors import InvalidInput
from treadle.registry import CardText, CardTexts

_MEDIA = {"html": "text/html", "md": "text/markdown"}


def _texts(call: Call) -> list[CardText]:
    """The written parts of a model's card; with `history=1` every revision of them."""
    cards, model = call.rooms.cards, call.need("model")
    return cards.written(model) if call.whole("history", 0, least=0, most=1) else cards.texts(model)


def _write(call: Call) -> list[CardText]:
    """Writes parts of a model's card, all of them or none."""
    return call.rooms.cards.write(call.body)


async def _card(request: Request) -> Response:
    """A version's card, as `html` or `md`."""
    rooms: Rooms = request.app.state.rooms
    ref, wanted = (
        request.query_params.get(name, default) for name, default in (("ref", ""), ("format", "html"))
    )
    if not ref:
        raise InvalidInput("the query parameter `ref` is missing", fix="add ?ref=MODEL/NUMBER")
    made = await run_in_threadpool(rooms.cards.render, ref, wanted)
    return Response(made, media_type=_MEDIA[wanted])


CARD_ROUTES = (
    RouteSpec(
        "GET",
        "/v1/model/card/texts",
        _texts,
        list[CardText],
        query=(Query("model", required=True), Query("history", kind="integer")),
    ),
    RouteSpec("POST", "/v1/model/card/texts", _write, list[CardText], CardTexts),
)
CARD_RAW_ROUTES = (RawSpec("GET", "/v1/model/card", _card, "text/html"),)
