"""A model in the form that is evaluated and served: ONNX, its signature, and an example that proves it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from treadle.kernel.errors import InvalidInput, MissingExtra, ModelInvalid
from treadle.kernel.files import storage_errors, write_atomic
from treadle.registry.types import Field, FieldKind, Signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Output: TypeAlias = Literal["probability", "value"]

TOLERANCE = 1e-4
_KEPT_ROWS = 100
_PROVEN_ROWS = 10_000
_KINDS: dict[str, FieldKind] = {
    "tensor(float)": "float",
    "tensor(int64)": "int",
    "tensor(string)": "string",
    "tensor(bool)": "bool",
}


def write_model(model: Any, example: Any, task: str | None, folder: Path) -> list[Path]:
    """Writes a model's three files, after proving that they answer as the model does.

    Args:
        model: A fitted scikit-learn estimator, or the path of an ``.onnx`` file.
        example: Rows as the model takes them.
        task: ``binary`` or ``regression``, if it is known.
        folder: Where the files go; what is there stays as it is unless the proof succeeds.

    Returns:
        The files.

    Raises:
        ModelInvalid: If the model can't be converted, or answers differently afterwards.
        InvalidInput: If the model or the example can't be used.
        MissingExtra: If the converter isn't installed.
        StorageError: If the disk is full or fails.
    """
    need("onnxruntime")
    columns = _columns(example)
    with storage_errors(str(folder)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".model-") as temporary:
            built = Path(temporary)
            if isinstance(model, (str, os.PathLike)):
                onnx, signature = _from_file(Path(model), task)
                _write(built, onnx, signature, columns)
                _answers(built, columns)
            else:
                output = _output(model, task)
                original = _original(model, example, output)
                onnx, signature = _from_sklearn(model, example, columns, output)
                _write(built, onnx, signature, columns)
                _compare(_answers(built, columns), original)
            folder.mkdir(exist_ok=True)
            return [file.replace(folder / file.name) for file in sorted(built.iterdir())]


def need(module: str) -> None:
    """Raises MissingExtra if a module of the ``sklearn`` extra isn't installed."""
    if find_spec(module) is None:
        raise MissingExtra(
            f"a model is logged by way of {module}, which is not installed",
            fix="pip install 'treadle[sklearn]'",
        )


def _columns(example: Any) -> dict[str, list[Any]]:
    """The example's columns as plain values, None where one is missing."""
    if hasattr(example, "iloc") and hasattr(example, "columns"):
        head = example.iloc[:_PROVEN_ROWS]
        found = {
            name: [None if gone else v for v, gone in zip(column.astype(object), column.isna(), strict=True)]
            for name, column in head.items()
        }
    elif isinstance(example, Mapping):
        found = {
            name: [None if v is None or v != v else v for v in list(values)[:_PROVEN_ROWS]]  # noqa: PLR0124 - NaN
            for name, values in example.items()
        }
    else:
        raise InvalidInput(
            f"the example is a {type(example).__name__}, which names no columns",
            fix="give a pandas DataFrame, or a mapping of column names to values",
        )
    if not found or not all(found.values()) or not all(isinstance(name, str) for name in found):
        raise InvalidInput("the example needs at least one row, and columns named by text")
    return found


def _from_sklearn(
    model: Any, example: Any, columns: Mapping[str, list[Any]], output: Output
) -> tuple[bytes, Signature]:
    need("skl2onnx")
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    fields = tuple(Field(name, _kind(name, values)) for name, values in columns.items())
    types = {"float": FloatTensorType, "string": StringTensorType}
    whole = _by_columns(model, example)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = convert_sklearn(
                whole,
                name="model",
                initial_types=[(field.name, types[field.kind]([None, 1])) for field in fields],
                options={id(whole): {"zipmap": False}} if output == "probability" else None,
            )
    except Exception as error:  # the converter's errors share no public base
        raise ModelInvalid(
            f"the model can't be converted to ONNX: {str(error).strip().splitlines()[0][:300]}",
            where=type(model).__name__,
            fix="convert it yourself and give run.log_model the path of the .onnx file",
        ) from error
    for node in [node for node in converted.graph.output if node.name == "label"]:
        converted.graph.output.remove(node)
    return converted.SerializeToString(), Signature(fields, output)


def _output(model: Any, task: str | None) -> Output:
    if not hasattr(model, "predict"):
        raise InvalidInput(
            f"a {type(model).__name__} is no model that can be logged",
            fix="give a fitted scikit-learn estimator, or the path of an .onnx file",
        )
    probability = hasattr(model, "predict_proba")
    if task == ("regression" if probability else "binary"):
        raise InvalidInput(
            f"the project's task is {task}, but this model {'is a' if probability else 'is no'} classifier",
            where=type(model).__name__,
            fix="set `task` under [project], or log a model of that kind",
        )
    return "probability" if probability else "value"


def _kind(name: str, values: list[Any]) -> FieldKind:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {str}:
        return "string"
    if kinds <= {bool, int, float}:
        return "float"
    raise InvalidInput(
        f"it holds {', '.join(sorted(kind.__name__ for kind in kinds))}",
        where=f"column {name!r} of the example",
        fix="a model takes numbers, truth values and texts, and only one of them in a column",
    )


def _by_columns(model: Any, example: Any) -> Any:
    """The model as a pipeline that begins by taking its columns one by one, as ONNX will give them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline) and isinstance(model.steps[0][1], ColumnTransformer):
        return model
    take = ColumnTransformer([("columns", "passthrough", list(example.columns))])
    return Pipeline([("columns", take.fit(example)), ("model", model)])


def _original(model: Any, example: Any, output: Output) -> npt.NDArray[np.float64]:
    import numpy as np

    if not hasattr(example, "iloc"):
        raise InvalidInput("a scikit-learn model takes a pandas DataFrame as its example")
    answer = model.predict_proba if output == "probability" else model.predict
    try:
        scores = np.asarray(answer(example.iloc[:_PROVEN_ROWS]), np.float64)
    except Exception as error:  # whatever an estimator raises
        raise ModelInvalid(
            f"the model fails on its own example: {str(error).strip().splitlines()[0][:300]}",
            where=type(model).__name__,
            fix="give rows with the columns that it was fitted on, in their order",
        ) from error
    if output == "value":
        return scores.reshape(-1)
    if scores.ndim != 2 or scores.shape[1] != 2:
        raise InvalidInput(
            "the model tells more than two classes apart", fix="use one label that is true or not"
        )
    return scores[:, 1]


def _from_file(path: Path, task: str | None) -> tuple[bytes, Signature]:
    import onnxruntime as ort

    try:
        onnx = path.read_bytes()
        session = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base
        raise ModelInvalid(f"not a model that can be loaded: {error}", where=str(path)) from error
    fields = []
    for node in session.get_inputs():
        if node.type not in _KINDS:
            raise ModelInvalid(
                f"input {node.name!r} is a {node.type}", where=str(path), fix=f"use {', '.join(_KINDS)}"
            )
        fields.append(Field(node.name, _KINDS[node.type]))
    pairs = any(len(node.shape) == 2 and node.shape[1] == 2 for node in session.get_outputs())
    probability = task == "binary" if task else pairs
    return onnx, Signature(tuple(fields), "probability" if probability else "value")


def _write(folder: Path, onnx: bytes, signature: Signature, columns: dict[str, list[Any]]) -> None:
    for field in signature.inputs:
        if field.name in columns and field.kind == "float":
            values = columns[field.name]
            if all(isinstance(value, (bool, int, float, type(None))) for value in values):
                columns[field.name] = [None if value is None else float(value) for value in values]
    kept = {name: values[:_KEPT_ROWS] for name, values in columns.items()}
    write_atomic(folder / "model.onnx", onnx)
    write_atomic(folder / "signature.json", msgspec.json.encode(signature))
    write_atomic(folder / "example.json", msgspec.json.encode(kept))


def _answers(folder: Path, columns: Mapping[str, list[Any]]) -> npt.NDArray[np.float64]:
    from treadle.registry import LoadedModel

    try:
        return LoadedModel.load(folder).predict(columns)
    except ModelInvalid as error:  # where it was proven is gone by the time that anybody looks
        raise ModelInvalid(error.message, where="run.log_model", fix=error.fix) from error


def _compare(converted: npt.NDArray[np.float64], original: npt.NDArray[np.float64]) -> None:
    import numpy as np

    apart = np.abs(converted - original) / np.maximum(1, np.abs(original))
    row = int(np.argmax(np.where(np.isnan(apart), np.inf, apart)))
    if not apart[row] <= TOLERANCE:
        raise ModelInvalid(
            f"converted, the model answers {converted[row]:.6g}; before, it answers {original[row]:.6g}",
            where=f"row {row} of the example",
            fix="ONNX works with 32-bit floats and takes a missing text as ''; steps that the converter gets "
            "wrong (categorical_features of gradient boosting, say) must be done by an encoder before",
        )
