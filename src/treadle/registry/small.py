"""Batches through buffers that are kept: for some rows, making tensors costs more than the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from treadle.kernel.errors import ModelInvalid
from treadle.registry.types import FieldKind, Signature

if TYPE_CHECKING:
    import onnxruntime as ort

_DTYPE: dict[FieldKind, Any] = {"float": np.float32, "int": np.int64, "bool": np.bool_}
# The values that room is kept for: of the sizes of batches, those that were seen first go first.
_ROOM = 1 << 18
_REAL = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class SmallBatches:
    """Predicts rows whose values were checked. For one thread.

    ONNX Runtime is given the same memory again for every batch of one size, so that it
    makes no tensor of its own; see its documentation of I/O binding.

    Args:
        session: The model.
        signature: What it takes: numbers and booleans; text can't be given in this way.
        output: The output's name.
        width: Columns of the output; 0 if it has one dimension.
    """

    def __init__(self, session: ort.InferenceSession, signature: Signature, output: str, width: int) -> None:
        self._session = session
        self._fields = signature.inputs
        self._output = output
        self._width = width
        self._dtype = next(_REAL[node.type] for node in session.get_outputs() if node.name == output)
        kinds = sorted({field.kind for field in self._fields})
        self._places = {
            kind: [at for at, field in enumerate(self._fields) if field.kind == kind] for kind in kinds
        }
        self._bound: dict[int, tuple[Any, dict[FieldKind, Any], Any]] = {}
        self._held = 0

    def takes(self, rows: int) -> bool:
        """Whether there is room for so many rows."""
        return rows * len(self._fields) <= _ROOM // 2

    def predict(self, rows: Sequence[Sequence[Any]]) -> list[float]:
        """The probability or value for each row.

        Args:
            rows: Values in the order of the signature, of exactly its types; None for a missing number.

        Raises:
            ModelInvalid: If the model fails on these values.
        """
        values: list[float] = self._run(rows).tolist()
        return values

    def predict_table(self, table: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The probability or value for each row of an array of rows and columns, of a model of numbers alone.

        Raises:
            ModelInvalid: If the model fails on these values.
        """
        return self._run(table).astype(np.float64)

    def _run(self, rows: Any) -> npt.NDArray[Any]:
        """What is predicted, in memory that the next batch overwrites."""
        count = len(rows)
        bound = self._bound.get(count) or self._bind(count)
        binding, buffers, found = bound
        if len(buffers) == 1:
            for buffer in buffers.values():
                buffer.T[...] = rows
        else:
            columns = list(zip(*rows, strict=True))
            for kind, buffer in buffers.items():
                buffer[...] = [columns[at] for at in self._places[kind]]
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's errors share no public base
            raise ModelInvalid(f"the model failed on this input: {str(error)[:300]}") from error
        output: npt.NDArray[Any] = found
        return output

    def _bind(self, count: int) -> tuple[Any, dict[FieldKind, Any], Any]:
        self._held += count * len(self._fields)
        while self._held > _ROOM and self._bound:
            oldest = next(iter(self._bound))
            del self._bound[oldest]
            self._held -= oldest * len(self._fields)
        binding = self._session.io_binding()
        buffers: dict[FieldKind, Any] = {}
        for kind, places in self._places.items():
            buffer = buffers[kind] = np.zeros((len(places), count), _DTYPE[kind])
            for row, at in enumerate(places):
                binding.bind_input(
                    self._fields[at].name, "cpu", 0, _DTYPE[kind], (count, 1), buffer[row].ctypes.data
                )
        shape = (count, self._width) if self._width else (count,)
        out = np.zeros(shape, self._dtype)
        binding.bind_output(self._output, "cpu", 0, self._dtype, shape, out.ctypes.data)
        self._bound[count] = binding, buffers, out if out.ndim == 1 else out[:, -1]
        return self._bound[count]
