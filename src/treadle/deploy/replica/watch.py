"""Requests in hand: how many, how many bytes of them, and the end of those that take too long."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeAlias

Task: TypeAlias = "asyncio.Task[Any]"


class Watch:
    """Keeps the requests in hand, oldest first, and cancels those that are over their time.

    A timer for every request would cost each of them; here a request costs an entry in a
    dictionary, and :meth:`sweep` is called ten times a second. Only the event loop uses it.

    Args:
        timeout: Seconds that a request may take.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._started: dict[Task, float] = {}
        self._ended: set[Task] = set()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._started)

    def enter(self, task: Task, started: float) -> None:
        """A task has a request in hand since ``started``, by ``time.perf_counter``."""
        self._started[task] = started

    def leave(self, task: Task) -> None:
        """It hasn't any more."""
        del self._started[task]

    def sweep(self) -> None:
        """Cancels the tasks whose requests are over their time."""
        before = time.perf_counter() - self._timeout
        # Their time is the same, so the first that is not over it ends the search.
        for task, started in self._started.items():
            if started > before:
                return
            if task not in self._ended:
                self._ended.add(task)
                task.cancel()

    def ended(self, task: Task) -> bool:
        """Whether a task was cancelled here, rather than by whoever shuts the server down."""
        if task not in self._ended:
            return False
        self._ended.discard(task)
        task.uncancel()
        return True
