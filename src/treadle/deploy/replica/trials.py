"""A revision that is tried beside the one that serves: who asks it, and what came of it."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Sequence

from treadle.deploy.answers import edges
from treadle.deploy.replica.rows import Rows
from treadle.deploy.replica.served import Served
from treadle.deploy.types import ArmCounts, Trial, TrialReport

KEY_HEADER = b"x-treadle-key"

# The fractional parts of its multiples are spread evenly: a share of 5 % is one request in 20.
_GOLDEN = 0.6180339887498949


class Arm:
    """What came of the requests that one revision was asked. Only the event loop writes.

    Args:
        bins: Upper edges of the bins in which answers are counted.
        slow: Seconds from which on an answer is slow; None for never.
    """

    def __init__(self, bins: Sequence[float], slow: float | None) -> None:
        self._bins = bins
        self._slow = slow
        self._requests = self._errors = self._late = 0
        self._answers = [0] * (len(bins) + 1)

    def answered(self, seconds: float, outputs: Sequence[float]) -> None:
        """Counts a request that was answered."""
        self._requests += 1
        if self._slow is not None and seconds > self._slow:
            self._late += 1
        for value in outputs:
            self._answers[bisect_left(self._bins, value)] += 1

    def failed(self) -> None:
        """Counts a request that ended with an error of the server."""
        self._requests += 1
        self._errors += 1

    def counts(self) -> ArmCounts:
        """The counts so far."""
        return ArmCounts(self._requests, self._errors, self._late, tuple(self._answers))


class Tried:
    """A revision in trial.

    Args:
        served: The revision, loaded.
        asked: How it is to be tried.
        process: Identifies this process, whose counts begin at 0.

    Attributes:
        served: The revision, loaded.
        trial: What came of its requests.
        beside: What came of the other's meanwhile.
    """

    def __init__(self, served: Served, asked: Trial, process: str) -> None:
        bins = edges(served.loaded.signature.output)
        slow = asked.slow_ms / 1000 if asked.slow_ms is not None else None
        self.served = served
        self.trial, self.beside = Arm(bins, slow), Arm(bins, slow)
        self._asked = asked
        self._process = process
        self._drawn = 0
        self._compared = 0
        self._apart = 0.0

    @property
    def shadow(self) -> bool:
        """Whether it is asked what the other one answers."""
        return self._asked.shadow

    def adjust(self, asked: Trial) -> None:
        """Takes another share, or another way of trying."""
        self._asked = asked

    def takes(self, key: bytes | None, rows: Rows, features: Sequence[str]) -> bool:
        """Whether it answers a request.

        Args:
            key: By what the caller said to stay with one revision, if it did.
            rows: The request's rows.
            features: The names of their values.
        """
        share = self._asked.share
        if share in (0.0, 1.0) or self._asked.shadow:
            return share == 1.0 and not self._asked.shadow
        named = key if key is not None else self._value(rows, features)
        if named is None:
            self._drawn += 1
            return self._drawn * _GOLDEN % 1.0 < share
        return zlib.crc32(named, self._asked.revision) / 2**32 < share

    def _value(self, rows: Rows, features: Sequence[str]) -> bytes | None:
        """By what the first row stays with one revision, if the plan says so and the row has it."""
        name = self._asked.sticky
        if not name:
            return None
        if name not in features:
            return rows.keys[0].encode() if rows.keys else None
        known = rows.row
        value = known[features.index(name)] if known is not None else rows.by_column(features)[name][0]
        return str(value).encode()

    def compare(self, answered: Sequence[float], shadowed: Sequence[float]) -> None:
        """Notes how far the answers of both to the same rows are apart."""
        self._compared += len(answered)
        self._apart += sum(abs(a - b) for a, b in zip(answered, shadowed, strict=True))

    def report(self) -> TrialReport:
        """What was seen so far."""
        return TrialReport(
            revision=self.served.revision,
            process=self._process,
            trial=self.trial.counts(),
            beside=self.beside.counts(),
            compared=self._compared,
            apart=self._apart,
        )
