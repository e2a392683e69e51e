"""Figures of a model: plain numbers on the request's path."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import deque

from prometheus_client.core import HistogramMetricFamily

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 1024.0, 10240.0)
_RECENT = 60.0


class Histogram:
    """Counts by upper bounds, which are part of their bucket, as Prometheus has it."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Adds a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Adds itself to a family, as Prometheus's cumulative buckets."""
        running, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            buckets.append((bound, running))
        family.add_metric(labels, buckets, self.total)


class Stats:
    """What is counted of one model. The event loop writes, other threads read (and add to ``unlogged``).

    Attributes:
        slow_after: Seconds from which on an answer counts as slow; set by who follows the platform.
        slow: Requests answered later than that.
    """

    def __init__(self) -> None:
        self.slow_after = math.inf
        self.slow = 0
        self.codes: dict[int, int] = {}
        self.rows = 0
        self.model_failures = 0
        self.unlogged = 0
        self.swaps = 0
        self.loads = 0
        self.unloads = 0
        self.seconds = Histogram(_SECONDS)
        self.batches = Histogram(_ROWS)
        self._recent: deque[tuple[float, float]] = deque(maxlen=2000)

    def answered(self, code: int, ended: float, seconds: float) -> None:
        """Counts a request that was answered."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.seconds.observe(seconds)
        if seconds > self.slow_after:
            self.slow += 1
        self._recent.append((ended, seconds))

    @property
    def requests(self) -> int:
        """Requests answered."""
        return sum(self.codes.copy().values())

    @property
    def errors(self) -> int:
        """Requests answered with an error of the server."""
        return sum(count for code, count in self.codes.copy().items() if code >= 500)

    def percentile_ms(self, *shares: float) -> list[float | None]:
        """Percentiles over the last minute (of at most the last 2,000 requests), in milliseconds."""
        since = time.perf_counter() - _RECENT
        recent = sorted(seconds for ended, seconds in self._recent.copy() if ended >= since)
        last = len(recent) - 1
        return [round(recent[round(share * last)] * 1000, 3) if recent else None for share in shares]
