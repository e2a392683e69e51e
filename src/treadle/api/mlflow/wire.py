"""What a request says, and what is wrong with it, in the words that MLflow's clients know. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from treadle.kernel.errors import InvalidInput

T = TypeVar("T")

_MISSING = re.compile(r"Object missing required field `(\w+)`")
_STEP = re.compile(r"\.?(\w+)|\[(\d+)\]")
_SHOWN = 200
# What a user wrote: a NUL in it is left out, because Postgres can't keep one. In a name it is refused.
_PROSE = frozenset(("value", "description", "schema", "profile", "source", "model_json"))


def convert(raw: Any, kind: type[T]) -> T:
    """A request's values as the kind; null stands for what isn't given, and NUL is kept nowhere.

    Raises:
        InvalidInput: If they aren't of the kind; names the parameter and its value.
    """
    given = _given(raw)
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        path = path.rstrip("`").removeprefix(".")
        missing = _MISSING.fullmatch(message)
        if missing:
            raise absent(f"{path}.{missing[1]}" if path else missing[1]) from None
        value = msgspec.json.encode(_at(given, path)).decode()
        shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
        where = f" for parameter '{path}'" if path else ""
        raise InvalidInput(f"Invalid value {shown}{where} supplied: {message}") from None


def required(value: str, name: str) -> str:
    """A text itself, if there is one.

    Raises:
        InvalidInput: If it is empty.
    """
    if not value:
        raise absent(name)
    return value


def absent(name: str) -> InvalidInput:
    """The error for a parameter that must be given."""
    return InvalidInput(f"Missing value for required parameter '{name}'.")


def _given(raw: Any, name: str = "") -> Any:
    if isinstance(raw, dict):
        return {key: _given(value, key) for key, value in raw.items() if value is not None}
    if isinstance(raw, list):
        return [_given(value, name) for value in raw]
    if isinstance(raw, str) and "\0" in raw:
        if name in _PROSE:
            return raw.replace("\0", "")
        shown = msgspec.json.encode(raw[:_SHOWN]).decode()
        raise InvalidInput(f"Invalid value {shown} for parameter '{name}' supplied: it has the character NUL")
    return raw


def _at(raw: Any, path: str) -> Any:
    """The value at a path such as ``metrics[0].key``; what is above it if it isn't there."""
    for name, number in _STEP.findall(path):
        try:
            raw = raw[int(number)] if number else raw[name]
        except (LookupError, TypeError):
            break
    return raw
