"""From a gRPC request to what it asks, and from an answer to a gRPC response."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from treadle.deploy.replica import tensors
from treadle.deploy.replica.protocol import (
    InferenceRequest,
    OutputParameters,
    OutputTensor,
    RequestedOutput,
    Tensor,
    TensorParameters,
)
from treadle.deploy.replica.rpc.messages import MESSAGES
from treadle.kernel.errors import InvalidInput

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read(message: Any) -> InferenceRequest:
    """What a ``ModelInferRequest`` asks.

    Raises:
        InvalidInput: If its data are not what its tensors' shapes and datatypes say.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidInput(
            f"there are {len(message.inputs)} inputs and {len(raw)} raw_input_contents; "
            "send the data of every input there, or of none"
        )
    inputs = [
        Tensor(
            one.name,
            list(one.shape),
            one.datatype,
            _from_raw(one, raw[at]) if raw else _from_contents(one),
            TensorParameters(
                shared_memory_region=_parameter(one, "shared_memory_region").string_param or None
            ),
        )
        for at, one in enumerate(message.inputs)
    ]
    outputs = [
        RequestedOutput(
            one.name,
            OutputParameters(
                classification=_parameter(one, "classification").int64_param or None,
                shared_memory_region=_parameter(one, "shared_memory_region").string_param or None,
            ),
        )
        for one in message.outputs
    ]
    return InferenceRequest(inputs, message.id or None, outputs)


_NONE = MESSAGES["InferParameter"]()


def _parameter(message: Any, key: str) -> Any:
    return next((one.value for one in message.parameters if one.key == key), _NONE)


def _from_raw(tensor: Any, piece: bytes) -> Any:
    if tensor.HasField("contents"):
        raise InvalidInput(f"input {tensor.name!r} has contents and raw_input_contents; send its data once")
    return _light(tensors.read_binary(tensor.name, tensor.datatype, memoryview(piece)))


def _light(values: Any) -> Any:
    """A value that is alone as a list: what arrays are quick at takes many."""
    if isinstance(values, list) or len(values) != 1:
        return values
    value = values.tolist()[0]
    return [None if value != value else value]  # noqa: PLR0124 - NaN is what differs from itself


def _from_contents(tensor: Any) -> Any:
    name = _CONTENTS.get(tensor.datatype)
    if name is None:
        raise InvalidInput(
            f"input {tensor.name!r} has datatype {tensor.datatype!r}, which has no contents; "
            "send raw_input_contents, or another datatype"
        )
    for field, values in tensor.contents.ListFields():
        if field.name != name and len(values):
            raise InvalidInput(f"input {tensor.name!r} has {field.name}; {tensor.datatype} is sent in {name}")
    values = getattr(tensor.contents, name)
    if tensor.datatype == "BYTES":
        return [_text(tensor.name, row, value) for row, value in enumerate(values)]
    if tensor.datatype in ("FP32", "FP64"):
        return _light(np.array(values, "<f4" if tensor.datatype == "FP32" else "<f8"))
    return list(values)


def _text(name: str, row: int, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"input {name!r}, row {row} is not UTF-8") from None


def write(model: str, version: int, request: str | None, outputs: list[OutputTensor], *, raw: bool) -> bytes:
    """A ``ModelInferResponse``: data in its tensors, or raw as Triton's client wants them."""
    message = MESSAGES["ModelInferResponse"](model_name=model, model_version=str(version), id=request or "")
    for output in outputs:
        told = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if raw:
            message.raw_output_contents.append(tensors.write_binary(output))
        elif output.datatype == "BYTES":
            told.contents.bytes_contents.extend((text or "").encode() for text in output.data)
        else:
            values = [math.nan if value is None else value for value in output.data]
            getattr(told.contents, _CONTENTS[output.datatype]).extend(values)
    data: bytes = message.SerializeToString()
    return data
