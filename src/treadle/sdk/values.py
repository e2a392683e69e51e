"""What users pass in, as what the journal takes; a mistake is answered at once."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

from treadle.experiment import check_name
from treadle.experiment.types import Scalar
from treadle.kernel.errors import InvalidInput

_LARGEST = 2**63


def merged(call: str, values: object, named: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping and the keywords of a call, in one.

    Raises:
        InvalidInput: If ``values`` isn't a mapping.
    """
    if values is None:
        return dict(named)
    if not isinstance(values, Mapping):
        raise InvalidInput(
            f"{call} takes names and values, not {values!r:.60}",
            fix=f"write {call}(name=value) or {call}({{'name': value}})",
        )
    return {**values, **named}


def number(name: str, value: Any) -> float:
    """A metric's value as a float; NaN and infinities are values.

    Raises:
        InvalidInput: If it isn't a number.
    """
    if not isinstance(value, (str, bytes, bytearray)) and hasattr(type(value), "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            pass
    raise InvalidInput(f"metric {name!r} must be a number, not {value!r:.60}")


def whole_step(step: Any) -> int:
    """A step as an integer of 64 bits.

    Raises:
        InvalidInput: If it isn't one.
    """
    try:
        found = operator.index(step)
    except TypeError:
        found = _LARGEST
    if isinstance(step, bool) or not -_LARGEST <= found < _LARGEST:
        raise InvalidInput(f"`step` must be a whole number of 64 bits, not {step!r:.60}")
    return found


def scalars(params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Parameters as plain values; NaN and infinities become text, which JSON can carry.

    Raises:
        InvalidInput: If a name or a value can't be a parameter's.
    """
    return {check_name("parameter", name): _scalar(name, value) for name, value in params.items()}


def _scalar(name: str, value: Any) -> Scalar:
    if not isinstance(value, (bool, int, float, str)) and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -_LARGEST <= value < _LARGEST:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return text(value)
    raise InvalidInput(
        f"parameter {name!r} can't be {value!r:.60}",
        fix="use a number, a text or a truth value; write anything else as text, or leave it out",
    )


def texts(tags: Mapping[str, Any]) -> dict[str, str]:
    """Tags as text: whatever ``str`` makes of a value.

    Raises:
        InvalidInput: If a name can't be a tag's.
    """
    return {check_name("tag", name): text(str(value)) for name, value in tags.items()}


def text(value: str) -> str:
    """The text as one that can be written as UTF-8 (a file name's stray bytes can't)."""
    return value.encode("utf-8", "replace").decode()
