"""A route: typed on both sides, so that the code and the OpenAPI document can't disagree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from starlette.datastructures import QueryParams

from treadle.api.rooms import Rooms
from treadle.kernel.errors import InvalidInput

Method = Literal["GET", "POST", "PUT", "DELETE"]


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


class RouteSpec(msgspec.Struct, frozen=True):
    """What a route takes, does and gives.

    Attributes:
        method: The HTTP method.
        path: The path, with ``{names}``.
        do: What it does; called in a thread.
        result: The type of its answer; None for an empty one.
        body: The type of the request's body; None where it has none.
        query: The names of its query parameters.
    """

    method: Method
    path: str
    do: Callable[[Call], Any]
    result: Any
    body: Any = None
    query: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.do.__doc__ or "").strip().splitlines()[0]
