"""Checks of data as the lines of ``treadle.toml`` that declare them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from treadle.kernel.config import DataCheck

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(checks: DataCheck) -> str:
    """``[checks.data]`` with every key that isn't as it is by itself."""
    plain, tables = ["[checks.data]"], []
    for name, value in msgspec.structs.asdict(checks).items():
        if value == getattr(DataCheck(), name):
            continue
        if isinstance(value, dict):
            lines = [f"{_key(key)} = {_value(one)}" for key, one in value.items()]
            tables.append("\n".join(["", f"[checks.data.{name}]", *lines]))
        else:
            plain.append(f"{name} = {_value(value)}")
    return "\n".join([*plain, *tables]) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
