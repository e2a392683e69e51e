"""Whether requests have begun to go wrong: evidence that grows from the moment they do. Pure.

A test of all requests of some minutes is blunted by those that went well before. Here evidence may begin
anew at any time: an e-detector of the Shiryaev-Roberts kind (Shin, Ramdas, Rinaldo, *E-detectors: a
nonparametric framework for sequential change detection*, 2023, https://arxiv.org/abs/2203.03532). With
likelihood ratios ``e`` of rates that are too high against the highest that is right, it is ``(before + 1) e``
in each stretch of five seconds. While the rate is right its mean grows by at most 1 a stretch, however
often it is looked at, so that the first false alarm comes after ``LIMIT`` stretches at least, on average.

That is so if requests go wrong independently. They don't: they come in bursts. So the evidence of a
stretch counts for a quarter of what an alarm takes, at most: what is over within ten seconds raises none,
however many requests it hit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import NamedTuple

STRETCH = timedelta(seconds=5)
"""How long requests are counted together."""

LOOKS_BACK = timedelta(minutes=5)
"""How far back it is looked: a deployment that nobody asks any more isn't called fallen for longer."""

LIMIT = 1e6
"""Stretches until the first false alarm, at least: 58 days of requests at the highest rate that is right."""

_STRETCHES = 4
_ODDS = (2.0, 4.0, 10.0, 40.0, 400.0)
_LOWEST = 1e-5
_ALARM = math.log(LIMIT)
_MOST = _ALARM + math.log(len(_ODDS))


class Fall(NamedTuple):
    """Requests since they began to go wrong.

    Attributes:
        bad: How many went wrong.
        total: Of how many.
        stretches: In how many stretches.
    """

    bad: int
    total: int
    stretches: int


class Evidence(NamedTuple):
    """What speaks for a rate that is too high, after some stretches.

    Attributes:
        logs: The logarithm of the evidence for each of the rates that would be too high.
        fallen: Whether it has come to an alarm, and has not gone since.
        run: The requests since there was none.
    """

    logs: tuple[float, ...] = (-math.inf,) * len(_ODDS)
    fallen: bool = False
    run: Fall = Fall(0, 0, 0)

    def after(self, bad: int, total: int, bound: float) -> Evidence:
        """The evidence after one more stretch.

        Args:
            bad: How many requests went wrong in it.
            total: Of how many; a stretch without any changes nothing.
            bound: The highest rate that is right, above 0 and below 1.
        """
        if not total:
            return self
        logs = tuple(
            min(_MOST, _more(log) + min(_MOST / _STRETCHES, bad * wrong + (total - bad) * well))
            for log, (wrong, well) in zip(self.logs, _ratios(bound), strict=True)
        )
        mean = _sum(logs) - math.log(len(logs))
        # It stands until nothing is left of the evidence: at the edge it would come and go.
        fallen = mean >= 0 if self.fallen else mean >= _ALARM - 1e-9
        if mean < 0:
            return Evidence(logs)
        run = self.run
        return Evidence(logs, fallen, Fall(run.bad + bad, run.total + total, run.stretches + 1))


def fall(stretches: Iterable[tuple[int, int]], bound: float) -> Fall | None:
    """The requests since they began to go wrong; None if they don't.

    Args:
        stretches: How many requests went wrong, and of how many, in each stretch, oldest first. The last
            may have just begun.
        bound: The highest rate that is right, above 0 and below 1.
    """
    found = Evidence()
    for bad, total in stretches:
        found = found.after(bad, total, bound)
    return found.run if found.fallen else None


@cache
def _ratios(bound: float) -> tuple[tuple[float, float], ...]:
    """What a request that went wrong, and one that went well, add for each rate that is too high."""
    bound = max(bound, _LOWEST)
    rates = [bound * odds / (1 + bound * (odds - 1)) for odds in _ODDS]
    return tuple((math.log(rate / bound), math.log1p(-rate) - math.log1p(-bound)) for rate in rates)


def _more(log: float) -> float:
    """The logarithm of one more."""
    return log + math.log1p(math.exp(-log)) if log > 0 else math.log1p(math.exp(log))


def _sum(logs: tuple[float, ...]) -> float:
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs))
