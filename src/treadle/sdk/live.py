"""Curves of a run while it goes on: in a notebook's cell, or as a line in a terminal."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from treadle.kernel import drawing
from treadle.sdk import summary
from treadle.sdk.origin import in_notebook

EVERY = 1.0
"""Seconds between two looks at least."""

_WIDE, _TALL, _MOST = 300, 130, 12


class Live:
    """Shows a run's curves until it ends; what goes wrong in showing never disturbs the run.

    A thread of its own looks once a second and draws only what is new, so that logging costs nothing more.

    Args:
        title: What is written above the curves.
        status: Tells how the run stands: ``running``, or how it ended.
        curves: The run's metrics, as they grow.
        every: Seconds between two looks.
    """

    def __init__(
        self,
        title: str,
        status: Callable[[], str],
        curves: Mapping[str, summary.Curve],
        every: float = EVERY,
    ) -> None:
        self._title, self._status, self._curves, self._every = title, status, curves, every
        self._seen = -1
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._show = _cell() if in_notebook() else _line
        self._draw()
        self._thread = threading.Thread(target=self._watch, name="treadle-live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Draws a last time, and looks no more."""
        if not self._over.is_set():
            self._over.set()
            self._seen = -1
            self._draw()

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self._draw()
            if self._status() != "running":
                self.close()

    def _draw(self) -> None:
        with self._lock, contextlib.suppress(Exception):
            curves = dict(self._curves)
            count = sum(curve.count for curve in curves.values())
            if count != self._seen:
                self._seen = count
                self._show(self._title, self._status(), curves)


def _cell() -> Callable[[str, str, Mapping[str, summary.Curve]], None]:
    """Shows in the cell that runs now, and changes what it showed there."""
    from IPython.display import HTML, display  # a notebook has it

    handle: Any = display(HTML(""), display_id=True)

    def show(title: str, status: str, curves: Mapping[str, summary.Curve]) -> None:
        handle.update(HTML(page(title, status, curves)))

    return show


def _line(title: str, status: str, curves: Mapping[str, summary.Curve]) -> None:
    """Shows a line that is written over, in a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return
    told = "  ".join(
        f"{name} {curve.last:.4g} {summary.sparkline(curve.values, 12)}"
        for name, curve in list(curves.items())[:3]
    )
    sys.stderr.write(f"\r\x1b[2K{title} {status}  {told}"[:200] + ("" if status == "running" else "\n"))
    sys.stderr.flush()


def page(title: str, status: str, curves: Mapping[str, summary.Curve]) -> str:
    """Small pictures of curves, in the notebook's own colours."""
    pictures = "".join(
        f'<div style="width:{_WIDE}px"><b>{escape(name)}</b> {curve.last:.5g}{picture(curve.values)}</div>'
        for name, curve in list(curves.items())[:_MOST]
    )
    more = f"<p>and {len(curves) - _MOST} more</p>" if len(curves) > _MOST else ""
    return (
        f"<div><p><b>{escape(title)}</b> {escape(status)}</p>"
        f'<div style="display:flex;flex-wrap:wrap;gap:16px">{pictures}</div>{more}</div>'
    )


def picture(values: Sequence[float]) -> str:
    """A curve over how often it was logged; gaps where a value isn't finite."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    x = drawing.between(0, len(values) - 1, 4, _WIDE - 4)
    y, _ = drawing.vertical(finite, 6, _TALL - 6)
    points = [(x(place), y(value)) for place, value in enumerate(values) if math.isfinite(value)]
    low, high = f"{min(finite):.4g}", f"{max(finite):.4g}"
    labels = (
        f'<text x="4" y="12" font-size="10" fill="currentColor" opacity=".6">{high}</text>'
        f'<text x="4" y="{_TALL - 2}" font-size="10" fill="currentColor" opacity=".6">{low}</text>'
    )
    return drawing.svg(_WIDE, _TALL, [drawing.polyline(points, drawing.PALETTE[0]), labels])
