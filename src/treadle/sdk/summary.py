"""A run in a few lines, for a terminal and for a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_BARS = "▁▂▃▄▅▆▇█"
_KEPT = 256
_SHOWN = 12


class Curve:
    """A metric's values, thinned out evenly so that their number stays small.

    Attributes:
        last: The last value.
        values: Every so-manieth value, from the first.
    """

    __slots__ = ("_seen", "_stride", "last", "values")

    def __init__(self) -> None:
        self.values: list[float] = []
        self.last = math.nan
        self._seen = 0
        self._stride = 1

    @property
    def count(self) -> int:
        """How many values there were."""
        return self._seen

    def add(self, value: float) -> None:
        """Adds a value."""
        self.last = value
        if self._seen % self._stride == 0:
            self.values.append(value)
            if len(self.values) == _KEPT:
                del self.values[1::2]
                self._stride *= 2
        self._seen += 1


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """A curve in one line: each character the last of an equal share of the values."""
    if len(values) > width:
        values = [values[(n + 1) * len(values) // width - 1] for n in range(width)]
    finite = [value for value in values if math.isfinite(value)]
    if len(values) < 2 or not finite:
        return ""
    low, high = min(finite) / 2, max(finite) / 2  # Halved, so that no difference overflows.
    top = len(_BARS) - 1
    span = (high - low) or 1.0
    return "".join(_BARS[round((v / 2 - low) / span * top)] if math.isfinite(v) else "·" for v in values)


def lines(curves: Mapping[str, Curve]) -> list[str]:
    """Each metric's last value and its curve."""
    shown = list(curves.items())[:_SHOWN]
    width = max((len(name) for name, _ in shown), default=0)
    out = [f"  {n:<{width}}  {c.last:<10.5g} {sparkline(c.values)}".rstrip() for n, c in shown]
    if len(curves) > len(shown):
        out.append(f"  and {len(curves) - len(shown)} more")
    return out


def html(title: str, status: str, params: Mapping[str, object], curves: Mapping[str, Curve]) -> str:
    """A small table for a notebook."""
    from html import escape

    rows = [("", title, status)]
    rows += [("param", name, str(value)) for name, value in params.items()]
    rows += [("metric", name, f"{c.last:.5g} {sparkline(c.values)}") for name, c in curves.items()]
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{cells}</table>"
