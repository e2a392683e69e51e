"""A model in the form that is evaluated and served: ONNX, its signature, and an example that proves it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from treadle.kernel.errors import InvalidInput, ModelInvalid
from treadle.kernel.files import storage_errors, write_atomic
from treadle.registry.types import Field, FieldKind, Signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Output: TypeAlias = Literal["probability", "value"]

# How far a converted model's answers may be from the original's; relative to values over 1.
TOLERANCE = 1e-4
# Where a probability becomes the other label; so close to it, 32-bit floats decide by their rounding.
HALF, ROUNDING = 0.5, 1e-6
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
        model: A fitted estimator of scikit-learn, XGBoost or LightGBM, or a pipeline of them; a
            PyTorch module; or the path of an ``.onnx`` file.
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
    from treadle.sdk.converting import need

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
                onnx, signature, original = _from_model(model, example, columns, task)
                _write(built, onnx, signature, columns)
                _compare(_answers(built, columns), original, signature.output)
            folder.mkdir(exist_ok=True)
            return [file.replace(folder / file.name) for file in sorted(built.iterdir())]


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


def _from_model(
    model: Any, example: Any, columns: Mapping[str, list[Any]], task: str | None
) -> tuple[bytes, Signature, npt.NDArray[np.float64]]:
    """A library's model as ONNX, what it takes, and what it answers to the example itself."""
    from treadle.sdk import converting

    if converting.is_module(model):
        fields = _fields(columns)
        onnx, answers = converting.from_module(model, columns, fields)
        pairs = answers.ndim == 2 and answers.shape[1] == 2
        output: Output = "probability" if (task == "binary" if task else pairs) else "value"
        return onnx, Signature(fields, output), _one_a_row(answers, len(next(iter(columns.values()))), output)
    output = _output(model, task)
    original = _original(model, example, output)
    fields = _fields(columns)
    onnx = converting.from_sklearn(model, example, fields, probability=output == "probability")
    return onnx, Signature(fields, output), original


def _fields(columns: Mapping[str, list[Any]]) -> tuple[Field, ...]:
    return tuple(Field(name, _kind(name, values)) for name, values in columns.items())


def _one_a_row(answers: npt.NDArray[np.float64], rows: int, output: Output) -> npt.NDArray[np.float64]:
    """What a module answers, as one number a row: of two columns of probabilities the second."""
    if answers.shape == (rows, 2) and output == "probability":
        return answers[:, 1]
    if answers.shape in {(rows,), (rows, 1)}:
        return answers.reshape(rows)
    raise InvalidInput(
        f"the module answers {rows} rows with a tensor of shape {list(answers.shape)}",
        fix="give one value a row, or the probabilities of two classes",
    )


def _output(model: Any, task: str | None) -> Output:
    if not (hasattr(model, "predict") and hasattr(model, "get_params")):
        raise InvalidInput(
            f"a {type(model).__name__} is no model that can be logged",
            fix="give a fitted estimator of scikit-learn, XGBoost or LightGBM (with scikit-learn's "
            "interface, such as XGBClassifier), a PyTorch module, or the path of an .onnx file",
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


def _compare(converted: npt.NDArray[np.float64], original: npt.NDArray[np.float64], output: Output) -> None:
    """Refuses a converted model that answers differently, naming the row where it is worst."""
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
    other = ((converted > HALF) != (original > HALF)) & (np.abs(original - HALF) > ROUNDING)
    if output == "probability" and other.any():
        row = int(np.argmax(np.where(other, apart, -1)))
        raise ModelInvalid(
            f"converted, the model answers {converted[row]:.6g}; before, it answers {original[row]:.6g}: "
            "the other label",
            where=f"row {row} of the example",
            fix="round what the model takes to 32-bit floats before it is trained",
        )
