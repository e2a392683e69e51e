"""Whether a candidate's rates are further from the reference group's than production's. No I/O.

Of each group, the counts of (label, candidate's decision, production's decision) are all that the
bootstrap needs: a resample is a multinomial draw over eight cells, however many rows there are.
Where rows stand or fall together, it is t by cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from treadle.evaluate.bias.asking import Asked
from treadle.evaluate.bias.measures import PARTS, Codes, Floats, averaged, base
from treadle.evaluate.bias.sample import Further, Grouping, Sample
from treadle.evaluate.models import cells, resampling
from treadle.evaluate.models.clustering import Averaged, spread, too_few
from treadle.evaluate.skewness import p_value, reaches
from treadle.kernel.config.base import Metric

RESAMPLES = 10_000
_METRICS: dict[str, Metric] = {
    "true positive rate": "recall",
    "false positive rate": "specificity",  # as far apart as the rates of which it is the rest
    "precision": "precision",
}


def further(
    asked: Asked,
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
    assert sample.theirs is not None  # noqa: S101 - nothing to be further than
    rates = list(dict.fromkeys(rate for measure in asked.measures for rate in PARTS.get(measure, ())))
    if sample.clusters is not None:
        yield from _by_cluster(asked, grouping, places, sample, rates, confidence)
        return
    each = cells.each(sample.labels == 1, sample.ours, sample.theirs)
    same = np.array_equal(sample.ours, sample.theirs)
    reference, *groups = _drawn(each, grouping.codes, [grouping.reference, *places], rng, same=same)
    for place, mine in zip(places, groups, strict=True):
        for rate in rates:
            growth = _growth(rate, mine, reference)
            if not np.isnan(growth[0]):
                n = int(mine[0].sum() + reference[0].sum())
                yield grouping.names[place], _summary(sample.named(rate), growth, asked.margin, confidence, n)


def _drawn(
    each: Codes, codes: Codes, chosen: Sequence[int], rng: np.random.Generator, *, same: bool = False
) -> list[Floats]:
    """Counts of cells of each group: as they are in the first row, resampled in the others.

    Unless no row at all is decided differently, such rows get half a row each: see
    :mod:`treadle.evaluate.models.resampling`.
    """
    counts = [np.bincount(each[codes == place], minlength=cells.CELLS) for place in chosen]
    drawn = [
        rng.multinomial(
            one.sum(), one / one.sum() if same else resampling.chances(one, paired=True), size=RESAMPLES
        )
        for one in counts
    ]
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
    asked: Asked,
    grouping: Grouping,
    places: Sequence[int],
    sample: Sample,
    rates: Sequence[str],
    confidence: float,
) -> Iterator[tuple[str, Further]]:
    assert sample.theirs is not None  # noqa: S101 - nothing to be further than
    assert sample.clusters is not None  # noqa: S101 - whoever asks has looked
    both = sample.judged(sample.ours), sample.judged(sample.theirs)
    reference = grouping.codes == grouping.reference
    for place in places:
        group = grouping.codes == place
        n = int(group.sum() + reference.sum())
        for rate in rates:
            if all((base(rate, rows)[0] & part).any() for rows in both for part in (group, reference)):
                mine, there = (
                    (averaged(rate, both[0], part), averaged(rate, both[1], part))
                    for part in (group, reference)
                )
                found = grown(mine, there, sample.clusters, asked.margin, confidence)
                yield grouping.names[place], found._replace(rate=sample.named(rate), n=n)


Figure: TypeAlias = tuple[float, Averaged]
"""A rate or mean of a group, and what each row contributes to it."""


def grown(
    mine: tuple[Figure, Figure],
    reference: tuple[Figure, Figure],
    clusters: Codes,
    margin: float,
    confidence: float,
) -> Further:
    """The growth of a distance, by t: candidate and production are paired in each group.

    Args:
        mine: The group's figure by the candidate and by production.
        reference: The reference group's, likewise.
        clusters: The number of each row's cluster; each row's own where rows are independent.
        margin: How much it may be.
        confidence: Of each one-sided bound.
    """
    now, before = (one[0] - other[0] for one, other in zip(mine, reference, strict=True))
    signs = math.copysign(1.0, now), math.copysign(1.0, before)
    parts = [
        Averaged(
            side * (signs[0] * ours.deviations - signs[1] * theirs.deviations),
            (ours.weights + theirs.weights) / 2,
        )
        for side, ((_, ours), (_, theirs)) in ((1, mine), (-1, reference))
    ]
    known, value, test = spread(parts, clusters), abs(now) - abs(before), "paired t, by cluster"
    few = too_few(min(known.sizes), known.df, "clusters")
    if few:
        return Further("", value, -1.0, 1.0, 1.0, 0.0, 0, test, f"{min(known.sizes)} clusters {few}")
    se = math.sqrt(known.variance)
    down, up = reaches(1 - confidence, known.df, known.tilt)
    # A gap as large on the other side would be as bad: its chance counts as well.
    far = [value - margin, abs(now) + abs(before) + margin]
    tails = (p_value(-one / se, known.df, known.tilt.mirrored) for one in far) if se else [float(far[0] <= 0)]
    return Further("", value, value - down * se, value + up * se, min(sum(tails), 1.0), se, 0, test)
