"""Numbers as verdicts write them."""

from __future__ import annotations

from treadle.evaluate.types import Estimate


def show(value: float) -> str:
    """A metric's value, to four decimals (two from 10 on)."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def signed(value: float) -> str:
    """A difference, with its sign; one too small to be seen has none to show and counts as +0."""
    return f"{round(value, 4) + 0.0:+.4f}" if abs(value) < 10 else f"{value:+,.2f}"


def percent(share: float) -> str:
    """A share, to three digits, or to the whole per cent from 1,000 on."""
    return f"{100 * share:.3g} %" if abs(share) < 9.995 else f"{100 * share:,.0f} %"


def size(found: Estimate, unit: str) -> str:
    """What an estimate rests on: ``12,345 rows``, or ``14 days (12,345 rows)``."""
    rows = f"{found.n:,} rows"
    return rows if unit == "rows" else f"{found.clusters:,} {unit} ({rows})"


def would(more: int | None) -> str:
    """How many units would decide, as the end of a sentence."""
    return f"; about {more:,} would" if more else ""
