"""Ranges of bytes that HTTP requests ask for. No I/O."""

from __future__ import annotations

from treadle.kernel.errors import InvalidInput


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last that a ``Range`` header asks for (RFC 9110, 14.1.2).

    Args:
        header: The header's value.
        size: How many bytes there are.

    Returns:
        None where all is to be sent: no header, several ranges, or something else than bytes.

    Raises:
        InvalidInput: If nothing lies in the range.
    """
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    numbers = all(not one or (one.isascii() and one.isdigit() and len(one) < 19) for one in (first, last))
    if unit.strip() != "bytes" or not dash or not numbers or not (first or last):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if first and last and int(last) < start:
        return None
    if start >= size or start >= end:
        raise InvalidInput(f"the range {spec.strip()} isn't within the {size} bytes that there are")
    return start, end
