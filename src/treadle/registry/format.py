"""A model as a folder: ``model.onnx``, ``signature.json`` and ``example.json``; and the loaded model.

Stands on msgspec, NumPy and ONNX Runtime alone, so that an inference server stays small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.kernel.errors import InvalidInput, ModelInvalid, TreadleError
from treadle.kernel.names import did_you_mean
from treadle.registry.columns import Tensor, Values, converter
from treadle.registry.small import SmallBatches
from treadle.registry.types import FieldKind, Signature

if TYPE_CHECKING:
    import onnxruntime as ort

MODEL = "model.onnx"
SIGNATURE = "signature.json"
EXAMPLE = "example.json"

_TENSOR: dict[FieldKind, str] = {
    "float": "tensor(float)",
    "int": "tensor(int64)",
    "string": "tensor(string)",
    "bool": "tensor(bool)",
}
# ONNX Runtime's own tags, and the path, which the error has anyway.
_NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed:")
_TRIED = 16
_REAL = ("tensor(float)", "tensor(double)")


class LoadedModel:
    """A model that answers.

    Safe to use from several threads at once.

    Attributes:
        signature: What it takes and gives.
        example: Rows that it was proven on, by column.
        platform: What it is.
        real: The datatype that its numbers are computed from.
        beside: Whether it is never asked on the server's event loop.
    """

    platform = "onnx_onnxruntime"
    real = "FP32"
    beside = False

    def __init__(
        self,
        session: ort.InferenceSession,
        signature: Signature,
        output: str,
        example: dict[str, list[Any]],
    ) -> None:
        self.signature = signature
        self.example = example
        self._session = session
        self._outputs = [output]
        self._columns = [(field.name, converter(field.kind)) for field in signature.inputs]

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> Self:
        """Loads the model in a folder and proves on its own example that it answers.

        Args:
            folder: Holds ``model.onnx``, ``signature.json`` and ``example.json``.
            threads: How many threads one prediction may use.

        Raises:
            ModelInvalid: If a file is missing or can't be read, the inputs contradict the
                signature, or the example fails, gives NaN or a probability outside [0, 1],
                or gives a row another answer alone than among others.
        """
        signature = _read(folder / SIGNATURE, Signature)
        example = _read(folder / EXAMPLE, dict[str, list[Any]])
        session = _session(folder / MODEL, threads)
        where = str(folder / MODEL)
        _check_inputs(session, signature, where)
        model = cls(session, signature, _pick_output(session, where), example)
        model._prove(str(folder / EXAMPLE))
        return model

    def predict(self, columns: Mapping[str, Values]) -> npt.NDArray[np.float64]:
        """The probability or value for each row.

        Args:
            columns: Every input by name: lists, or one-dimensional arrays (masked where missing).

        Raises:
            InvalidInput: If a column is missing, unknown, of another type or length; names it.
            ModelInvalid: If the model itself fails on these values.
        """
        feed = self._feed(columns)
        rows = len(next(iter(feed.values())))
        if rows == 0:
            return np.empty(0)
        try:
            out = self._session.run(self._outputs, feed)[0]
        except Exception as error:  # ONNX Runtime's errors share no public base
            raise ModelInvalid(f"the model failed on this input: {_first_line(error)}") from error
        return self._scores(out, rows)

    def _feed(self, columns: Mapping[str, Values]) -> dict[str, Tensor]:
        feed: dict[str, Tensor] = {}
        rows = -1
        name = ""
        try:
            with np.errstate(over="raise"):
                for name, convert in self._columns:
                    feed[name] = tensor = convert(name, columns[name])
                    if len(tensor) != rows:
                        if rows >= 0:
                            raise _unequal(name, len(tensor), rows)
                        rows = len(tensor)
        except KeyError:
            raise self._missing(name, columns) from None
        except (OverflowError, FloatingPointError):
            raise InvalidInput("a number is too large for the model", where=f"column {name!r}") from None
        if len(columns) != len(feed):
            raise self._unknown(columns)
        return feed

    def small_batches(self) -> SmallBatches | None:
        """A quicker way for rows whose values were checked; for one thread.

        None where it doesn't answer alike. Text can't be given to ONNX Runtime in this way.
        """
        if any(field.kind == "string" for field in self.signature.inputs):
            return None
        head = {name: list(values)[:_TRIED] for name, values in self.example.items()}
        wanted = self.predict(head)
        rows = list(zip(*(head[field.name] for field in self.signature.inputs), strict=True))
        width = self._session.run(self._outputs, self._feed(head))[0].shape[1:]
        try:
            small = SmallBatches(self._session, self.signature, self._outputs[0], *(width or (0,)))
            found = [small.predict(rows), [small.predict([row])[0] for row in rows]]
        except Exception:  # noqa: BLE001 - whatever it is, the usual way works
            return None
        alike = np.allclose(found[0], wanted, rtol=1e-5, atol=1e-6)
        return small if alike and np.allclose(found[1], wanted, rtol=1e-3, atol=1e-4) else None

    def _scores(self, out: npt.NDArray[np.floating[Any]], rows: int) -> npt.NDArray[np.float64]:
        if out.shape == (rows, 2) and self.signature.output == "probability":
            return out[:, 1].astype(np.float64)
        if out.size == rows and out.shape[:1] == (rows,):
            return out.reshape(rows).astype(np.float64)
        raise ModelInvalid(
            f"the model's output has shape {list(out.shape)} for {rows} rows",
            where=f"output {self._outputs[0]!r}",
            fix="give one value a row, or for a probability two columns of which the second is 'true'",
        )

    def _missing(self, name: str, columns: Mapping[str, Values]) -> InvalidInput:
        names = [known for known, _ in self._columns]
        extra = ", ".join(sorted(map(str, columns.keys() - set(names))))
        needs = f"the model takes {', '.join(names)}"
        return InvalidInput(
            "the model needs this column",
            where=f"column {name!r}",
            fix=f"{needs}; it does not know {extra}" if extra else needs,
        )

    def _unknown(self, columns: Mapping[str, Values]) -> InvalidInput:
        names = [name for name, _ in self._columns]
        name = min(map(str, columns.keys() - set(names)))
        return InvalidInput(
            "the model has no such column", where=f"column {name!r}", fix=did_you_mean(name, names)
        )

    def _prove(self, where: str) -> None:
        example = self.example
        try:
            scores = self.predict(example)
            alone = self.predict({name: values[:1] for name, values in example.items()})
        except TreadleError as error:
            raise ModelInvalid(
                f"the model fails on its own example: {error.where or ''} {error.message}".replace("  ", " "),
                where=where,
                fix="log it again with an example of the columns that it was trained on",
            ) from error
        if not scores.size:
            raise ModelInvalid("the example has no rows", where=where, fix="log the model with an example")
        bad = ~np.isfinite(scores)
        if self.signature.output == "probability":
            bad |= (scores < 0) | (scores > 1)
        if bad.any():
            row = int(bad.argmax())
            raise ModelInvalid(
                f"the model answers {scores[row]:g} to row {row} of its own example, which is no "
                f"{self.signature.output}",
                where=where,
            )
        if not np.isclose(alone[0], scores[0], rtol=1e-3, atol=1e-4):
            raise ModelInvalid(
                f"the model answers {scores[0]:g} to a row among others and {alone[0]:g} to it alone",
                where=where,
                fix="export the model so that each row is predicted by itself",
            )


def _unequal(name: str, found: int, before: int) -> InvalidInput:
    return InvalidInput(
        f"this column has {found} rows, the ones before it {before}",
        where=f"column {name!r}",
        fix="send one value a row in every column",
    )


def _first_line(error: Exception) -> str:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return _NOISE.sub("", said)[:300]


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ModelInvalid(
            f"a file of the model can't be read: {error.strerror}",
            where=str(path),
            fix="log the model with run.log_model, which writes all three files",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelInvalid(f"the file isn't what it should be: {error}", where=str(path)) from error


def _session(path: Path, threads: int) -> ort.InferenceSession:
    import onnxruntime as ort

    if not path.is_file():
        raise ModelInvalid(
            "the model's file is missing", where=str(path), fix="log the model with run.log_model"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Idle workers sleep: many small requests must not burn a core between them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base
        raise ModelInvalid(
            f"this is no ONNX model that can be loaded: {_first_line(error)}",
            where=str(path),
            fix="log the model again with run.log_model",
        ) from error


def _check_inputs(session: ort.InferenceSession, signature: Signature, where: str) -> None:
    fix = "log the model again with run.log_model, which writes a signature that fits"
    found = {node.name: node for node in session.get_inputs()}
    named = [field.name for field in signature.inputs]
    if not named or len(set(named)) != len(named):
        raise ModelInvalid("the signature must name each input once", where=where)
    if set(named) != found.keys():
        only = ", ".join(sorted(set(named) ^ found.keys()))
        raise ModelInvalid(f"the model's inputs and its signature differ in: {only}", where=where, fix=fix)
    for field in signature.inputs:
        node = found[field.name]
        if node.type != _TENSOR[field.kind]:
            raise ModelInvalid(
                f"input {field.name!r} is {node.type}; its signature says {field.kind}", where=where, fix=fix
            )
        # A symbolic dimension is None or a name; a number would fix how many rows a request has.
        if len(node.shape) != 2 or isinstance(node.shape[0], int) or node.shape[1] != 1:
            raise ModelInvalid(
                f"input {field.name!r} has shape {node.shape}; a column has shape [N, 1]", where=where
            )


def _pick_output(session: ort.InferenceSession, where: str) -> str:
    nodes = [node for node in session.get_outputs() if node.type in _REAL]
    named = [node for node in nodes if "prob" in node.name.lower()]
    if len(nodes) != 1 and len(named) != 1:
        raise ModelInvalid(
            f"the model has {len(nodes)} outputs of real numbers; which to take can't be told",
            where=where,
            fix="export it with one tensor of predictions (in skl2onnx, zipmap=False)",
        )
    return str((nodes if len(nodes) == 1 else named)[0].name)
