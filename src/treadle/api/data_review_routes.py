"""The routes of reviews of data: opened, shown, talked about, decided, checked, merged."""

from __future__ import annotations

from typing import Any

from treadle.api.route import NEWEST, Call, Query, RouteSpec
from treadle.data import (
    Decision,
    Merged,
    MergeReview,
    NewComment,
    NewReview,
    Review,
    ReviewChange,
    ReviewDetails,
    ReviewEvent,
    RunGates,
)
from treadle.kernel.errors import InvalidInput

_DIGITS = 15


def _open_review(call: Call) -> Review:
    """Opens a review of a branch that shall be merged into another."""
    return call.rooms.reviews.open(call.path["dataset"], call.body)


def _list_reviews(call: Call) -> list[Review]:
    """The reviews of a dataset, newest first, perhaps of a `state`; on after the last by `before`."""
    state: Any = call.query.get("state") or None
    if state not in (None, "open", "merged", "closed"):
        raise InvalidInput(f"a review can't be {state[:40]!r}", fix="use open, merged or closed")
    before = call.whole("before", 0, least=0, most=NEWEST)
    return call.rooms.reviews.list(call.path["dataset"], state, call.whole("limit", 100), before or None)


def _show_review(call: Call) -> ReviewDetails:
    """A review, the merge that it asks for, and whether it may be; `rows` as for a diff."""
    rows = call.query.get("rows") == "1"
    return call.rooms.reviews.show(*_which(call), limit=call.whole("limit", 1000), rows=rows)


def _comment_on_review(call: Call) -> ReviewEvent:
    """Says something in a review, about a path or the whole."""
    return call.rooms.reviews.comment(*_which(call), call.body)


def _decide_review(call: Call) -> ReviewEvent:
    """Approves where the source stands, asks for changes, or takes either back."""
    return call.rooms.reviews.decide(*_which(call), call.body)


def _check_review(call: Call) -> ReviewEvent:
    """Runs data checks on what the merge would make, beside what the target has."""
    return call.rooms.reviews.check(*_which(call), call.body)


def _change_review(call: Call) -> Review:
    """Closes a review, or opens it again."""
    return call.rooms.reviews.change(*_which(call), call.body)


def _merge_review(call: Call) -> Merged:
    """Merges a review that is approved and whose required checks pass: all of it or nothing."""
    return call.rooms.reviews.merge(*_which(call), call.body)


def _which(call: Call) -> tuple[str, int]:
    text = call.path["number"]
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise InvalidInput(f"{text[:40]!r} is no number of a review", fix="give a number, such as 3")
    return call.path["dataset"], int(text)


_PATH = "/v1/datasets/{dataset}/reviews"
_ONE = _PATH + "/{number}"
_LIMIT = Query("limit", kind="integer")

DATA_REVIEW_ROUTES = (
    RouteSpec(
        "GET",
        _PATH,
        _list_reviews,
        list[Review],
        query=(Query("state"), _LIMIT, Query("before", kind="integer")),
    ),
    RouteSpec("POST", _PATH, _open_review, Review, NewReview),
    RouteSpec("GET", _ONE, _show_review, ReviewDetails, query=(_LIMIT, Query("rows", kind="integer"))),
    RouteSpec("POST", f"{_ONE}/comments", _comment_on_review, ReviewEvent, NewComment),
    RouteSpec("POST", f"{_ONE}/decisions", _decide_review, ReviewEvent, Decision),
    RouteSpec("POST", f"{_ONE}/checks", _check_review, ReviewEvent, RunGates),
    RouteSpec("POST", f"{_ONE}/state", _change_review, Review, ReviewChange),
    RouteSpec("POST", f"{_ONE}/merge", _merge_review, Merged, MergeReview),
)
