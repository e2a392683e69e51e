"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from treadle.kernel.errors import InvalidInput

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Reads a duration such as ``90d``, ``15m`` or ``1h30m``.

    Raises:
        InvalidInput: If the text isn't a duration over zero.
    """
    total, end = 0.0, 0
    for part in _DURATION.finditer(text):
        if part.start() != end:
            break
        total += float(part[1]) * _SECONDS[part[2]]
        end = part.end()
    if end != len(text) or total <= 0:
        raise InvalidInput(
            f"{text!r} is not a duration",
            fix="write a number and a unit (s, m, h, d, w), such as 90d or 1h30m",
        )
    try:
        return timedelta(seconds=total)
    except OverflowError:
        raise InvalidInput(f"{text!r} is not a duration", fix="the longest is 142857142w") from None


def format_duration(seconds: float) -> str:
    """A duration for people: ``0.4s``, ``12s``, ``3m 20s``, ``5h 12m``, ``2d 3h``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for big, small, size, step in (("d", "h", 86_400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // step
            return f"{whole // size}{big} {rest}{small}" if rest else f"{whole // size}{big}"
    return f"{whole}s"


def format_bytes(size: float) -> str:
    """A size for people, in binary units: ``812 B``, ``4.0 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
