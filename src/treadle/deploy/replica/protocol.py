"""The JSON of the Open Inference Protocol v2.

Shapes after https://github.com/kserve/open-inference-protocol (``inference_rest.md``). Pure: bytes in,
values or an error out.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from treadle.kernel.errors import InvalidInput
from treadle.registry.types import FieldKind, Signature

Role: TypeAlias = FieldKind | Literal["key", "time"]
PREDICTION_ID = "prediction_id"

_DATATYPE: dict[FieldKind, str] = {"float": "FP32", "int": "INT64", "bool": "BOOL", "string": "BYTES"}
OUTPUT_TYPES: dict[FieldKind, str] = _DATATYPE | {"float": "FP64"}
"""The datatype in which each kind of output is answered."""


class TensorParameters(msgspec.Struct, gc=False):
    """What the protocol's extensions say of an input."""

    binary_data_size: int | None = None
    shared_memory_region: str | None = None


class Tensor(msgspec.Struct, gc=False):
    """An input of a request. Its data are a list, or an array when they came in binary."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: TensorParameters | None = None


class OutputParameters(msgspec.Struct, gc=False):
    """What the protocol's extensions say of an output asked for."""

    binary_data: bool | None = None
    classification: int | None = None
    shared_memory_region: str | None = None


class RequestedOutput(msgspec.Struct):
    """An output that a request asks for."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(msgspec.Struct, gc=False):
    """What the protocol's extensions say of a request."""

    binary_data_output: bool = False


class InferenceRequest(msgspec.Struct):
    """The body of a request."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: RequestParameters | None = None


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """An output of a response: its data are a list, or an array that goes in binary, or follow in binary."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: Any = None
    parameters: dict[str, int] | None = None


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
    model: str,
    version: int,
    signature: Signature,
    key: str | None,
    time: str | None,
    *,
    platform: str = "onnx_onnxruntime",
    real: str = "FP32",
) -> ModelMetadata:
    """The model's metadata; the optional inputs for key and time are listed last."""
    types = _DATATYPE | {"float": real}
    inputs = [MetadataTensor(field.name, types[field.kind]) for field in signature.inputs]
    named = {tensor.name for tensor in inputs}
    if key and key not in named:
        inputs.append(MetadataTensor(key, "BYTES"))
    if time and time not in named:
        inputs.append(MetadataTensor(time, "FP64"))
    outputs = [
        MetadataTensor(one.name, OUTPUT_TYPES[one.kind], (-1, one.width) if one.width else (-1,))
        for one in signature.outputs
    ] or [MetadataTensor(signature.output, "FP64")]
    outputs.append(MetadataTensor(PREDICTION_ID, "BYTES"))
    return ModelMetadata(model, [str(version)], platform, inputs, outputs)


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
        raise not_json(body, error) from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None


def not_json(body: bytes, error: Exception) -> InvalidInput:
    """That a body is no JSON; and what to write in place of numbers that JSON lacks."""
    has = next((word for word in ("NaN", "Infinity") if word.encode() in body), "")
    what = {"NaN": "; NaN is no JSON: write null for a missing number", "Infinity": "; infinity is no JSON"}
    return InvalidInput(f"the body is not valid JSON: {error}{what.get(has, '')}")


Wanted: TypeAlias = dict[str, bool]
"""Which outputs a request wants, in the order that they are answered in, and which of them in binary."""


def pick_outputs(request: InferenceRequest, signature: Signature) -> Wanted:
    """Which outputs a request wants.

    Args:
        request: The request.
        signature: What the model gives.

    Raises:
        InvalidInput: If it asks for an output that the model doesn't give, or in a way that isn't known.
    """
    binary = request.parameters is not None and request.parameters.binary_data_output
    gives = (*signature.gives, PREDICTION_ID)
    if not request.outputs:
        return dict.fromkeys(gives, binary)
    wanted = {}
    for asked in request.outputs:
        if asked.name not in gives:
            raise InvalidInput(f"the model gives no output {asked.name!r}; it gives {', '.join(gives)}")
        said = asked.parameters or OutputParameters()
        if said.classification or said.shared_memory_region:
            raise InvalidInput(f"output {asked.name!r} can't be given as classes or in shared memory here")
        wanted[asked.name] = binary if said.binary_data is None else said.binary_data
    return {name: wanted[name] for name in gives if name in wanted}
