"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], notes: str = "") -> None:
    """Prints one table; numbers are aligned right."""
    texts = [[text(cell) for cell in row] for row in rows]
    print(f"\n### {title}\n")
    print(f"| {' | '.join(columns)} |")
    print(f"|---|{'---:|' * (len(columns) - 1)}")
    for row in texts:
        print(f"| {' | '.join(row)} |")
    if notes:
        print(f"\n{notes}")
    print(flush=True)


def text(value: Any) -> str:
    """A cell: three significant figures, large numbers with thousands."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(value: float, base: float) -> str:
    """A ratio, as ``12 x``."""
    return f"{text(value / base)} x" if base else "-"


def progress(message: str) -> None:
    """Says on standard error what is being done."""
    import sys

    print(f"bench: {message}", file=sys.stderr, flush=True)


def reason(problem: str) -> str:
    """The last line of what a failed program said, short enough for a table."""
    lines = [line.strip() for line in problem.splitlines() if line.strip()]
    return (lines[-1] if lines else problem)[:120].replace("|", "/")
