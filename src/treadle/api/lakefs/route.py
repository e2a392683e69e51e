"""A route of lakeFS's protocol: what it is asked, and what it answers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeVar

import msgspec

from treadle.api.lakefs.wire import Listing, Pagination
from treadle.api.rooms import Rooms
from treadle.kernel.errors import InvalidInput

T = TypeVar("T")
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
_MOST = 1000
_USUAL = 100


class Ask(msgspec.Struct, frozen=True):
    """A request as it came.

    Attributes:
        rooms: The services.
        method: The HTTP method.
        path: The parts of the path that stand for something.
        query: The query; of a parameter that is given several times, all values.
        headers: The headers, by name in lower case.
        body: The body; empty where it is streamed.
    """

    rooms: Rooms
    method: str
    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def repository(self) -> str:
        """The dataset that is asked about."""
        return self.path["repository"]

    @property
    def actor(self) -> str:
        """Whoever asks, by the access key; keys aren't checked, because Treadle has no accounts yet."""
        kind, _, given = self.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                key = base64.b64decode(given, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
            if key.isprintable() and 0 < len(key) <= 100:
                return key
        return "lakefs"

    def get(self, name: str, default: str = "") -> str:
        """A parameter of the query."""
        found = self.query.get(name)
        return found[-1] if found else default

    def need(self, name: str) -> str:
        """A parameter of the query that can't be left out.

        Raises:
            InvalidInput: If it was.
        """
        found = self.get(name)
        if not found:
            raise InvalidInput(f"the query parameter `{name}` is missing")
        return found

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query says so."""
        return self.get(name).lower() in {"true", "1"}

    def amount(self) -> int:
        """How many results a page has: 100 unless told, 1,000 at most.

        Raises:
            InvalidInput: If it isn't a number.
        """
        asked = self.get("amount", str(_USUAL))
        try:
            amount = int(asked)
        except ValueError:
            raise InvalidInput(f"amount={asked[:20]!r} is no number") from None
        return min(amount, _MOST) if amount > 0 else _USUAL

    def read(self, kind: type[T]) -> T:
        """The body; fields that aren't known are passed over, and null stands for what isn't given.

        Raises:
            InvalidInput: If it isn't of the kind, naming the field.
        """
        try:
            raw = msgspec.json.decode(self.body or b"{}")
            if isinstance(raw, dict):
                raw = {name: value for name, value in raw.items() if value is not None}
            return msgspec.convert(raw, kind)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"the body can't be used: {error}") from None


class Reply(msgspec.Struct, frozen=True):
    """An answer.

    Attributes:
        body: What it says; None for an empty one.
        status: The HTTP status.
        headers: Further headers.
    """

    body: object = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class LakefsRoute(msgspec.Struct, frozen=True):
    """An operation of lakeFS's.

    Attributes:
        operation: Its name in lakeFS's OpenAPI document.
        method: The HTTP method.
        path: The path below ``/api/v1``, with ``{names}``.
        do: What it does, in a thread; for operations that stream, in ``streams.py``, None.
    """

    operation: str
    method: Method
    path: str
    do: Callable[[Ask], Reply] | None


DONE = Reply(status=204)


def page(found: Iterable[T], ask: Ask, key: Callable[[T], str], show: Callable[[T], object]) -> Reply:
    """A page of what was found: one more than fits says that there are more.

    Args:
        found: Sorted, after what the request names; one more than a page has is enough.
        ask: The request.
        key: Where the next page begins, if this is the last one of this.
        show: How one is told.
    """
    amount = ask.amount()
    rows: list[T] = []
    more = False
    for one in found:
        if len(rows) == amount:
            more = True
            break
        rows.append(one)
    told = Pagination(more, key(rows[-1]) if more else "", len(rows), _MOST)
    return Reply(Listing(told, [show(one) for one in rows]))
