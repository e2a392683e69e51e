"""Whether requests have begun to go wrong: evidence that grows from the moment they do. Pure.

A test of all requests of some minutes is blunted by those that went well before. Here evidence may begin
anew at any time: an e-detector of the Shiryaev-Roberts kind (Shin, Ramdas, Rinaldo, *E-detectors: a
nonparametric framework for sequential change detection*, 2023, https://arxiv.org/abs/2203.03532). With
likelihood ratios ``e`` of rates that are too high against the highest that is right, it is ``(before + 1) e``
in each second. While the rate is right its mean grows by at most 1 a second, however often it is looked at,
so that the first false alarm comes after ``LIMIT`` seconds at least, on average.

That is so if requests go wrong independently. They don't: they come in bursts. So an alarm takes time as
well, which can only make false ones rarer: :data:`LASTS` seconds in which requests went wrong, where a second
that was surely well takes one and a half back; or, where errors are counted, :data:`OUTAGE` seconds in a row
in which nearly all did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import NamedTuple

STRETCH = timedelta(seconds=1)
"""How long requests are counted together."""

LOOKS_BACK = timedelta(minutes=5)
"""How far back it is looked: a deployment that nobody asks any more isn't called fallen for longer."""

LIMIT = 5e6
"""Seconds until the first false alarm, at least: 58 days of requests at the highest rate that is right."""

LASTS = 16
"""Seconds in which requests must have gone wrong: what is over within ten has fewer, and so do two bursts of
five."""

OUTAGE = 8
"""Seconds in a row, the first and the last begun, in which nearly all must have failed to be told sooner."""

_NEARLY_ALL = 0.9
# Where requests are rare, or reports come late, one that went wrong stands for so many seconds.
_GAP = 3.0
# What a second that was surely well takes back.
_BACK = 1.5
_ODDS = (2.0, 4.0, 10.0, 40.0, 400.0)
_LOWEST = 1e-5
_ALARM = math.log(LIMIT)
_MOST = _ALARM + math.log(len(_ODDS))


class Counted(NamedTuple):
    """What came of the requests of a stretch.

    Attributes:
        at: When it began, in seconds.
        bad: How many went wrong.
        total: Of how many.
    """

    at: float
    bad: int
    total: int


class Fall(NamedTuple):
    """Requests since they began to go wrong.

    Attributes:
        bad: How many went wrong.
        total: Of how many.
        seconds: In how many seconds.
    """

    bad: int
    total: int
    seconds: float


class Evidence(NamedTuple):
    """What speaks for a rate that is too high, after some stretches.

    Attributes:
        logs: The logarithm of the evidence for each of the rates that would be too high.
        fallen: Whether it has come to an alarm, and has not gone since.
        run: The requests since there was none.
        lasts: The seconds of it in which requests went wrong, less those that were well.
        outage: The last seconds of it in which nearly all did.
        since: Seconds since the last stretch in which requests went wrong.
    """

    logs: tuple[float, ...] = (-math.inf,) * len(_ODDS)
    fallen: bool = False
    run: Fall = Fall(0, 0, 0)
    lasts: float = 0.0
    outage: float = 0.0
    since: float = 0.0

    def after(
        self, bad: int, total: int, bound: float, seconds: float = 1.0, *, outages: bool = False
    ) -> Evidence:
        """The evidence after one more stretch.

        Args:
            bad: How many requests went wrong in it.
            total: Of how many; a stretch without any changes nothing.
            bound: The highest rate that is right, above 0 and below 1.
            seconds: From the stretch before with requests to this one.
            outages: Whether it is told sooner that nearly all go wrong.
        """
        if not total or (not bad and self is _NONE):
            return self
        logs = tuple(
            min(_MOST, _more(log) + bad * wrong + (total - bad) * well)
            for log, (wrong, well) in zip(self.logs, _ratios(bound), strict=True)
        )
        mean = _sum(logs) - math.log(len(logs))
        first = not self.run.total
        since = 1.0 if first else min(self.since + seconds, _GAP)
        if bad > bound * total:
            lasts, since = min(self.lasts + since, LASTS), 0.0
        else:
            lasts = max(0.0, self.lasts - _BACK * _surely_well(bound, total))
        if mean < 0:
            return Evidence(logs)
        if self.fallen and not lasts:
            return _NONE
        outage = self.outage + (1.0 if first else min(seconds, _GAP)) if bad >= _NEARLY_ALL * total else 0.0
        run = Fall(self.run.bad + bad, self.run.total + total, self.run.seconds + (1.0 if first else seconds))
        # It stands until nothing is left of the evidence, or of its time: at the edge it would come and go.
        long = lasts >= LASTS or (outages and outage >= OUTAGE)
        return Evidence(logs, self.fallen or (mean >= _ALARM - 1e-9 and long), run, lasts, outage, since)


_NONE = Evidence()


def fall(stretches: Iterable[Counted], bound: float, *, outages: bool = False) -> Fall | None:
    """The requests since they began to go wrong; None if they don't.

    Args:
        stretches: Those that had requests, oldest first. The last may have just begun.
        bound: The highest rate that is right, above 0 and below 1.
        outages: Whether it is told sooner that nearly all go wrong.
    """
    found, before = _NONE, -math.inf
    for at, bad, total in stretches:
        found = found.after(bad, total, bound, at - before, outages=outages)
        before = at
    return found.run if found.fallen else None


@cache
def _ratios(bound: float) -> tuple[tuple[float, float], ...]:
    """What a request that went wrong, and one that went well, add for each rate that is too high."""
    bound = max(bound, _LOWEST)
    rates = [_with_odds(bound, odds) for odds in _ODDS]
    return tuple((math.log(rate / bound), math.log1p(-rate) - math.log1p(-bound)) for rate in rates)


def _with_odds(bound: float, odds: float) -> float:
    return bound * odds / (1 + bound * (odds - 1))


def _surely_well(bound: float, total: int) -> float:
    """How surely one of so many requests would have gone wrong in a fall of four times the odds."""
    return -math.expm1(total * _log_well(bound))


@cache
def _log_well(bound: float) -> float:
    return math.log1p(-_with_odds(max(bound, _LOWEST), _ODDS[1]))


def _more(log: float) -> float:
    """The logarithm of one more."""
    return log + math.log1p(math.exp(-log)) if log > 0 else math.log1p(math.exp(log))


def _sum(logs: tuple[float, ...]) -> float:
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs))
