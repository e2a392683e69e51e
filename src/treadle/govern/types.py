"""What compute was used, by whom, for what."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Compute that was used.

    Attributes:
        id: The job's identity and attempt: metered once.
        at: When it ended.
        model: For which model.
        cycle: In which cycle, if any.
        run: By which run.
        cpu_seconds: Processor time.
        wall_seconds: Time on the clock.
    """

    id: str
    at: datetime
    model: str
    run: str
    cpu_seconds: float
    wall_seconds: float
    cycle: str | None = None


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent in the last 30 days, and what may be.

    Attributes:
        cpu_seconds: Spent.
        limit: The budget; None when there is none.
        cycles: Cycles in that time.
    """

    cpu_seconds: float
    limit: float | None
    cycles: int
