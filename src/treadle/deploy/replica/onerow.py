"""The most common request, one row in the model's own datatypes, read at the decoder's speed.

Each input that a model takes becomes a type of its own, told apart by its ``name``, with the datatype,
shape and value that it may have. So the decoder checks everything in one pass. A request that doesn't
fit is no error here: it is read the general way, which takes every form that the protocol allows and
finds the sentence for what is wrong.
"""

from __future__ import annotations

from itertools import count
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from treadle.deploy.replica.protocol import Inputs, RequestedOutput, RequestParameters, Role
from treadle.deploy.replica.rows import EARLIEST, FLOAT32_MAX, LATEST, Rows

_SHAPE = Annotated[tuple[Literal[1], ...], Meta(min_length=1, max_length=2)]
Real = Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Key = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=EARLIEST, le=LATEST)]
FORMS: dict[Role, tuple[Any, Any]] = {
    "float": (Literal["FP64", "FP32"], tuple[Real | None]),
    "int": (Literal["INT64"], tuple[Whole]),
    "bool": (Literal["BOOL"], tuple[bool]),
    "string": (Literal["BYTES"], tuple[str | None]),
    "key": (Literal["BYTES"], tuple[Key]),
    "time": (Literal["FP64"], tuple[Seconds]),
}


_COMPLETE: dict[Role, Any] = {"float": tuple[Real], "string": tuple[str]}


def _form(role: Role, inputs: Inputs) -> Any:
    return FORMS[role][1] if inputs.nullable else _COMPLETE.get(role, FORMS[role][1])


class OneRow:
    """Reads requests of one row.

    Args:
        inputs: What the model takes.
    """

    def __init__(self, inputs: Inputs) -> None:
        number = count()
        kinds = {
            name: msgspec.defstruct(
                f"Input{next(number)}",
                [("datatype", FORMS[role][0]), ("shape", _SHAPE), ("data", _form(role, inputs))],
                tag_field="name",
                tag=name,
                gc=False,
            )
            for name, role in inputs.roles.items()
        }
        # The names are known only now, so the types are made now; mypy can't follow.
        one: Any = kinds[inputs.features[0]]
        for kind in kinds.values():
            one = one | kind
        fields: list[Any] = [
            ("inputs", list[one]),
            ("id", str | None, None),
            ("outputs", list[RequestedOutput] | None, None),
            ("parameters", RequestParameters | None, None),
        ]
        self._decode = msgspec.json.Decoder(msgspec.defstruct("Request", fields)).decode
        self._features = [kinds[name] for name in inputs.features]
        self._key = next((kinds[name] for name, role in inputs.roles.items() if role == "key"), None)
        self._time = next((kinds[name] for name, role in inputs.roles.items() if role == "time"), None)

    def read(self, body: bytes) -> tuple[Any, Rows] | None:
        """The request and its row, or None if it must be read the general way."""
        try:
            request: Any = self._decode(body)
            found = {tensor.__class__: tensor.data[0] for tensor in request.inputs}
            if len(found) != len(request.inputs):
                return None
            row = [found[kind] for kind in self._features]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            return None
        rows = Rows(1, {}, row)
        if self._key in found:
            rows.keys = [found[self._key]]
        if self._time in found:
            rows.times = [found[self._time]]
        return request, rows
