"""Places in JSON: where an answer stands, and what is filled in. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from treadle.kernel.errors import InvalidInput

_STEP = re.compile(r"""\.?([^.\[\]"']+)|\[(\d+)\]|\[(?:"([^"]*)"|'([^']*)')\]""")
_SLOT = re.compile(r"\{(input|id|seed|answer|expected)((?:\.[^{}\s.]+)*)\}")


def steps(path: str) -> list[str | int]:
    """The keys and places that a path leads through, such as ``$.choices[0].message.content``.

    Raises:
        InvalidInput: If it isn't one.
    """
    rest, found = path.removeprefix("$"), list[str | int]()
    place = 0
    while place < len(rest):
        match = _STEP.match(rest, place)
        if match is None:
            raise InvalidInput(f"{path!r} is no path into JSON", fix="write it as choices.0.message.content")
        name = next((part for part in (match[1], match[3], match[4]) if part is not None), None)
        found.append(int(match[2]) if name is None else name)
        place = match.end()
    return found


def at_path(value: Any, path: str) -> Any:
    """What stands at a path.

    Raises:
        InvalidInput: If nothing does; says how far it led.
    """
    for step in steps(path):
        inside = value
        if isinstance(inside, dict) and str(step) in inside:
            value = inside[str(step)]
        elif isinstance(inside, list) and str(step).isdigit() and int(step) < len(inside):
            value = inside[int(step)]
        else:
            raise InvalidInput(f"there is no {step!r} on the way to {path}; there {_there(inside)}")
    return value


def _there(value: Any) -> str:
    if isinstance(value, dict):
        return f"are the keys {', '.join(list(value)[:10])}" if value else "is an empty object"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    return f"is {msgspec.json.encode(value).decode()[:60]}"


def as_text(value: Any) -> str:
    """A value in a text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A template with its slots filled in: ``{input}``, ``{input.KEY}``, ``{id}``, ``{seed}``.

    A text that is nothing but a slot becomes the value itself; within a longer text it becomes text. What
    was filled in is not looked at again.

    Raises:
        InvalidInput: If a slot leads to nothing.
    """
    if isinstance(template, dict):
        return {key: fill(inner, values) for key, inner in template.items()}
    if isinstance(template, list):
        return [fill(inner, values) for inner in template]
    if not isinstance(template, str):
        return template
    if (whole := _SLOT.fullmatch(template)) and whole[1] in values:
        return _slot(whole, values)
    return _SLOT.sub(lambda m: as_text(_slot(m, values)) if m[1] in values else m[0], template)


def _slot(match: re.Match[str], values: Mapping[str, Any]) -> Any:
    value = values[match[1]]
    return at_path(value, match[2].removeprefix(".")) if match[2] else value
