"""How far the asking of checks is, and the way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from treadle.evaluate.types import Asking


class Cancelled(Exception):
    """Somebody stopped the checks: nothing is judged, and what was answered is kept."""


class Watch:
    """Watches one request for checks, from any thread.

    Attributes:
        why: Why it was stopped; empty while it wasn't.
    """

    def __init__(self) -> None:
        self.why = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._check = ""
        self._calls = self._answered = 0
        self._spent: list[Callable[[], float]] = []

    # ── for whoever asks ─────────────────────────────────────────────────

    def enter(self, check: str) -> threading.Event:
        """Says which check of behaviour begins; what it gives ends every wait of that check once it is set.

        Raises:
            Cancelled: If somebody has stopped the checks.
        """
        with self._lock:
            self._check, self._stop = check, threading.Event()
        self.look()
        return self._stop

    def expect(self, calls: int, spent: Callable[[], float]) -> None:
        """Says how many answers the check needs, and what tells its cost so far."""
        with self._lock:
            self._calls += calls
            self._spent.append(spent)

    def tell(self, answered: int) -> None:
        """Says that some answers more are there."""
        with self._lock:
            self._answered += answered

    def look(self) -> None:
        """Goes on only if nobody has stopped the checks.

        Raises:
            Cancelled: If somebody has.
        """
        if self.why:
            raise Cancelled(self.why)

    # ── for whoever waits ────────────────────────────────────────────────

    def cancel(self, why: str) -> None:
        """Stops the asking; the first reason counts."""
        with self._lock:
            self.why = self.why or why
            self._stop.set()

    def progress(self) -> Asking:
        """How far it is."""
        with self._lock:
            cost = sum(spent() for spent in self._spent)
            return Asking(check=self._check, calls=self._calls, answered=self._answered, cost=cost)
