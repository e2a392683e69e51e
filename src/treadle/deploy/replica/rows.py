"""What a request must be for a model to answer it: from its tensors to checked columns.

Pure: values in, rows or an error out. Data are lists from JSON, or arrays that came in binary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from treadle.deploy.replica.protocol import InferenceRequest, Inputs, Role, Tensor
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean

_INTEGERS = {
    f"{sign}INT{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
_FLOATS = {
    "FP16": 65504.0,
    "BF16": 3.3895313892515355e38,
    "FP32": 3.4028234663852886e38,
    "FP64": 1.7976931348623157e308,
}
_DATATYPES = frozenset({"BOOL", "BYTES", *_INTEGERS, *_FLOATS})
_ACCEPTED: dict[Role, frozenset[str]] = {
    "float": frozenset({*_FLOATS, *_INTEGERS}),
    "int": frozenset(_INTEGERS),
    "bool": frozenset({"BOOL"}),
    "string": frozenset({"BYTES"}),
    "key": frozenset({"BYTES", *_INTEGERS}),
    "time": frozenset({"BYTES", "FP64", "INT64"}),
}
_WANTED: dict[Role, str] = {
    "float": "FP64, FP32, FP16 or an integer type",
    "int": "INT64 or another integer type",
    "bool": "BOOL",
    "string": "BYTES",
    "key": "BYTES or an integer type",
    "time": "FP64 or INT64 (seconds since 1970) or BYTES (ISO 8601)",
}
FLOAT32_MAX = _FLOATS["FP32"]
# The years 1 to 9999: what a timestamp can say.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799


class Rows(msgspec.Struct, gc=False):
    """The rows of a request, by column.

    Attributes:
        count: How many.
        columns: Each feature's values, a list or an array; empty when there is ``row`` or ``table``.
        row: The values of one row, in the order of the model's features.
        table: The values of all rows, an array of rows and features, of numbers alone.
        keys: The caller's name for each row, if given.
        times: When each row happened, in seconds since 1970, if given.
    """

    count: int
    columns: dict[str, Any]
    row: list[Any] | None = None
    table: Any = None
    keys: list[str] | None = None
    times: list[float] | None = None

    def by_column(self, features: Sequence[str]) -> dict[str, Any]:
        """Each feature's values: a list, a tuple or an array."""
        if self.table is not None:
            return dict(zip(features, self.table.T, strict=True))
        if self.row is not None:
            return {name: [value] for name, value in zip(features, self.row, strict=True)}
        return self.columns

    def single(self, features: Sequence[str]) -> Rows:
        """The same; a row that is alone in ``row``, which is the quicker way."""
        if (
            self.count == 1
            and self.table is None
            and all(type(found) is list for found in self.columns.values())
        ):
            self.row = [self.columns[name][0] for name in features]
            self.columns = {}
        return self


def read_rows(request: InferenceRequest, known: Inputs, max_rows: int) -> Rows:
    """Checks a request against what the model takes.

    Args:
        request: The request.
        known: What it may bring, from :func:`inputs_of`.
        max_rows: The largest number of rows allowed.

    Raises:
        InvalidInput: If an input is missing, unknown, there twice, of the wrong datatype, or its
            data don't fit its shape or datatype. The sentence names it and what was expected.
    """
    rows = Rows(-1, {})
    for tensor in request.inputs:
        if (table := _table(tensor, known, rows, max_rows)) is not None:
            rows.count, rows.table = len(table), table
            continue
        for name, role, values in _split(tensor, known):
            add_column(rows, known, name, role, tensor.datatype, values, max_rows)
    return complete(rows, known)


def add_column(
    rows: Rows, known: Inputs, name: str, role: Role, datatype: str, values: Any, max_rows: int
) -> None:
    """Checks a column and adds it.

    Args:
        rows: What is there already.
        known: What a request may bring.
        name: The column.
        role: What it is for.
        datatype: Of its values, by the protocol.
        values: A list or a one-dimensional array.
        max_rows: The largest number of rows allowed.

    Raises:
        InvalidInput: If it doesn't fit; names it and what was expected.
    """
    if rows.count < 0:
        rows.count = _check_count(len(values), max_rows)
    elif len(values) != rows.count:
        raise InvalidInput(
            f"input {name!r} has {len(values)} rows, those before it {rows.count}; "
            "every input must have the same number"
        )
    if not known.nullable and role not in ("key", "time"):
        _check_present(name, values)
    _check_datatype(name, datatype, role)
    if isinstance(values, np.ndarray):
        values = _check_array(name, role, values)
    else:
        _check_values(name, datatype, values)
    if role == "key":
        _once(name, rows.keys)
        rows.keys = _keys(name, values)
    elif role == "time":
        _once(name, rows.times)
        rows.times = _times(name, values)
    else:
        _once(name, rows.columns.get(name) if rows.table is None else rows.table)
        rows.columns[name] = values if isinstance(values, np.ndarray) else _feature(name, role, values)


def complete(rows: Rows, known: Inputs) -> Rows:
    """The rows, once every feature is there.

    Raises:
        InvalidInput: If one is missing.
    """
    if rows.table is None and len(rows.columns) != len(known.features):
        raise _missing(rows.columns, known)
    return rows


def _table(tensor: Tensor, known: Inputs, rows: Rows, max_rows: int) -> Any:
    """A tensor that has all features, of numbers that came in binary, checked at once.

    None if it is no such, or if anything is wrong with it: that is found column by column.
    """
    data, width = tensor.data, len(known.features)
    if not isinstance(data, np.ndarray) or data.dtype.kind != "f" or width < 2:
        return None
    if tensor.name in known.roles or tensor.shape[1:] != [width] or len(data) != tensor.shape[0] * width:
        return None
    fits = 0 < tensor.shape[0] <= max_rows and rows.count in (-1, tensor.shape[0])
    if not fits or rows.columns or rows.table is not None:
        return None
    if any(known.roles[name] != "float" for name in known.features) or not _are_numbers(data, known.nullable):
        return None
    return data.reshape(-1, width)


def _are_numbers(data: Any, nullable: bool) -> bool:
    """Whether a model can be given all of them, as 32 bits; NaN only if a number may be missing."""
    # Most have neither infinities nor missing numbers, which one pass tells.
    if data.dtype.itemsize < 8 and np.isfinite(data).all():
        return True
    beyond = np.abs(data) > FLOAT32_MAX if data.dtype.itemsize == 8 else np.isinf(data)
    return (nullable or not np.isnan(data).any()) and not beyond.any()


def _split(tensor: Tensor, known: Inputs) -> list[tuple[str, Role, Any]]:
    """The columns of a tensor: one, or all features of a model that takes one type only."""
    role = known.roles.get(tensor.name)
    if role is not None:
        return [(tensor.name, role, _flat(tensor))]
    width = len(known.features)
    if width < 2 or len(tensor.shape) != 2 or tensor.shape[1] != width:
        raise _unknown(tensor.name, known.roles)
    roles: set[Role] = {known.roles[name] for name in known.features}
    if len(roles) > 1:
        raise InvalidInput(
            f"input {tensor.name!r} is one tensor for columns of several types "
            f"({', '.join(sorted(roles))}); send each column as an input of its own"
        )
    count, data = tensor.shape[0], _data(tensor)
    if isinstance(data, list) and data and type(data[0]) is list:
        if not all(type(row) is list and len(row) == width for row in data):
            raise InvalidInput(f"input {tensor.name!r}: nested data must have {width} values in each row")
        data = [value for row in data for value in row]
    if len(data) != count * width:
        raise InvalidInput(
            f"input {tensor.name!r} has shape {tensor.shape} and {len(data)} values; expected {count * width}"
        )
    (role,) = roles
    return [(name, role, data[column::width]) for column, name in enumerate(known.features)]


def _data(tensor: Tensor) -> Any:
    if tensor.parameters is not None and tensor.parameters.shared_memory_region:
        raise InvalidInput(f"input {tensor.name!r} is in shared memory, which is not offered; send its data")
    if not isinstance(tensor.data, list | np.ndarray):
        raise InvalidInput(f"input {tensor.name!r} has no data; send a list of values")
    return tensor.data


def _check_present(name: str, values: Any) -> None:
    if isinstance(values, np.ndarray):
        gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, bool)
        row = int(gone.argmax()) if gone.any() else -1
    else:
        row = values.index(None) if None in values else -1
    if row >= 0:
        raise InvalidInput(f"input {name!r}, row {row} is missing, which is refused here")


def _check_array(name: str, role: Role, values: Any) -> Any:
    """An array of the datatype that it came in, if the model can be given it."""
    if role in ("key", "time"):
        return values.tolist()
    limit, fits = ("INT64", None) if role == "int" else ("FP32", None)
    if role == "float" and values.dtype.kind == "f":
        fits = ~(np.abs(values) > FLOAT32_MAX) if values.dtype.itemsize == 8 else ~np.isinf(values)
    elif values.dtype == np.uint64 and role == "int":
        fits = values <= np.uint64(_INTEGERS["INT64"][1])
    if fits is not None and not fits.all():
        row = int((~fits).argmax())
        raise InvalidInput(
            f"input {name!r}, row {row}: {values[row]} is beyond what {limit} can hold; "
            "only NaN stands for a missing number"
        )
    return values


def _missing(columns: Mapping[str, object], known: Inputs) -> InvalidInput:
    missing = [name for name in known.features if name not in columns]
    inputs, are = ("input", "is") if len(missing) == 1 else ("inputs", "are")
    return InvalidInput(
        f"{inputs} {', '.join(map(repr, missing))} {are} missing; the model takes {_list(known.features)}"
    )


def _list(names: Iterable[str]) -> str:
    named = list(names)
    return ", ".join(named[:40]) + (f" and {len(named) - 40} more" if len(named) > 40 else "")


def _unknown(name: str, known: Mapping[str, Role]) -> InvalidInput:
    return InvalidInput(f"the model takes no input {name!r}; {did_you_mean(name, known)}")


def _once(name: str, before: object) -> None:
    if before is not None:
        raise InvalidInput(f"input {name!r} is there twice")


def _check_count(count: int, max_rows: int) -> int:
    if count == 0:
        raise InvalidInput("the request has no rows")
    if count > max_rows:
        raise InvalidInput(f"the request has {count} rows; at most {max_rows} are allowed, send several")
    return count


def _flat(tensor: Tensor) -> Any:
    """The data of a tensor of shape [N] or [N, 1], flat."""
    shape, data = tensor.shape, _data(tensor)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 0:
        raise InvalidInput(f"input {tensor.name!r} has shape {shape}; expected [N] or [N, 1]")
    if isinstance(data, list) and data and type(data[0]) is list:
        if not all(type(row) is list and len(row) == 1 for row in data):
            raise InvalidInput(f"input {tensor.name!r}: nested data must have one value in each row")
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise InvalidInput(
            f"input {tensor.name!r} has shape {shape} and {len(data)} values; expected {shape[0]}"
        )
    return data


def _check_datatype(name: str, datatype: str, role: Role) -> None:
    if datatype in _ACCEPTED[role]:
        return
    if datatype not in _DATATYPES:
        raise InvalidInput(f"input {name!r} has the unknown datatype {datatype!r}; expected {_WANTED[role]}")
    raise InvalidInput(f"input {name!r} has datatype {datatype}; expected {_WANTED[role]}")


def _check_values(name: str, datatype: str, values: list[Any]) -> None:
    """Refuses values that are not what the datatype says. ``null`` may stand in FP and BYTES data."""
    kinds = set(map(type, values))
    if datatype in _FLOATS:
        limit = _FLOATS[datatype]
        size = "" if datatype == "FP64" else f" of at most {limit:.5g}"
        wanted, allowed = f"a number{size} or null", {float, int, type(None)}
        fits = kinds <= allowed and _within(values, -limit, limit, type(None) in kinds)
    elif datatype in _INTEGERS:
        low, high = _INTEGERS[datatype]
        wanted, allowed = f"a whole number from {low} to {high}", {int}
        fits = kinds <= allowed and _within(values, low, high, nullable=False)
    elif datatype == "BOOL":
        wanted, allowed = "true or false", {bool}
        fits = kinds <= allowed
    else:
        wanted, allowed = "text or null", {str, type(None)}
        fits = kinds <= allowed
        if not fits and kinds <= {str, int, type(None)}:
            wanted = "text (in quotes) or null"
    if fits:
        return
    for row, value in enumerate(values):
        if type(value) not in allowed or not _fits(value, datatype):
            plain = not isinstance(value, float) or math.isfinite(value)  # JSON has no word for infinity
            shown = msgspec.json.encode(value)[:40].decode(errors="replace") if plain else str(value)
            raise InvalidInput(f"input {name!r}, row {row}: {shown} is not {wanted}, as {datatype} says")


def _within(values: list[Any], low: float, high: float, nullable: bool) -> bool:
    if nullable:
        values = [value for value in values if value is not None]
    return not values or (low <= min(values) and max(values) <= high)


def _fits(value: Any, datatype: str) -> bool:
    if value is None or isinstance(value, str | bool):
        return True
    limit = _FLOATS.get(datatype)
    low, high = (-limit, limit) if limit else _INTEGERS[datatype]
    return bool(low <= value <= high)


def _feature(name: str, role: Role, values: list[Any]) -> list[Any]:
    """What the tensor can hold that the model is given: float32, or int64."""
    if role == "float" and not _within(values, -FLOAT32_MAX, FLOAT32_MAX, None in values):
        raise InvalidInput(f"input {name!r} has a number beyond what FP32 can hold, {FLOAT32_MAX:.3g}")
    low, high = _INTEGERS["INT64"]
    if role == "int" and not _within(values, low, high, nullable=False):
        raise InvalidInput(f"input {name!r} has a number beyond what INT64 can hold")
    return values


def _keys(name: str, values: list[Any]) -> list[str]:
    if None in values or "" in values:
        raise InvalidInput(f"input {name!r} names each row; row {_first_empty(values)} has no name")
    return [value if type(value) is str else str(value) for value in values]


def _first_empty(values: list[Any]) -> int:
    return next(row for row, value in enumerate(values) if value is None or value == "")


def _times(name: str, values: list[Any]) -> list[float]:
    return [_time(name, row, value) for row, value in enumerate(values)]


def _time(name: str, row: int, value: Any) -> float:
    """Seconds since 1970; text without a time zone is taken as UTC."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInput(f"input {name!r}, row {row}: {value[:40]!r} is not an ISO 8601 time") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if value is None or not EARLIEST <= value <= LATEST or not math.isfinite(value):
        raise InvalidInput(
            f"input {name!r}, row {row}: {value} is not a time in seconds since 1970 (milliseconds, perhaps?)"
        )
    return float(value)
