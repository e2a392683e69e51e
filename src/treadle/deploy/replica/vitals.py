"""What is learnt of a model while it answers: how long it takes, and whether it fails at everything."""

from __future__ import annotations

# How much the latest batch counts in the running mean of a row's time.
_WEIGHT = 0.2
_FAILURES = 20
_FAILING_FOR = 10.0
_TRY_AGAIN = 30.0


class Vitals:
    """A model's pace and health. Only the event loop writes.

    Args:
        alone: Seconds that it took for a row by itself, when it was proven.
        among: Seconds a row among others.

    Attributes:
        alone: Seconds a row of small batches, a running mean.
        among: Seconds a row of large ones.
        large: How many large ones there were.
    """

    def __init__(self, alone: float, among: float) -> None:
        self.alone = alone
        self.among = among
        self.large = 0
        self._failures = 0
        self._since = self._last = 0.0

    def took(self, rows: int, seconds: float, *, small: bool) -> None:
        """Learns from a batch."""
        if small:
            self.alone += _WEIGHT * (seconds / rows - self.alone)
        else:
            self.large += 1
            self.among += _WEIGHT * (seconds / rows - self.among)

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """The model failed at a request that was as it should be."""
        if not self._failures:
            self._since = now
        self._failures += 1
        self._last = now

    def failing(self, now: float) -> bool:
        """Whether every answer was a failure: 20 and more, for 10 seconds and more.

        False again 30 seconds after the last one: whether the model has recovered can only be
        seen by asking it.
        """
        lasted = self._last - self._since >= _FAILING_FOR
        return self._failures >= _FAILURES and lasted and now - self._last < _TRY_AGAIN
