"""Curves as they are read: page by page, or thinned to so many points. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from treadle.experiment.series import Curve
from treadle.kernel.errors import InvalidInput

__all__ = ["Curve", "evenly", "page_of"]


def page_of(curve: Curve, token: str | None, most: int) -> tuple[Curve, str | None]:
    """A page of a curve that is in the order of its times, steps and values.

    The token is the last point of the page before, so that points logged meanwhile move nothing.

    Raises:
        InvalidInput: If the token is none of these.
    """
    start = _after(curve, token) if token else 0
    page = curve.take(slice(start, start + most))
    if start + most >= len(curve):
        return page, None
    return page, f"{page.at[-1]}:{page.steps[-1]}:{float(page.values[-1]).hex()}"


def _after(curve: Curve, token: str) -> int:
    try:
        at, step, value = token.split(":")
        key = int(at), int(step), float.fromhex(value)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{token!r:.80} is no page token", fix="use the one of the page before") from None
    low = int(np.searchsorted(curve.at, key[0], "left"))
    high = int(np.searchsorted(curve.at, key[0], "right"))
    steps = curve.steps[low:high]
    first, last = (
        low + int(np.searchsorted(steps, key[1], "left")),
        low + int(np.searchsorted(steps, key[1], "right")),
    )
    return first + int(np.searchsorted(curve.values[first:last], key[2], "right"))


def evenly(curves: Mapping[str, Curve], start: int | None, end: int | None, most: int) -> dict[str, Curve]:
    """The points of curves within a range of steps, each curve thinned to at most ``most`` points.

    A curve in the order of its steps is cut into ``most`` pieces of the same size, as near as can
    be, of which the first point of each stays, and the curve's last point.
    """
    found = {}
    for run, curve in curves.items():
        cut = curve.take(_within(curve, start, end))
        if len(cut):
            cut = cut.take(np.lexsort((cut.values, cut.at, cut.steps)))
            found[run] = cut.take(_firsts(len(cut), most))
    return found


def _firsts(count: int, most: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Where ``most`` pieces of so many points begin, the larger pieces first, and the last point."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    small, larger = divmod(count, most)
    pieces = np.arange(most, dtype=np.int64)
    starts = pieces * small + np.minimum(pieces, larger)
    starts[-1] = count - 1
    return starts


def _within(
    curve: Curve, start: int | None, end: int | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    inside = np.ones(len(curve), np.bool_)
    if start is not None:
        inside &= curve.steps >= start
    if end is not None:
        inside &= curve.steps <= end
    return inside
