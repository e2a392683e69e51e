"""Numbers as verdicts write them."""

from __future__ import annotations

import math

from treadle.evaluate.skewness import NONE, reaches
from treadle.evaluate.types import Estimate

_NOTICED = 1.1


def show(value: float) -> str:
    """A metric's value, to four decimals (two from 10 on)."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def signed(value: float) -> str:
    """A difference, with its sign; one too small to be seen has none to show and counts as +0."""
    return f"{round(value, 4) + 0.0:+.4f}" if abs(value) < 10 else f"{value:+,.2f}"


def beside(gain: float) -> str:
    """How a figure stands beside another: ``0.0123 worse than``, or ``as good as`` where no digit shows."""
    seen = show(abs(gain))
    return (
        f"{seen} {'worse' if gain < 0 else 'better'} than" if float(seen.replace(",", "")) else "as good as"
    )


def percent(share: float) -> str:
    """A share, to three digits, or to the whole per cent from 1,000 on."""
    return f"{100 * share:.3g} %" if abs(share) < 9.995 else f"{100 * share:,.0f} %"


def size(found: Estimate, unit: str) -> str:
    """What an estimate rests on: ``12,345 rows``, or ``14 days (12,345 rows)``."""
    rows = f"{found.n:,} rows"
    return rows if unit == "rows" else f"{found.clusters:,} {unit} ({rows})"


def skewed(found: Estimate, confidence: float, unit: str, rare: tuple[str, str]) -> str:
    """That skewness moves a bound, where it is seen and moves it by a tenth or more; empty elsewhere.

    Args:
        found: The figure.
        confidence: Of each one-sided bound.
        unit: What is sampled.
        rare: What is rare if the lower bound is moved, and if the upper one is.
    """
    if not found.tilt.seen:
        return ""
    low = found.tilt.skewness < 0
    place = 0 if low else 1
    plain, wide = (reaches(1 - confidence, found.df, one)[place] for one in (NONE, found.tilt))
    if wide < _NOTICED * plain:
        return ""
    skewness = found.tilt.skewness * math.sqrt(found.clusters)
    return (
        f"{unit} are skewed (skewness {skewness:+.1f}): {rare[place]} move the "
        f"{'lower' if low else 'upper'} bound {100 * (wide / plain - 1):.0f} % further out"
    )


def would(more: int | None) -> str:
    """How many units would decide, as the end of a sentence."""
    return f"; about {more:,} would" if more else ""
