"""Whether a candidate's rates are further from the reference group's than production's. No I/O.

Of each group, the counts of (label, candidate's decision, production's decision) are all that the
bootstrap needs: a resample is a multinomial draw over eight cells, however many rows there are.
Where rows stand or fall together, it is t by cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from treadle.evaluate.bias.measures import PARTS, Codes, Floats, Judged, Rows, averaged, base
from treadle.evaluate.models import cells
from treadle.evaluate.models.clustering import Averaged, spread, too_few
from treadle.kernel.config.base import Metric
from treadle.kernel.config.checks import BiasCheck

if TYPE_CHECKING:
    from treadle.evaluate.bias.judging import Grouping, Sample

RESAMPLES = 10_000
_METRICS: dict[str, Metric] = {
    "true positive rate": "recall",
    "false positive rate": "specificity",  # as far apart as the rates of which it is the rest
    "precision": "precision",
}


class Further(NamedTuple):
    """How much further from the reference group's a rate is than production's.

    Attributes:
        rate: Which rate.
        value: The growth of the absolute difference.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p_value: One-sided, of the hypothesis that it is at most the margin.
        se: Its standard error.
        n: Rows of both groups.
        test: What was computed.
        why: Why it can't be told, in words; empty where it can.
    """

    rate: str
    value: float
    low: float
    high: float
    p_value: float
    se: float
    n: int
    test: str
    why: str = ""


def further(
    check: BiasCheck,
    grouping: Grouping,
    places: Sequence[int],
    sample: Sample,
    confidence: float,
    rng: np.random.Generator,
) -> Iterator[tuple[str, Further]]:
    """The growth of each measured rate's distance from the reference group's, group by group.

    Intervals are two one-sided bounds at ``confidence``: the bootstrap's percentiles, or t by cluster.
    A rate that isn't defined is left out: that was told beside the reference group.
    """
    assert sample.production is not None  # noqa: S101 - nothing to be further than
    rates = list(dict.fromkeys(rate for measure in check.measures for rate in PARTS.get(measure, ())))
    if sample.clusters is not None:
        yield from _by_cluster(check, grouping, places, sample, rates, confidence)
        return
    each = cells.each(sample.threshold, sample.labels, sample.scores, sample.production)
    reference, *groups = _drawn(each, grouping.codes, [grouping.reference, *places], rng)
    for place, mine in zip(places, groups, strict=True):
        for rate in rates:
            growth = _growth(rate, mine, reference)
            if not np.isnan(growth[0]):
                n = int(mine[0].sum() + reference[0].sum())
                yield grouping.names[place], _summary(rate, growth, check.margin, confidence, n)


def _drawn(each: Codes, codes: Codes, chosen: Sequence[int], rng: np.random.Generator) -> list[Floats]:
    """Counts of cells of each group: as they are in the first row, resampled in the others."""
    counts = [np.bincount(each[codes == place], minlength=cells.CELLS) for place in chosen]
    drawn = [rng.multinomial(one.sum(), one / one.sum(), size=RESAMPLES) for one in counts]
    return [np.vstack([one, more]).astype(np.float64) for one, more in zip(counts, drawn, strict=True)]


def _growth(rate: str, mine: Floats, reference: Floats) -> Floats:
    """By how much the candidate's distance exceeds production's, in each resample."""
    ours, theirs = (
        np.abs(_share(rate, mine, ours=o) - _share(rate, reference, ours=o)) for o in (True, False)
    )
    return np.asarray(ours - theirs)


def _share(rate: str, counts: Floats, *, ours: bool) -> Floats:
    if rate == "selection rate":
        return cells.chosen(counts, ours=ours)
    return cells.value(_METRICS[rate], counts, ours=ours)


def _summary(rate: str, growth: Floats, margin: float, confidence: float, n: int) -> Further:
    value, drawn = float(growth[0]), growth[1:][~np.isnan(growth[1:])]
    low, high = np.quantile(drawn, [1 - confidence, confidence])
    p_value = (1 + int((drawn <= margin).sum())) / (1 + len(drawn))
    return Further(rate, value, float(low), float(high), p_value, float(drawn.std()), n, "paired bootstrap")


# ── rows in clusters ─────────────────────────────────────────────────────


def _by_cluster(
    check: BiasCheck,
    grouping: Grouping,
    places: Sequence[int],
    sample: Sample,
    rates: Sequence[str],
    confidence: float,
) -> Iterator[tuple[str, Further]]:
    assert sample.production is not None  # noqa: S101 - nothing to be further than
    both = sample.judged(sample.scores), sample.judged(sample.production)
    reference = grouping.codes == grouping.reference
    for place in places:
        group = grouping.codes == place
        for rate in rates:
            if all((base(rate, rows)[0] & part).any() for rows in both for part in (group, reference)):
                yield grouping.names[place], _grown(rate, both, (group, reference), check.margin, confidence)


def _grown(
    rate: str, both: tuple[Judged, Judged], groups: tuple[Rows, Rows], margin: float, confidence: float
) -> Further:
    """The growth by t; candidate and production are paired in each group before clusters are summed."""
    from scipy.special import stdtr, stdtrit

    (p, ours), (q, ours_there) = (averaged(rate, both[0], group) for group in groups)
    (r, theirs), (s, theirs_there) = (averaged(rate, both[1], group) for group in groups)
    now, before = math.copysign(1.0, p - q), math.copysign(1.0, r - s)
    parts = [
        Averaged(now * a.deviations - before * b.deviations, (a.weights + b.weights) / 2)
        for a, b in ((ours, theirs), (ours_there, theirs_there))
    ]
    parts[1] = parts[1]._replace(deviations=-parts[1].deviations)
    clusters, n = both[0].clusters, int(groups[0].sum() + groups[1].sum())
    assert clusters is not None  # noqa: S101 - whoever asks has looked
    known, value, test = spread(parts, clusters), abs(p - q) - abs(r - s), "paired t, by cluster"
    few = too_few(min(known.sizes), known.df, "clusters")
    if few:
        return Further(rate, value, -1.0, 1.0, 1.0, 0.0, n, test, f"{min(known.sizes)} clusters {few}")
    se = math.sqrt(known.variance)
    width = float(stdtrit(known.df, confidence)) * se
    # A gap as large on the other side would be as bad: its chance counts as well.
    far = [abs(p - q) - abs(r - s) - margin, abs(p - q) + abs(r - s) + margin]
    p_value = sum(float(stdtr(known.df, -one / se)) for one in far) if se else float(far[0] <= 0)
    return Further(rate, value, value - width, value + width, min(p_value, 1.0), se, n, test)
