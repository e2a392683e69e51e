"""Pictures as SVG text, shared by every page: scales, axes and lines. Small, static, without a library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TypeAlias

PALETTE = (
    "#3465a4",
    "#c88719",
    "#4e9a06",
    "#75507b",
    "#0f8b8d",
    "#c2528b",
    "#56657f",
    "#8a8d1f",
)  # no red: it alerts
"""Colours that tell things apart on a light page and on a dark one."""

_MOST = 1e308
"""No picture reaches further: floats end a little later."""

Scale: TypeAlias = Callable[[float], float]


def colour(place: int) -> str:
    """The colour of the n-th thing, counted from 0; they come round again."""
    return PALETTE[place % len(PALETTE)]


def svg(width: float, height: float, *parts: Iterable[str]) -> str:
    """A picture; what is given first lies on top."""
    inside = "".join(mark for part in reversed(parts) for mark in part)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img">{inside}</svg>'


def nothing(sentence: str) -> str:
    """What stands in a picture's place where there is nothing to draw."""
    return f'<p class="none">{escape(sentence)}</p>'


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within a range, about so many; none if the range is empty."""
    raw = high / about - low / about
    if not 0 < raw < math.inf:
        return []
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next((unit * k for k in (1, 2, 5, 10) if unit * k >= raw), unit * 10)
    if not 0 < step < math.inf:
        return []
    first = math.ceil(low / step - 1e-9)
    most = min(high + step * 1e-9, _MOST)
    return [place * step for place in range(first, first + 3 * about) if place * step <= most]


def between(low: float, high: float, start: float, end: float) -> Scale:
    """A straight scale: ``low`` is drawn at ``start``, ``high`` at ``end``."""
    # In halves, so that no difference overflows.
    half = high / 2 - low / 2

    def place(value: float) -> float:
        return start + (value / 2 - low / 2) / half * (end - start) if half else (start + end) / 2

    return place


def vertical(values: Sequence[float], top: float, bottom: float) -> tuple[Scale, list[float]]:
    """A scale upwards for values, with a little room at both ends, and its round numbers."""
    low, high = min(values), max(values)
    pad = min((high / 2 - low / 2) * 0.12 or abs(high) * 0.1 or 1, _MOST)
    low, high = max(low - pad, -_MOST), min(high + pad, _MOST)
    return between(low, high, bottom, top), ticks(low, high)


def gridlines(at: Sequence[float], y: Scale, left: float, right: float) -> Iterable[str]:
    """Level lines with their numbers to the left."""
    for tick in at:
        yield (
            f'<line x1="{left:g}" x2="{right:g}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>'
            f'<text x="{left - 8:g}" y="{y(tick) + 4:.1f}" class="tick end">{tick:.4g}</text>'
        )


def polyline(points: Sequence[tuple[float, float]], ink: str, extra: str = "") -> str:
    """A line through points."""
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return f'<polyline points="{line}" fill="none" stroke="{ink}" stroke-width="1.6"{extra}/>'


def styles() -> str:
    """The styles that every page begins with, for a ``<style>`` of its own: a page is one file."""
    from importlib import resources

    return resources.files("treadle.kernel").joinpath("page.css").read_text("utf-8")
