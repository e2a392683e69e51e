"""A route: typed on both sides, so that the code and the OpenAPI document can't disagree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from treadle.api.rooms import Rooms
from treadle.kernel.errors import InvalidInput

Method = Literal["GET", "POST", "PUT", "DELETE"]
NEWEST = 2**31 - 1
"""The largest number of a version or a review that a column holds."""
_LONGEST = 20  # digits; the largest that a column holds has 19
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Call(msgspec.Struct, frozen=True):
    """A request that was decoded.

    Attributes:
        rooms: The services.
        path: The parts of the path that stand for something.
        query: The query.
        body: The body, as the route's type; None where it has none.
    """

    rooms: Rooms
    path: Mapping[str, str]
    query: QueryParams
    body: Any

    def need(self, name: str) -> str:
        """A query parameter that can't be left out.

        Raises:
            InvalidInput: If it was.
        """
        value = self.query.get(name)
        if not value:
            raise InvalidInput(f"the query parameter `{name}` is missing", fix=f"add ?{name}=...")
        return value

    def whole(self, name: str, default: int, *, least: int = 1, most: int = 10_000) -> int:
        """A query parameter that is a whole number.

        Raises:
            InvalidInput: If it is none, or out of its bounds.
        """
        text = self.query.get(name, str(default))
        plain = text.isascii() and text.isdigit() and len(text) < _LONGEST  # int() reads "²" and more
        if not plain or not least <= int(text) <= most:
            raise InvalidInput(
                f"`{name}` can't be {text[:40]!r}", fix=f"give a whole number from {least:,} to {most:,}"
            )
        return int(text)


class Query(msgspec.Struct, frozen=True):
    """A query parameter.

    Attributes:
        name: Its name.
        required: Whether it can't be left out.
        kind: What it holds, as JSON Schema has it.
        format: Closer still, as JSON Schema has it.
        many: Whether it may be given several times.
    """

    name: str
    required: bool = False
    kind: Literal["string", "integer"] = "string"
    format: str | None = None
    many: bool = False


class RouteSpec(msgspec.Struct, frozen=True):
    """What a route takes, does and gives.

    Attributes:
        method: The HTTP method.
        path: The path, with ``{names}``.
        do: What it does; called in a thread.
        result: The type of its answer; None for an empty one.
        body: The type of the request's body; None where it has none.
        query: Its query parameters.
    """

    method: Method
    path: str
    do: Callable[[Call], Any]
    result: Any
    body: Any = None
    query: tuple[Query, ...] = ()


class RawSpec(msgspec.Struct, frozen=True):
    """A route that moves bytes instead of JSON.

    Attributes:
        method: The HTTP method.
        path: The path, with ``{names}``.
        endpoint: What it does.
        gives: The media type of its answer.
        takes: The media type of the request's body; None where it has none.
        query: Its query parameters.
    """

    method: Method
    path: str
    endpoint: Endpoint
    gives: str
    takes: str | None = None
    query: tuple[Query, ...] = ()


def moment(text: str) -> datetime:
    """A moment that was asked for; in UTC unless it says otherwise.

    Raises:
        InvalidInput: If it is none.
    """
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{text[:80]!r} is not a date or a time", fix="write it as 2026-03-01 or 2026-03-01T12:00"
        ) from None


def summary(do: Callable[..., Any]) -> str:
    """What a route does, in a sentence."""
    return (do.__doc__ or "").strip().splitlines()[0]
