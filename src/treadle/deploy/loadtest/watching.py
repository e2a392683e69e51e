"""How far a load test is, and the way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from treadle.deploy.loadtest.types import LoadProgress


class Cancelled(Exception):
    """Somebody stopped the load test: nothing is judged."""


class Watch:
    """Watches one load test, from any thread.

    Args:
        told: Is told how far it is, by whatever thread runs it.

    Attributes:
        why: Why it was stopped; empty while it wasn't.
        progress: How far it is.
    """

    def __init__(self, told: Callable[[LoadProgress], None] = lambda _: None) -> None:
        self._told = told
        self.why = ""
        self.progress = LoadProgress()
        self._lock = threading.Lock()

    def cancel(self, why: str) -> None:
        """Stops it; the first reason counts."""
        with self._lock:
            self.why = self.why or why

    def tell(self, progress: LoadProgress) -> None:
        """Says how far it is."""
        self.progress = progress
        self._told(progress)

    def look(self) -> None:
        """Goes on only if nobody has stopped it.

        Raises:
            Cancelled: If somebody has.
        """
        if self.why:
            raise Cancelled(self.why)
