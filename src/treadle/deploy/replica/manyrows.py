"""Requests of many rows in JSON, one input a column, read and checked at the decoder's speed.

As :mod:`treadle.deploy.replica.onerow` does for one: what doesn't fit is no error here, but read the
general way. Numbers become an array at once, so that nobody looks at them one by one again.
"""

from __future__ import annotations

from array import array
from functools import cached_property
from itertools import count
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from treadle.deploy.replica.onerow import FORMS, Key, Real, Seconds, Whole
from treadle.deploy.replica.protocol import Inputs, RequestedOutput, RequestParameters, Role
from treadle.deploy.replica.rows import Rows

_SHAPE = Annotated[tuple[int, ...], Meta(min_length=1, max_length=2)]
_COMPLETE: dict[Role, Any] = {
    "float": list[Real],
    "int": list[Whole],
    "bool": list[bool],
    "string": list[str],
    "key": list[Key],
    "time": list[Seconds],
}
_NULLABLE: dict[Role, Any] = _COMPLETE | {"float": list[Real | None], "string": list[str | None]}


class ManyRows:
    """Reads requests of several rows.

    Args:
        inputs: What the model takes.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._numbers = all(inputs.roles[name] == "float" for name in inputs.features)

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        """Made when it is first needed: many models are never asked for several rows."""
        number, forms = count(), _NULLABLE if self._inputs.nullable else _COMPLETE
        # The names are known only now, so the types are made now; mypy can't follow.
        kinds: list[Any] = [
            msgspec.defstruct(
                f"Column{next(number)}",
                [("datatype", FORMS[role][0]), ("shape", _SHAPE), ("data", forms[role])],
                tag_field="name",
                tag=name,
                gc=False,
            )
            for name, role in self._inputs.roles.items()
        ]
        one: Any = kinds[0]
        for kind in kinds:
            one = one | kind
        fields: list[Any] = [
            ("inputs", list[one]),
            ("id", str | None, None),
            ("outputs", list[RequestedOutput] | None, None),
            ("parameters", RequestParameters | None, None),
        ]
        return msgspec.json.Decoder(msgspec.defstruct("Request", fields))

    def read(self, body: bytes, max_rows: int) -> tuple[Any, Rows] | None:
        """The request and its rows, or None if it must be read the general way."""
        try:
            request: Any = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        found: dict[str, list[Any]] = {}
        for tensor in request.inputs:
            found[tensor.__struct_config__.tag] = tensor.data
            if tensor.shape[0] != len(tensor.data) or tensor.shape[1:] not in ((), (1,)):
                return None
        rows = len(next(iter(found.values()), ()))
        if len(found) != len(request.inputs) or not 0 < rows <= max_rows:
            return None
        if any(len(data) != rows for data in found.values()):
            return None
        if any(name not in found for name in self._inputs.features):
            return None
        return request, self._made(rows, found)

    def _made(self, count: int, found: dict[str, list[Any]]) -> Rows:
        features, roles = self._inputs.features, self._inputs.roles
        rows = Rows(count, {})
        if self._numbers and len(features) > 1:
            block = np.empty((len(features), count))
            for column, name in zip(block, features, strict=True):
                column[:] = _array(found[name])
            rows.table = block.T
        else:
            rows.columns = {
                name: _array(found[name]) if roles[name] == "float" else found[name] for name in features
            }
        for name, data in found.items():
            if roles[name] == "key":
                rows.keys = data
            elif roles[name] == "time":
                rows.times = data
        return rows


def _array(numbers: list[float | None]) -> Any:
    """Numbers as an array, NaN for those that are missing."""
    try:
        return np.frombuffer(array("d", numbers))  # type: ignore[type-var]  # None raises TypeError
    except TypeError:
        return np.array(numbers, np.float64)
