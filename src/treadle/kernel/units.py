"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from treadle.kernel.errors import InvalidInput

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")

_BYTES = {
    unit: 1000**power if unit.endswith("B") and "i" not in unit else 1024**power
    for power, units in enumerate((("", "B"), ("KB", "KiB"), ("MB", "MiB"), ("GB", "GiB"), ("TB", "TiB")))
    for unit in units
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?(B|[KMGT]i?B)?")


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


def parse_size(text: str) -> int:
    """Reads a size such as ``512MB``, ``2GiB`` or ``1048576``; in bytes.

    Raises:
        InvalidInput: If the text isn't a size over zero.
    """
    found = _SIZE.fullmatch(text)
    size = int(float(found[1]) * _BYTES[found[2] or ""]) if found else 0
    if size <= 0:
        raise InvalidInput(f"{text!r} is not a size", fix="write a number and a unit, such as 512MB or 2GiB")
    return size


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
