"""Values as sentences have them, and as ``treadle.toml`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime

from treadle.evaluate.data.suite import WHERE
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.columns import Column


def tell(values: Sequence[Scalar | None]) -> str:
    """Values as a sentence has them."""
    shown = [repr(value) if isinstance(value, str) else plain(value) for value in values]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def plain(value: Scalar | None) -> str:
    """A value as it stands, numbers to six digits."""
    if value is None:
        return "nothing"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def ordered(name: str, low: float, high: float, where: str) -> None:
    """Refuses a range that nothing can lie in.

    Raises:
        InvalidInput: If it is one.
    """
    if not low <= high:
        raise InvalidInput(f"the range of {name!r} is empty: [{low:g}, {high:g}]", where=where)


def numeric(column: Column, where: str) -> None:
    """Refuses a range of a column that has none.

    Raises:
        InvalidInput: If it holds no numbers.
    """
    if not column.is_number:
        raise InvalidInput(f"{column.name!r} is {column.type}, which has no range", where=where)


def typed(column: Column, value: Scalar) -> Scalar:
    """A value that ``treadle.toml`` allows, as one of the column's kind.

    Raises:
        InvalidInput: If it can't be one.
    """
    convert = _CONVERT.get(column.kind)
    if convert is None:
        raise InvalidInput(f"{column.name!r} is {column.type}, which has no values", where=f"{WHERE} values")
    try:
        return convert(value)
    except (ValueError, TypeError, KeyError):
        raise InvalidInput(
            f"{value!r} can't be a value of {column.name!r}, which is {column.type}",
            where=f"{WHERE} values",
            fix="write it as the column has it",
        ) from None


def _whole(value: Scalar) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
        raise ValueError
    return int(value)  # type: ignore[arg-type]


def _fraction(value: Scalar) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)  # type: ignore[arg-type]


def _truth(value: Scalar) -> bool:
    return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]


def _moment(value: Scalar) -> datetime:
    found = datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_CONVERT: Mapping[str, Callable[[Scalar], Scalar]] = {
    "integer": _whole,
    "number": _fraction,
    "boolean": _truth,
    "text": lambda value: str(value).lower() if isinstance(value, bool) else str(value),
    "date": lambda value: date.fromisoformat(str(value)),
    "timestamp": _moment,
}
