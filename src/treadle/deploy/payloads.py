"""What another server was asked and answered, read from the Open Inference Protocol's JSON.

Pure: bytes in, columns or an error out. Requests are read as the inference server here reads them, but
for numbers: which of the protocol's types they come in makes no difference to who only keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from treadle.deploy.replica.protocol import InferenceRequest, Inputs, Role, decode
from treadle.deploy.replica.rows import read_rows
from treadle.kernel.errors import InvalidInput
from treadle.registry import Signature

MOST_ROWS = 10_000
"""So many rows a payload may have."""

_NUMBERS = ("BOOL", "FP", "BF", "INT", "UINT")
_CLASSES = 2
_LONGEST = 10  # digits of a version


class _Output(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: Any = None


class ServedAnswer(msgspec.Struct):
    """The body of another server's response.

    Attributes:
        outputs: Its tensors.
        model_version: What that server calls the version; any text, or nothing.
    """

    outputs: list[_Output]
    model_version: str | int | None = None

    def number(self) -> int | None:
        """The version as a number, if it is one."""
        told = str(self.model_version)
        return int(told) if told.isascii() and told.isdigit() and len(told) < _LONGEST else None


_ANSWERS = msgspec.json.Decoder(ServedAnswer)


def decode_request(body: bytes) -> InferenceRequest:
    """Reads a request's body.

    Raises:
        InvalidInput: If it isn't JSON or isn't an inference request; says where.
    """
    return decode(body)


def decode_answer(body: bytes) -> ServedAnswer:
    """Reads a response's body.

    Raises:
        InvalidInput: If it isn't JSON or isn't an inference response; says where.
    """
    try:
        return _ANSWERS.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the body is not an inference response: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None


def request_columns(request: InferenceRequest, signature: Signature) -> dict[str, list[Any]]:
    """Each feature's values.

    Args:
        request: Named tensors, one a feature, or one matrix of all features in the signature's order.
        signature: What the model takes.

    Raises:
        InvalidInput: If a feature is missing, unknown, there twice, of the wrong datatype, or its data don't
            fit its shape. The sentence names it and what was expected.
    """
    features = tuple(field.name for field in signature.inputs)
    if len(features) == len(request.inputs) == 1:
        request.inputs[0].name = features[0]  # many servers call it `input-0`; there is no other
    told = {tensor.name: tensor.datatype for tensor in request.inputs}
    matrix = next((told[name] for name in told if name not in features), "")
    roles: dict[str, Role] = {
        field.name: "string" if field.kind == "string" else _role(told.get(field.name, matrix))
        for field in signature.inputs
    }
    found = read_rows(request, Inputs(roles, features), MOST_ROWS).by_column(features)
    return {name: list(found[name]) for name in features}


def _role(datatype: str) -> Role:
    return "bool" if datatype == "BOOL" else "float"


def answer_values(answer: ServedAnswer, signature: Signature, output: str = "") -> list[float]:
    """The predictions, one a row.

    Of a classifier's probabilities of two classes, ``[N, 2]``, the second is taken: the class that is true.

    Args:
        answer: The response.
        signature: What the model gives.
        output: Which tensor has them; when empty the only one, or the one named as the model's output is.

    Raises:
        InvalidInput: If there is no such tensor, or its data are no numbers or don't fit its shape.
    """
    tensor = _pick(answer.outputs, signature, output)
    where = f"outputs.{tensor.name}"
    if not tensor.datatype.startswith(_NUMBERS):
        raise InvalidInput(f"the output has datatype {tensor.datatype}; expected numbers", where=where)
    if not isinstance(tensor.data, list):
        raise InvalidInput("the output has no data", where=where, fix="log responses whose data are JSON")
    values = _flat(tensor.data)
    width = _width(tensor, signature, where)
    if len(values) != tensor.shape[0] * width:
        raise InvalidInput(f"the output has shape {tensor.shape} and {len(values)} values", where=where)
    kept = values[width - 1 :: width]
    wrong = next((row for row, one in enumerate(kept) if type(one) not in (int, float, bool)), None)
    if wrong is not None:
        shown = msgspec.json.encode(kept[wrong])[:40].decode(errors="replace")
        raise InvalidInput(f"{shown} is no number", where=f"{where}, row {wrong}")
    try:
        return [float(one) for one in kept]
    except OverflowError:
        raise InvalidInput("a number is too large", where=where) from None


def _pick(outputs: Sequence[_Output], signature: Signature, wanted: str) -> _Output:
    named = {one.name: one for one in outputs}
    if not wanted and len(named) == 1:
        return next(iter(named.values()))
    name = wanted or signature.number or signature.output
    if name not in named:
        raise InvalidInput(
            f"the response has no output {name!r}; it has {', '.join(map(repr, sorted(named))) or 'none'}"[
                :400
            ],
            where="outputs",
            fix="say which one is the prediction with ?output=NAME in the logger's url",
        )
    return named[name]


def _width(tensor: _Output, signature: Signature, where: str) -> int:
    """How many values a row has: one, or the probabilities of two classes."""
    shape = tensor.shape
    if len(shape) in (1, 2) and shape[0] >= 0:
        if shape[1:] in ([], [1]):
            return 1
        if shape[1] == _CLASSES and signature.output == "probability":
            return _CLASSES
    two = " or, of probabilities, [N, 2]" if signature.output == "probability" else ""
    raise InvalidInput(f"the output has shape {shape}; expected [N], [N, 1]{two}", where=where)


def _flat(data: list[Any]) -> list[Any]:
    if data and all(type(row) is list for row in data):
        return [value for row in data for value in row]
    return data
