"""What MLflow wrote down of a model: the file ``MLmodel`` in its folder, and the example beside it.

After https://mlflow.org/docs/latest/ml/model/ (model format, signature, input example). Pure: bytes in,
values out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from treadle.registry.types import Field, FieldKind, Signature

MLMODEL = "MLmodel"
_KINDS: dict[str, FieldKind] = {
    "boolean": "bool",
    "integer": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "string": "string",
}
_KEPT_ROWS = 100


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says.

    Attributes:
        flavors: How MLflow can load the model, such as ``python_function`` and ``sklearn``.
        interface: Inputs, outputs and parameters in MLflow's own words, as JSON; empty for none.
        example: The file with an example of what it takes; empty for none.
        signature: What it takes and gives, if it is a table and a number a row.
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
    if isinstance(fields, str):
        return None, fields
    pairs = flavor.get("predict_fn") == "predict_proba" or _width(outputs) == 2
    return Signature(fields, "probability" if pairs else "value"), ""


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


def _width(outputs: object) -> int:
    """How many columns its answer has; 0 where that isn't said."""
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        return 0
    if len(outputs) == 1 and outputs[0].get("type") == "tensor":
        shape = _part(outputs[0], "tensor-spec").get("shape")
        return shape[1] if isinstance(shape, list) and len(shape) == 2 and isinstance(shape[1], int) else 1
    return len(outputs)
