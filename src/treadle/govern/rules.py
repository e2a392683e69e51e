"""When a budget is passed, and when it is free again. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from treadle.govern.types import Spending
from treadle.kernel.errors import BudgetExceeded
from treadle.kernel.units import format_duration

MONTH = timedelta(days=30)


def exceeded(spending: Spending, estimate: float | None) -> bool:
    """Whether a cycle would pass the month's budget. Without an estimate, only one that is used up counts."""
    if spending.limit is None:
        return False
    if estimate is None:
        return spending.cpu_seconds >= spending.limit
    return spending.cpu_seconds + estimate > spending.limit


def free_at(used: Sequence[tuple[datetime, float]], limit: float, estimate: float | None) -> datetime | None:
    """When enough of what was used lies 30 days back for a cycle to fit; None if it never fits.

    Args:
        used: When and how many CPU-seconds, the oldest first.
        limit: CPU-seconds that may be used in 30 days.
        estimate: CPU-seconds of the cycle, if known.
    """
    left = sum(seconds for _, seconds in used)
    for at, seconds in used:
        left -= seconds
        if not exceeded(Spending(cpu_seconds=left, limit=limit, cycles=0), estimate):
            return at + MONTH
    return None


def over_budget(
    model: str, spending: Spending, estimate: float | None, free: datetime | None
) -> BudgetExceeded:
    """The error for a cycle that the month's budget doesn't allow, with its numbers."""
    limit = format_duration(spending.limit or 0)
    spent = format_duration(spending.cpu_seconds)
    needs = f" and a cycle takes about {format_duration(estimate)}" if estimate is not None else ""
    wait = f"wait until {free:%Y-%m-%d %H:%M} UTC, or " if free else ""
    return BudgetExceeded(
        f"{spent} of CPU time were spent on {model!r} in the last 30 days{needs}; the budget is {limit}",
        where="treadle.toml [budget] month",
        fix=f"{wait}raise the budget",
    )
