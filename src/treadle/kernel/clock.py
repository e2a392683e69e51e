"""Time, passed in: the machine's clock, or a past that is being replayed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time at which things take effect."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        """The time that was last set."""
        return self.at


class ReplayableClock:
    """The machine's clock, unless a replay of the past is under way.

    Args:
        replayed: Returns the replayed time, or ``None`` when no replay is under way.
    """

    def __init__(self, replayed: Callable[[], datetime | None]) -> None:
        self._replayed = replayed

    def now(self) -> datetime:
        """The replayed time if there is one, the machine's otherwise."""
        return self._replayed() or datetime.now(UTC)
