"""A route of MLflow's protocol: what it is asked, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec

from treadle.api.mlflow.wire import convert
from treadle.api.rooms import Rooms
from treadle.experiment import Write
from treadle.kernel.errors import InvalidInput

T = TypeVar("T")
_NUL = b"\\u0000"
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Ask(msgspec.Struct, frozen=True):
    """A request as it came.

    Attributes:
        rooms: The services.
        path: The parts of the path that stand for something.
        query: The query, undecoded.
        body: The body.
    """

    rooms: Rooms
    path: Mapping[str, str]
    query: bytes
    body: bytes

    def read(self, kind: type[T]) -> T:
        """What is asked, from the body or the query; unknown fields are passed over.

        Numbers may come as texts, as protocol buffers write 64-bit integers in JSON, and null
        stands for what isn't given.

        Raises:
            InvalidInput: If it isn't of the kind, naming the field.
        """
        try:
            if self.body:
                try:
                    if _NUL not in self.body:
                        return msgspec.json.decode(self.body, type=kind, strict=False)
                except msgspec.ValidationError:
                    pass  # it is read again, for what is wrong with it
                return convert(msgspec.json.decode(self.body), kind)
            return convert(_from_query(self.query, kind), kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"the request is not valid JSON: {error}") from None
        except RecursionError:
            raise InvalidInput("the request is nested too deeply") from None


class MlflowRoute(msgspec.Struct, frozen=True):
    """What a route does.

    Attributes:
        method: The HTTP method.
        path: The path below ``/api/2.0/mlflow``, with ``{names}``.
        do: What it does: gives the answer, a write to wait for, or a function that answers in a thread.
        quick: Whether ``do`` itself needs no thread, because it only decodes and hands on.
    """

    method: Method
    path: str
    do: Callable[[Ask], Any]
    quick: bool = False


class Written(msgspec.Struct, frozen=True):
    """An answer that waits for a write.

    Attributes:
        write: What is to be written.
        make: The answer, from what the write came to.
    """

    write: Write
    make: Callable[[Any], Any]


class Empty(msgspec.Struct, frozen=True):
    """An answer that says only that it was done."""


def _from_query(query: bytes, kind: type[Any]) -> dict[str, Any]:
    """The fields of a query; those that are lists by the kind are gathered, however often they come."""
    lists = {
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if isinstance(msgspec.inspect.type_info(field.type), msgspec.inspect.ListType)
    }
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("utf-8"), keep_blank_values=True):
        if name in lists:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found
