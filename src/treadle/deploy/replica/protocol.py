"""The JSON of the Open Inference Protocol v2, and what a request must be for a model to answer it.

Shapes after https://github.com/kserve/open-inference-protocol (``inference_rest.md``). Pure: bytes in,
values or an error out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.registry.types import FieldKind, Signature

Role: TypeAlias = FieldKind | Literal["key", "time"]
PREDICTION_ID = "prediction_id"

_INTEGERS = {
    f"{sign}INT{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
_FLOATS = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
_DATATYPES = frozenset({"BOOL", "BYTES", *_INTEGERS, *_FLOATS})
_ACCEPTED: dict[Role, frozenset[str]] = {
    "float": frozenset({*_FLOATS, *_INTEGERS}),
    "int": frozenset(_INTEGERS),
    "bool": frozenset({"BOOL"}),
    "string": frozenset({"BYTES"}),
    "key": frozenset({"BYTES", *_INTEGERS}),
    "time": frozenset({"BYTES", "FP64", "INT64"}),
}
_WANTED: dict[Role, str] = {
    "float": "FP64, FP32, FP16 or an integer type",
    "int": "INT64 or another integer type",
    "bool": "BOOL",
    "string": "BYTES",
    "key": "BYTES or an integer type",
    "time": "FP64 or INT64 (seconds since 1970) or BYTES (ISO 8601)",
}
_DATATYPE: dict[FieldKind, str] = {"float": "FP32", "int": "INT64", "bool": "BOOL", "string": "BYTES"}
FLOAT32_MAX = _FLOATS["FP32"]
# The years 1 to 9999: what a timestamp can say.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799


class Tensor(msgspec.Struct, gc=False):
    """An input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class RequestedOutput(msgspec.Struct):
    """An output that a request asks for."""

    name: str


class InferenceRequest(msgspec.Struct):
    """The body of a request."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None


class OutputTensor(msgspec.Struct):
    """An output of a response."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any]


class InferenceResponse(msgspec.Struct, omit_defaults=True):
    """The body of a response."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None


class MetadataTensor(msgspec.Struct):
    """An input or output as the model's metadata describes it."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


class ModelMetadata(msgspec.Struct):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]


class Rows(msgspec.Struct, gc=False):
    """The rows of a request, by column.

    Attributes:
        count: How many.
        columns: Each feature's values; empty when there is ``row``.
        row: The values of one row, in the order of the model's features.
        keys: The caller's name for each row, if given.
        times: When each row happened, in seconds since 1970, if given.
    """

    count: int
    columns: dict[str, list[Any]]
    row: list[Any] | None = None
    keys: list[str] | None = None
    times: list[float] | None = None


class Inputs(msgspec.Struct, frozen=True):
    """What a request may bring.

    Attributes:
        roles: What each input is for, by name.
        features: Those that the model needs.
        nullable: Whether a value of a feature may be missing.
    """

    roles: dict[str, Role]
    features: tuple[str, ...]
    nullable: bool = True


_DECODER = msgspec.json.Decoder(InferenceRequest)


def inputs_of(signature: Signature, key: str | None, time: str | None, *, nullable: bool = True) -> Inputs:
    """What a model takes, beside the optional key and time. A feature is a feature first."""
    roles: dict[str, Role] = {}
    if key:
        roles[key] = "key"
    if time:
        roles[time] = "time"
    roles.update((field.name, field.kind) for field in signature.inputs)
    return Inputs(roles, tuple(field.name for field in signature.inputs), nullable)


def metadata(
    model: str, version: int, signature: Signature, key: str | None, time: str | None
) -> ModelMetadata:
    """The model's metadata; the optional inputs for key and time are listed last."""
    inputs = [MetadataTensor(field.name, _DATATYPE[field.kind]) for field in signature.inputs]
    named = {tensor.name for tensor in inputs}
    if key and key not in named:
        inputs.append(MetadataTensor(key, "BYTES"))
    if time and time not in named:
        inputs.append(MetadataTensor(time, "FP64"))
    outputs = [MetadataTensor(signature.output, "FP64"), MetadataTensor(PREDICTION_ID, "BYTES")]
    return ModelMetadata(model, [str(version)], "onnx_onnxruntime", inputs, outputs)


def decode(body: bytes) -> InferenceRequest:
    """Reads a request's body.

    Raises:
        InvalidInput: If it isn't JSON or isn't an inference request; says where.
    """
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the body is not an inference request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None


def read_rows(request: InferenceRequest, known: Inputs, max_rows: int) -> Rows:
    """Checks a request against what the model takes.

    Args:
        request: The request.
        known: What it may bring, from :func:`inputs_of`.
        max_rows: The largest number of rows allowed.

    Raises:
        InvalidInput: If an input is missing, unknown, there twice, of the wrong datatype, or its
            data don't fit its shape or datatype. The sentence names it and what was expected.
    """
    roles = known.roles
    rows = Rows(-1, {})
    for tensor in request.inputs:
        role = roles.get(tensor.name)
        if role is None:
            raise _unknown(tensor.name, roles)
        values = _flat(tensor)
        if rows.count < 0:
            rows.count = _check_count(len(values), max_rows)
        elif len(values) != rows.count:
            raise InvalidInput(
                f"input {tensor.name!r} has {len(values)} rows, {request.inputs[0].name!r} has {rows.count}; "
                "every input must have the same number"
            )
        if not known.nullable and role not in ("key", "time") and None in values:
            raise InvalidInput(
                f"input {tensor.name!r}, row {values.index(None)} is missing, which is refused here"
            )
        _add(rows, tensor, role, values)
    if len(rows.columns) != len(known.features):
        raise _missing(rows.columns, known)
    return rows


def _add(rows: Rows, tensor: Tensor, role: Role, values: list[Any]) -> None:
    name = tensor.name
    _check_datatype(tensor, role)
    _check_values(name, tensor.datatype, values)
    if role == "key":
        _once(name, rows.keys)
        rows.keys = _keys(name, values)
    elif role == "time":
        _once(name, rows.times)
        rows.times = _times(name, values)
    else:
        _once(name, rows.columns.get(name))
        rows.columns[name] = _feature(name, role, values)


def _missing(columns: Mapping[str, object], known: Inputs) -> InvalidInput:
    missing = [name for name in known.features if name not in columns]
    inputs, are = ("input", "is") if len(missing) == 1 else ("inputs", "are")
    return InvalidInput(
        f"{inputs} {', '.join(map(repr, missing))} {are} missing; the model takes {_list(known.features)}"
    )


def _list(names: Iterable[str]) -> str:
    named = list(names)
    return ", ".join(named[:40]) + (f" and {len(named) - 40} more" if len(named) > 40 else "")


def _unknown(name: str, known: Mapping[str, Role]) -> InvalidInput:
    return InvalidInput(f"the model takes no input {name!r}; {did_you_mean(name, known)}")


def _once(name: str, before: object) -> None:
    if before is not None:
        raise InvalidInput(f"input {name!r} is there twice")


def _check_count(count: int, max_rows: int) -> int:
    if count == 0:
        raise InvalidInput("the request has no rows")
    if count > max_rows:
        raise InvalidInput(f"the request has {count} rows; at most {max_rows} are allowed, send several")
    return count


def _flat(tensor: Tensor) -> list[Any]:
    """The data of a tensor of shape [N] or [N, 1], flat."""
    shape, data = tensor.shape, tensor.data
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 0:
        raise InvalidInput(f"input {tensor.name!r} has shape {shape}; expected [N] or [N, 1]")
    if data and type(data[0]) is list:
        if not all(type(row) is list and len(row) == 1 for row in data):
            raise InvalidInput(f"input {tensor.name!r}: nested data must have one value in each row")
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise InvalidInput(
            f"input {tensor.name!r} has shape {shape} and {len(data)} values; expected {shape[0]}"
        )
    return data


def _check_datatype(tensor: Tensor, role: Role) -> None:
    if tensor.datatype in _ACCEPTED[role]:
        return
    if tensor.datatype not in _DATATYPES:
        raise InvalidInput(
            f"input {tensor.name!r} has the unknown datatype {tensor.datatype!r}; expected {_WANTED[role]}"
        )
    raise InvalidInput(f"input {tensor.name!r} has datatype {tensor.datatype}; expected {_WANTED[role]}")


def _check_values(name: str, datatype: str, values: list[Any]) -> None:
    """Refuses values that are not what the datatype says. ``null`` may stand in FP and BYTES data."""
    kinds = set(map(type, values))
    if datatype in _FLOATS:
        limit = _FLOATS[datatype]
        size = "" if datatype == "FP64" else f" of at most {limit:.5g}"
        wanted, allowed = f"a number{size} or null", {float, int, type(None)}
        fits = kinds <= allowed and _within(values, -limit, limit, type(None) in kinds)
    elif datatype in _INTEGERS:
        low, high = _INTEGERS[datatype]
        wanted, allowed = f"a whole number from {low} to {high}", {int}
        fits = kinds <= allowed and _within(values, low, high, nullable=False)
    elif datatype == "BOOL":
        wanted, allowed = "true or false", {bool}
        fits = kinds <= allowed
    else:
        wanted, allowed = "text or null", {str, type(None)}
        fits = kinds <= allowed
        if not fits and kinds <= {str, int, type(None)}:
            wanted = "text (in quotes) or null"
    if fits:
        return
    for row, value in enumerate(values):
        if type(value) not in allowed or not _fits(value, datatype):
            shown = msgspec.json.encode(value)[:40].decode(errors="replace")
            raise InvalidInput(f"input {name!r}, row {row}: {shown} is not {wanted}, as {datatype} says")


def _within(values: list[Any], low: float, high: float, nullable: bool) -> bool:
    if nullable:
        values = [value for value in values if value is not None]
    return not values or (low <= min(values) and max(values) <= high)


def _fits(value: Any, datatype: str) -> bool:
    if value is None or isinstance(value, str | bool):
        return True
    limit = _FLOATS.get(datatype)
    low, high = (-limit, limit) if limit else _INTEGERS[datatype]
    return bool(low <= value <= high)


def _feature(name: str, role: Role, values: list[Any]) -> list[Any]:
    """What the tensor can hold that the model is given: float32, or int64."""
    if role == "float" and not _within(values, -FLOAT32_MAX, FLOAT32_MAX, None in values):
        raise InvalidInput(f"input {name!r} has a number beyond what FP32 can hold, {FLOAT32_MAX:.3g}")
    low, high = _INTEGERS["INT64"]
    if role == "int" and not _within(values, low, high, nullable=False):
        raise InvalidInput(f"input {name!r} has a number beyond what INT64 can hold")
    return values


def _keys(name: str, values: list[Any]) -> list[str]:
    if None in values or "" in values:
        raise InvalidInput(f"input {name!r} names each row; row {_first_empty(values)} has no name")
    return [value if type(value) is str else str(value) for value in values]


def _first_empty(values: list[Any]) -> int:
    return next(row for row, value in enumerate(values) if value is None or value == "")


def _times(name: str, values: list[Any]) -> list[float]:
    return [_time(name, row, value) for row, value in enumerate(values)]


def _time(name: str, row: int, value: Any) -> float:
    """Seconds since 1970; text without a time zone is taken as UTC."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInput(f"input {name!r}, row {row}: {value[:40]!r} is not an ISO 8601 time") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if value is None or not EARLIEST <= value <= LATEST or not math.isfinite(value):
        raise InvalidInput(
            f"input {name!r}, row {row}: {value} is not a time in seconds since 1970 (milliseconds, perhaps?)"
        )
    return float(value)


def pick_outputs(request: InferenceRequest, output: str) -> tuple[bool, bool]:
    """Whether the request wants the prediction, and the prediction's id.

    Raises:
        InvalidInput: If it asks for an output that the model doesn't give.
    """
    if not request.outputs:
        return True, True
    wanted = {asked.name for asked in request.outputs}
    extra = wanted - {output, PREDICTION_ID}
    if extra:
        raise InvalidInput(f"the model gives no output {min(extra)!r}; it gives {output}, {PREDICTION_ID}")
    return output in wanted, PREDICTION_ID in wanted
