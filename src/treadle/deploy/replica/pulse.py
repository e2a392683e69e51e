"""Whether a replica gets on: its event loop turns, and predictions come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

# A prediction that takes so long, and so many times what its rows usually take, is overdue.
_OVERDUE, _TIMES = 5.0, 20.0
# Seconds by which an overdue one outlives its last caller before it is given up for good.
_GIVEN_UP = 5.0
# A prediction that takes this many times what a request may, and a minute, never comes back, usual or not.
_NEVER_TIMES, _NEVER = 3.0, 60.0
# The loop ticks ten times a second.
_STILL = 5.0
# How long it is told that a replica was started again because it hung.
_TOLD_FOR = 30.0


class Pulse:
    """What a replica knows of its own life. Safe to ask from any thread.

    A prediction is held against what such rows usually take, so that a slow model isn't taken for one that
    hangs: a large batch may take long, and a quick one that takes 20 times as long is overdue. Who waits for
    requests has nothing in hand, and is well.

    Args:
        busy_since: When the predictions that run now began, by ``seconds``: on the event loop, and beside it.
        usual: How many seconds they should take.
        timeout: Seconds that a request may take: later, nobody waits for its prediction.
        restarted: Why the process before this one was ended, if it hung.
        seconds: Tells the time.
    """

    def __init__(
        self,
        busy_since: Sequence[float | None],
        usual: Sequence[float],
        timeout: float,
        restarted: str = "",
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._busy_since = busy_since
        self._usual = usual
        self._timeout = timeout
        self._never = max(_NEVER_TIMES * timeout, _NEVER)
        self._restarted = restarted
        self._seconds = seconds
        self._began = seconds()
        self._ticked: float | None = None

    def tick(self) -> None:
        """The event loop has turned."""
        self._ticked = self._seconds()

    def overdue(self) -> str:
        """That a prediction takes so long that requests had better go elsewhere; empty if none does."""
        for lasted, usual in self._running():
            if lasted > min(max(_OVERDUE, _TIMES * usual), max(self._timeout, _OVERDUE)):
                return f"a prediction has been in hand for {lasted:.0f} s, and {usual:.2g} s are usual"
        return ""

    def lost(self) -> bool:
        """Whether a prediction will not come back: far too late, and all who asked for it are gone."""
        return any(
            lasted > min(max(self._timeout + _GIVEN_UP, _TIMES * usual), self._never)
            for lasted, usual in self._running()
        )

    def trouble(self) -> str:
        """What is wrong, as it is reported; empty if nothing is."""
        now = self._seconds()
        if said := self.overdue():
            return said
        if self._ticked is not None and now - self._ticked > _STILL:
            return f"its event loop has stood still for {now - self._ticked:.0f} s"
        if self._restarted and now - self._began < _TOLD_FOR:
            return f"it was started again: {self._restarted}"
        return ""

    def _running(self) -> list[tuple[float, float]]:
        """How long each prediction in hand has taken, and how long it should."""
        now = self._seconds()
        running = zip(self._busy_since, self._usual, strict=True)
        return [(now - since, usual) for since, usual in running if since is not None]
