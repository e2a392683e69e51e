"""Usages: what training has used, against the budget of ``treadle.toml``."""

from __future__ import annotations

from datetime import datetime

from treadle.govern import rules, store
from treadle.govern.types import Spending, Usage
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace


class Usages:
    """Compute that was used, metered once, and what the budget leaves.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def meter(self, usage: Usage) -> None:
        """Writes down compute that was used; metering one identity twice is metering it once."""
        with self._ws.database.write() as connection:
            store.add_once(connection, usage)

    def spending(self, model: str, now: datetime) -> Spending:
        """What a model's training has used in the 30 days before a moment, and what it may."""
        return self._spending(self._used(model, now))

    def check(self, model: str, cycle_estimate: float | None, now: datetime) -> None:
        """Refuses a cycle that the month's budget doesn't allow.

        Args:
            model: For which model.
            cycle_estimate: The CPU-seconds that it will probably take; when None, it is
                refused only if the budget is used up.
            now: When it would begin.

        Raises:
            BudgetExceeded: With what was spent, what the budget is, and when a cycle fits again.
        """
        used = self._used(model, now)
        spending = self._spending(used)
        if spending.limit is not None and rules.exceeded(spending, cycle_estimate):
            free = rules.free_at([(u.at, u.cpu_seconds) for u in used], spending.limit, cycle_estimate)
            raise rules.over_budget(model, spending, cycle_estimate, free)

    def cycle_left(self, cycle_id: str) -> float | None:
        """CPU-seconds that a cycle may still use; None when ``[budget] cycle`` sets no limit."""
        limit = self._ws.config.budget.cycle
        if limit is None:
            return None
        return max(0.0, parse_duration(limit).total_seconds() - self.cycle_used(cycle_id))

    def cycle_used(self, cycle_id: str) -> float:
        """CPU-seconds that a cycle's jobs have used, those included that failed."""
        with self._ws.database.read() as connection:
            return store.of_cycle(connection, cycle_id)

    def run_used(self, run_id: str) -> float | None:
        """CPU-seconds that a run has used; None if it was never metered."""
        with self._ws.database.read() as connection:
            return store.of_run(connection, run_id)

    def _used(self, model: str, now: datetime) -> list[Usage]:
        with self._ws.database.read() as connection:
            return store.between(connection, model, now - rules.MONTH, now)

    def _spending(self, used: list[Usage]) -> Spending:
        month = self._ws.config.budget.month
        return Spending(
            cpu_seconds=sum(usage.cpu_seconds for usage in used),
            limit=parse_duration(month).total_seconds() if month else None,
            cycles=len({usage.cycle for usage in used if usage.cycle}),
        )
