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
    """The points of curves within a range of steps, thinned to the same steps in each.

    Every curve is cut to at most ``most`` steps that lie evenly in the union of all their
    steps; each curve's own first and last step in the range are always among them.
    """
    cut = {run: curve.take(_within(curve, start, end)) for run, curve in curves.items()}
    steps = np.unique(np.concatenate([curve.steps for curve in cut.values()] or [np.empty(0, np.int64)]))
    if len(steps) > most:
        places = np.unique(np.linspace(0, len(steps) - 1, most).round().astype(np.int64))
        steps = steps[places]
    found = {}
    for run, curve in cut.items():
        if len(curve):
            ends = np.array([curve.steps.min(), curve.steps.max()])
            curve = curve.take(np.isin(curve.steps, np.concatenate([steps, ends])))  # noqa: PLW2901
            found[run] = curve.take(np.lexsort((curve.at, curve.steps)))
    return found


def _within(
    curve: Curve, start: int | None, end: int | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    inside = np.ones(len(curve), np.bool_)
    if start is not None:
        inside &= curve.steps >= start
    if end is not None:
        inside &= curve.steps <= end
    return inside
