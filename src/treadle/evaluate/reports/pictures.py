"""Verdicts as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from treadle.evaluate.types import Verdict

_INK = {"pass": "#2e7d32", "warn": "#8a8d1f", "inconclusive": "#b26a00", "fail": "#c62828"}
_LEFT, _RIGHT, _TALL = 200, 620, 20
_LONGEST = 30


def forest(verdicts: Sequence[Verdict], zero: str = "no difference") -> str:
    """Estimates with their intervals and bounds, a line each; empty where no verdict has an interval.

    Args:
        verdicts: They; what has no interval is left out.
        zero: What zero means, written under its line; no line is drawn where it is empty.
    """
    rows = [v for v in verdicts if v.low is not None and v.high is not None and v.estimate is not None]
    if not rows:
        return ""
    ends = [v for r in rows for v in (r.low, r.high, r.bound) if v is not None] + [0.0] * bool(zero)
    low, high = min(ends), max(ends)
    pad = (high - low or 1) * 0.05

    def x(value: float) -> float:
        return _LEFT + (value - low + pad) / (high - low + 2 * pad) * (_RIGHT - _LEFT)

    base = 14 + len(rows) * _TALL
    marks = [f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{base}" stroke="#888"/>'] if zero else []
    for line, row in enumerate(rows):
        at, ink = 14 + line * _TALL, _INK[row.outcome]
        if row.bound is not None:
            marks.append(
                f'<line x1="{x(row.bound):.1f}" x2="{x(row.bound):.1f}" y1="{at - 8}" y2="{at + 8}" '
                f'stroke="#c62828" stroke-dasharray="3 2"><title>{row.bound:+g}: the bound</title></line>'
            )
        sign = "+" if zero else ""
        marks.append(
            f"<g><title>{escape(row.sentence)}</title>"
            f'<text x="{_LEFT - 10}" y="{at + 4}" class="tick end">{escape(_cut(row.subject))}</text>'
            f'<line x1="{x(row.low or 0):.1f}" x2="{x(row.high or 0):.1f}" y1="{at}" y2="{at}" '
            f'stroke="{ink}" stroke-width="2"/>'
            f'<circle cx="{x(row.estimate or 0):.1f}" cy="{at}" r="4" fill="{ink}"/>'
            f'<text x="{_RIGHT + 12}" y="{at + 4}" class="tick">{row.estimate:{sign}.4f} '
            f"[{row.low:{sign}.4f}, {row.high:{sign}.4f}]</text></g>"
        )
    if zero:
        marks.append(f'<text x="{x(0):.1f}" y="{base + 14}" class="tick mid">{escape(zero)}</text>')
    return f'<svg viewBox="0 0 840 {base + 20}" role="img">{"".join(marks)}</svg>'


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
