"""What MLflow wrote down of a model: the file ``MLmodel`` in its folder, and the example beside it.

After https://mlflow.org/docs/latest/ml/model/ (model format, signature, input example). Pure: bytes in,
values out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from treadle.registry.types import Field, FieldKind, Output, Signature

MLMODEL = "MLmodel"
_KINDS: dict[str, FieldKind] = {
    "boolean": "bool",
    "integer": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "string": "string",
}
# How NumPy's types begin that a tensor may have.
_TENSORS: dict[str, FieldKind] = {
    "float": "float",
    "int": "int",
    "uint": "int",
    "bool": "bool",
    "str": "string",
    "object": "string",
}
_CLASSES = 2
# What the server calls the names that it gives to rows.
_TAKEN = "prediction_id"
_KEPT_ROWS = 100


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says.

    Attributes:
        flavors: How MLflow can load the model, such as ``python_function`` and ``sklearn``.
        interface: Inputs, outputs and parameters in MLflow's own words, as JSON; empty for none.
        example: The file with an example of what it takes; empty for none.
        signature: What it takes and gives, if both are tables.
        problem: Why there is no signature, in words.
    """

    flavors: tuple[str, ...] = ()
    interface: str = ""
    example: str = ""
    signature: Signature | None = None
    problem: str = "it was logged without a signature"


def read_mlmodel(text: bytes) -> Described | None:
    """Reads ``MLmodel``; None if it is no such file."""
    import yaml  # type: ignore[import-untyped]

    try:
        said = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    if not isinstance(said, dict):
        return None
    flavors = _part(said, "flavors")
    spec = _spec(_part(said, "signature"))
    signature, problem = _signature(spec, _part(flavors, "python_function"))
    return Described(
        flavors=tuple(sorted(map(str, flavors))),
        interface=json.dumps({name: value for name, value in spec.items() if value})
        if spec.get("inputs")
        else "",
        example=str(_part(said, "saved_input_example_info").get("artifact_path", "")),
        signature=signature,
        problem=problem,
    )


def read_example(text: bytes, signature: Signature) -> dict[str, list[Any]]:
    """The rows of an input example by column; none if it is of a form that isn't a table's."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    names = [field.name for field in signature.inputs]
    if not isinstance(said, dict):
        return {}
    columns, rows = said.get("columns", names), said.get("data", said.get("inputs"))
    if not (isinstance(columns, list) and isinstance(rows, list) and rows):
        return {}
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        return {}
    found = {name: [_value(row[at]) for row in rows[:_KEPT_ROWS]] for at, name in enumerate(columns)}
    return {name: found[name] for name in names} if set(names) <= found.keys() else {}


def _value(value: Any) -> Any:
    """MLflow writes a missing value as NaN, in a text column too."""
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def made_up_example(signature: Signature) -> dict[str, list[Any]]:
    """A row that shows the form of a request, of a model that was logged without an example."""
    values: dict[FieldKind, Any] = {"float": 0.0, "int": 0, "string": "", "bool": False}
    return {field.name: [values[field.kind]] for field in signature.inputs}


def _part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}


def _spec(signature: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs, outputs and parameters, which MLflow writes as JSON in texts."""
    found = {}
    for name in ("inputs", "outputs", "params"):
        value = signature.get(name)
        try:
            found[name] = json.loads(value) if isinstance(value, str) else None
        except ValueError:
            return {}
    return found


def _signature(spec: Mapping[str, Any], flavor: Mapping[str, Any]) -> tuple[Signature | None, str]:
    inputs, outputs = spec.get("inputs"), spec.get("outputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(one, dict) for one in inputs):
        return None, "it was logged without a signature"
    if not flavor:
        return None, "it has no python_function flavour, by which it could be asked"
    fields = _columns(inputs)
    proba = flavor.get("predict_fn") == "predict_proba"
    found = _outputs(outputs, "probabilities" if proba else "predictions")
    if isinstance(fields, str) or isinstance(found, str):
        return None, fields if isinstance(fields, str) else str(found)
    return _of(fields, found, proba=proba), ""


def _of(fields: tuple[Field, ...], found: tuple[Output, ...], *, proba: bool) -> Signature:
    """The signature of a model: a number a row where it gives one, or a pair of probabilities."""
    if _is_pair(found, proba=proba):
        return Signature(fields, "probability")
    if not found or (len(found) == 1 and not found[0].width and found[0].kind != "string"):
        return Signature(fields, "probability" if proba else "value")
    named = any(one.name == "probability" and one.kind == "float" and not one.width for one in found)
    return Signature(fields, "probability" if named else "value", found)


def _is_pair(outputs: Sequence[Output], *, proba: bool) -> bool:
    """Whether it gives the probabilities of two classes: in a tensor, or in columns without names."""
    if len(outputs) == 1:
        return outputs[0].width == _CLASSES and outputs[0].kind == "float"
    plain = all(one.kind == "float" and not one.width for one in outputs)
    unnamed = proba or all(one.name in ("0", "1", "output-0", "output-1") for one in outputs)
    return len(outputs) == _CLASSES and plain and unnamed


def _columns(inputs: Sequence[Mapping[str, Any]]) -> tuple[Field, ...] | str:
    """The columns of a table; of a tensor of numbers, ``x0``, ``x1`` and so on; or why there are none."""
    if inputs[0].get("type") == "tensor":
        spec = _part(inputs[0], "tensor-spec")
        shape, dtype = spec.get("shape"), str(spec.get("dtype", ""))
        flat = isinstance(shape, list) and len(shape) == 2 and isinstance(shape[1], int) and shape[1] > 0
        if len(inputs) > 1 or not flat or not dtype.startswith(("float", "int", "uint")):
            return (
                f"it takes tensors ({json.dumps(list(inputs))[:200]}), and only [-1, N] of numbers is served"
            )
        kind: FieldKind = "float" if dtype.startswith("float") else "int"
        assert isinstance(shape, list)  # noqa: S101 - just seen
        return tuple(Field(f"x{at}", kind) for at in range(shape[1]))
    fields = []
    for at, one in enumerate(inputs):
        name, kind_ = one.get("name"), _KINDS.get(str(one.get("type")))
        if not isinstance(name, str):
            return f"its input {at} has no name"
        if kind_ is None:
            return f"its input {name!r} is a {one.get('type')}; served are {', '.join(_KINDS)}"
        fields.append(Field(name, kind_))
    return tuple(fields)


def _outputs(outputs: object, alone: str) -> tuple[Output, ...] | str:
    """What it gives; nothing where that isn't said; or why that can't be served.

    Args:
        outputs: As the signature has them.
        alone: What the only one is called if it has no name.
    """
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        return ()
    found = []
    for at, one in enumerate(outputs):
        given = alone if len(outputs) == 1 else f"output-{at}"
        name = given if one.get("name") is None else str(one["name"])
        kind, width = _KINDS.get(str(one.get("type"))), 0
        if one.get("type") == "tensor":
            kind, width = _of_tensor(_part(one, "tensor-spec"))
        if kind is None:
            shown = json.dumps(one.get("tensor-spec", one.get("type")))[:100]
            return f"its output {name!r} is {shown}; served are {', '.join(_KINDS)}, tensors [-1] and [-1, N]"
        found.append(Output(name, kind, width, optional=one.get("required") is False))
    names = [one.name for one in found]
    if len(set(names)) < len(names) or _TAKEN in names:
        return f"its outputs are {', '.join(names)}: each needs a name of its own, other than {_TAKEN}"
    return tuple(found)


def _of_tensor(spec: Mapping[str, Any]) -> tuple[FieldKind | None, int]:
    """The kind of a tensor's values, None if it can't be served, and how many it has for a row."""
    shape, dtype = spec.get("shape"), str(spec.get("dtype", ""))
    if not isinstance(shape, list) or len(shape) not in (1, 2) or not isinstance(shape[-1], int):
        return None, 0
    if len(shape) == 2 and shape[1] < 1:
        return None, 0
    kind = next((kind for start, kind in _TENSORS.items() if dtype.startswith(start)), None)
    return kind, shape[1] if len(shape) == 2 and shape[1] > 1 else 0
