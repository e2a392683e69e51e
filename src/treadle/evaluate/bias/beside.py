"""Whether a candidate's rates are further from the reference group's than production's. No I/O.

Of each group, the counts of (label, candidate's decision, production's decision) are all that the
bootstrap needs: a resample is a multinomial draw over eight cells, however many rows there are.
Where rows stand or fall together, whole clusters are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from treadle.evaluate.bias.measures import PARTS, Codes, Floats
from treadle.kernel.config.checks import BiasCheck

if TYPE_CHECKING:
    from treadle.evaluate.bias.judging import Grouping, Sample

RESAMPLES = 10_000
_CLUSTERED = 2_000
_CELLS = 8
_MOST = 4_000_000  # numbers in memory at once


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
    """

    rate: str
    value: float
    low: float
    high: float
    p_value: float
    se: float
    n: int


def further(
    check: BiasCheck,
    grouping: Grouping,
    places: Sequence[int],
    sample: Sample,
    confidence: float,
    rng: np.random.Generator,
) -> Iterator[tuple[str, Further]]:
    """The growth of each measured rate's distance from the reference group's, group by group.

    Intervals are the bootstrap's percentiles, two one-sided bounds at ``confidence``.
    """
    assert sample.production is not None  # noqa: S101 - nothing to be further than
    cells = (
        4 * (sample.labels == 1)
        + 2 * (sample.scores >= sample.threshold)
        + (sample.production >= sample.threshold)
    ).astype(np.intp)
    rates = dict.fromkeys(rate for measure in check.measures for rate in PARTS.get(measure, ()))
    chosen = [grouping.reference, *places]
    drawn = _drawn(cells, grouping.codes, chosen, sample.clusters, rng)
    reference = drawn[0]
    for place, mine in zip(places, drawn[1:], strict=True):
        for rate in rates:
            growth = _growth(rate, mine, reference)
            if np.isnan(growth[0]):
                continue  # a rate that isn't defined was told beside the reference group
            found = _summary(rate, growth, check.margin, confidence, int(mine[0].sum() + reference[0].sum()))
            yield grouping.names[place], found


def _drawn(
    cells: Codes, codes: Codes, chosen: Sequence[int], clusters: Codes | None, rng: np.random.Generator
) -> list[Floats]:
    """Counts of cells of each group: as they are in the first row, resampled in the others."""
    counts = [np.bincount(cells[codes == place], minlength=_CELLS) for place in chosen]
    if clusters is None:
        drawn = [rng.multinomial(each.sum(), each / each.sum(), size=RESAMPLES) for each in counts]
    else:
        drawn = _clusters_drawn(cells, codes, chosen, clusters, rng)
    return [np.vstack([each, more]).astype(np.float64) for each, more in zip(counts, drawn, strict=True)]


def _clusters_drawn(
    cells: Codes, codes: Codes, chosen: Sequence[int], clusters: Codes, rng: np.random.Generator
) -> list[Codes]:
    """Whole clusters drawn with replacement, the same for every group: one may have rows of several."""
    number = np.unique(clusters, return_inverse=True)[1]
    many, wide = int(number.max()) + 1, len(chosen) * _CELLS
    table = np.zeros((many, wide), dtype=np.int64)
    for at, place in enumerate(chosen):
        rows = codes == place
        np.add.at(table, (number[rows], at * _CELLS + cells[rows]), 1)
    batch = max(1, _MOST // many)
    drawn = [
        rng.multinomial(many, np.full(many, 1 / many), size=min(batch, _CLUSTERED - done)) @ table
        for done in range(0, _CLUSTERED, batch)
    ]
    return np.split(np.vstack(drawn), len(chosen), axis=1)


def _growth(rate: str, mine: Floats, reference: Floats) -> Floats:
    """By how much the candidate's distance exceeds production's, in each resample."""
    distances = []
    for bit in (2, 1):
        shares = [_share(rate, counts, bit) for counts in (mine, reference)]
        distances.append(np.abs(shares[0] - shares[1]))
    return np.asarray(distances[0] - distances[1])


def _share(rate: str, counts: Floats, bit: int) -> Floats:
    places = np.arange(_CELLS)
    label, decided = places >= 4, (places & bit) > 0
    of = {"selection rate": np.ones(_CELLS, bool), "true positive rate": label, "false positive rate": ~label}
    among = of.get(rate, decided)
    counted = among & (label if rate == "precision" else decided)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(counts[:, counted].sum(axis=1) / counts[:, among].sum(axis=1))


def _summary(rate: str, growth: Floats, margin: float, confidence: float, n: int) -> Further:
    value, drawn = float(growth[0]), growth[1:][~np.isnan(growth[1:])]
    low, high = np.quantile(drawn, [1 - confidence, confidence])
    p_value = (1 + int((drawn <= margin).sum())) / (1 + len(drawn))
    return Further(rate, value, float(low), float(high), p_value, float(drawn.std()), n)
