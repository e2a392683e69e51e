"""How far a group's rate is from the reference group's in a window of live traffic. No I/O.

The rates are those of :mod:`treadle.evaluate.bias.measures`, and so is the test; rows come as counts, so that
a window of any size costs no more than its days and groups.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.bias.measures import PARTS, Codes, Floats, Judged, Rows, apart, base, difference
from treadle.evaluate.bias.shares import Share, difference_z
from treadle.evaluate.models.clustering import Averaged
from treadle.kernel.config.checks import BiasMeasure


class GroupCounts(NamedTuple):
    """Rows of a group, counted by what they are; all four have the same length.

    Attributes:
        labels: The truth. It doesn't matter where only decisions are compared.
        decisions: What the model decides.
        clusters: The number of the cluster, from 0, which all groups share.
        counts: How many rows.
    """

    labels: Rows
    decisions: Rows
    clusters: Codes
    counts: npt.NDArray[np.int64]


class RateGap(NamedTuple):
    """A group's rate beside the reference group's.

    Attributes:
        rate: Which rate, such as ``selection rate``.
        one: The group's.
        other: The reference group's.
        value: The difference.
        low: Lower end of its interval.
        high: Upper end of its interval.
        above: How many standard errors it lies over the limit.
        below: How many standard errors it lies under minus the limit.
    """

    rate: str
    one: Share
    other: Share
    value: float
    low: float
    high: float
    above: float
    below: float


def rate_gaps(
    measure: BiasMeasure, one: GroupCounts, other: GroupCounts, limit: float, confidence: float = 0.95
) -> list[RateGap]:
    """How far a group's rates are from the reference group's: one rate, or the two of equalised odds.

    The error is that of the score test of two independent shares, or, where there are enough clusters and
    it is larger, that of shares whose rows stand or fall together by cluster.

    Args:
        measure: What is compared.
        one: The group's rows.
        other: The reference group's.
        limit: How far apart the rates may be.
        confidence: Of each two-sided interval.

    Returns:
        A gap for each rate; none at all where a group has no row that one of them is taken of.
    """
    many = int(max(one.clusters.max(initial=-1), other.clusters.max(initial=-1))) + 1
    found = [_gap(rate, one, other, many, limit, confidence) for rate in PARTS[measure]]
    return [gap for gap in found if gap] if all(found) else []


def _gap(
    rate: str, one: GroupCounts, other: GroupCounts, many: int, limit: float, confidence: float
) -> RateGap | None:
    (x, n), (y, m) = (_by_cluster(rate, group, many) for group in (one, other))
    if not n.sum() or not m.sum():
        return None
    mine, theirs = Share(int(x.sum()), int(n.sum())), Share(int(y.sum()), int(m.sum()))
    gap = difference(mine, theirs, limit, confidence)
    above, below = difference_z(mine, theirs, limit), -difference_z(mine, theirs, -limit)
    parts = [_averaged(mine, x, n, 1), _averaged(theirs, y, m, -1)]
    together = apart(gap.value, parts, np.tile(np.arange(many), 2), limit, confidence)
    low, high = gap.low, gap.high
    if together is not None and together.se:
        low, high = min(low, together.low), max(high, together.high)
        above = _cautious(above, (gap.value - limit) / together.se)
        below = _cautious(below, (-gap.value - limit) / together.se)
    return RateGap(rate, mine, theirs, gap.value, low, high, above, below)


def _by_cluster(rate: str, group: GroupCounts, many: int) -> tuple[Floats, Floats]:
    """How many rows of each cluster are counted, and of how many."""
    of, counted = base(rate, Judged(group.labels, group.decisions, None))
    sums = [
        np.bincount(group.clusters, group.counts * among, minlength=many).astype(np.float64)
        for among in (of & counted, of)
    ]
    return sums[0], sums[1]


def _averaged(share: Share, counted: Floats, of: Floats, sign: int) -> Averaged:
    """What each cluster's counted rows contribute, and then its others."""
    counts = np.concatenate([counted, of - counted])
    apiece = sign * (np.repeat([1.0, 0.0], len(of)) - share.value) / share.n
    return Averaged(apiece * counts, counts / share.n, np.maximum(counts, 1.0))


def _cautious(one: float, other: float) -> float:
    """The one nearer to saying nothing; both have the same sign."""
    return one if abs(one) < abs(other) else other
