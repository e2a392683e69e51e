"""Columns of a request or a table, checked and turned into the tensors that a model takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from treadle.kernel.errors import InvalidInput
from treadle.registry.types import FieldKind

Tensor: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = Sequence[Any] | Tensor

_TAKES = {"float": "a number", "int": "a whole number", "string": "text", "bool": "true or false"}
_ALLOWED: dict[FieldKind, frozenset[type]] = {
    "float": frozenset({float, int, NoneType, bool}),
    "int": frozenset({int}),
    "string": frozenset({str, NoneType}),
    "bool": frozenset({bool}),
}
_DTYPE: dict[FieldKind, Any] = {"float": np.float32, "int": np.int64, "string": object, "bool": np.bool_}
_ARRAY_KINDS: dict[FieldKind, str] = {"float": "fiub", "int": "iu", "string": "UT", "bool": "b"}
_FILL: dict[FieldKind, Any] = {"float": np.nan, "string": ""}


def converter(kind: FieldKind) -> Callable[[str, Values], Tensor]:
    """A function that turns a column of this kind into a tensor of shape [N, 1].

    It takes the column's name, for errors, and its values. A missing number becomes NaN
    and a missing text the empty one; whole numbers and booleans can't be missing. Nothing
    is guessed: text that looks like a number is text. A number beyond the tensor's range
    raises OverflowError or, under ``np.errstate(over="raise")``, FloatingPointError.
    """
    allowed, dtype = _ALLOWED[kind], _DTYPE[kind]
    text = kind == "string"

    def convert(name: str, values: Values) -> Tensor:
        if type(values) is not list:
            values = _plain(name, kind, values)
            if isinstance(values, np.ndarray):
                return values
        # One pass over the types at C speed; only a column that fails is looked at row by row.
        kinds = set(map(type, values))
        if not kinds <= allowed:
            values = _row_by_row(name, kind, values)
            kinds = set(map(type, values))
        if text:
            if NoneType in kinds:
                values = ["" if value is None else value for value in values]
            _check_unicode(name, values)
        return np.array(values, dtype).reshape(-1, 1)

    return convert


def _check_unicode(name: str, values: Sequence[str]) -> None:
    """Refuses half of a surrogate pair, which no tensor can hold."""
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        raise InvalidInput("a text is not valid Unicode", where=f"column {name!r}") from None


def _plain(name: str, kind: FieldKind, values: Values) -> list[Any] | Tensor:
    """A list of Python's own values, or the finished tensor when the array's type says enough."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise InvalidInput(
                f"a column has one dimension, this has {values.ndim}", where=f"column {name!r}"
            )
        if values.dtype.kind == "O":
            filled = np.ma.filled(values, None) if isinstance(values, np.ma.MaskedArray) else values
            return list(filled)
        return _from_array(name, kind, values)
    if isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray):
        return list(values)
    raise InvalidInput(
        f"a list of values is needed, this is {type(values).__name__}",
        where=f"column {name!r}",
        fix="send each column as a list with one value a row",
    )


def _from_array(name: str, kind: FieldKind, values: Tensor) -> Tensor:
    if values.dtype.kind not in _ARRAY_KINDS[kind]:
        raise InvalidInput(
            f"the model takes {_TAKES[kind]}, this is {values.dtype}", where=f"column {name!r}"
        )
    if isinstance(values, np.ma.MaskedArray):
        if kind not in _FILL and np.ma.getmaskarray(values).any():
            row = int(np.ma.getmaskarray(values).argmax())
            raise InvalidInput(
                f"row {row} is missing; the model takes {_TAKES[kind]}", where=f"column {name!r}"
            )
        values = np.ma.filled(values.astype(_DTYPE[kind]), _FILL.get(kind, 0))
    if kind == "int" and values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
        raise OverflowError(name)
    if kind == "string":
        return np.array(values.tolist(), object).reshape(-1, 1)
    return np.ascontiguousarray(values, _DTYPE[kind]).reshape(-1, 1)


def _row_by_row(name: str, kind: FieldKind, values: Sequence[Any]) -> list[Any]:
    """The column with NumPy's scalars made Python's own.

    Raises:
        InvalidInput: Naming the first row that doesn't fit.
    """
    allowed = _ALLOWED[kind]
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    for row, value in enumerate(plain):
        if type(value) not in allowed and not (kind == "string" and isinstance(value, str)):
            found = "missing" if value is None else f"{value!r:.40} ({type(value).__name__})"
            raise InvalidInput(
                f"row {row} is {found}; the model takes {_TAKES[kind]}", where=f"column {name!r}"
            )
    return [str(value) for value in plain] if kind == "string" and None not in plain else plain
