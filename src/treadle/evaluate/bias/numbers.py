"""Predicted numbers of each group beside those of the reference group. No I/O.

Of a regression nothing is selected, so means are compared: of predictions, and of the loss. Welch's t of
two independent samples, or t by cluster; both by :func:`treadle.evaluate.models.clustering.spread`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from treadle.evaluate.bias import measures
from treadle.evaluate.bias.asking import Asked
from treadle.evaluate.bias.beside import Figure, grown
from treadle.evaluate.bias.measures import Codes, Floats, Rows
from treadle.evaluate.bias.rates import calibrated
from treadle.evaluate.bias.sample import FEW, Found, Further, Grouping, Numbers
from treadle.evaluate.models.clustering import Averaged
from treadle.evaluate.models.linear import linearise
from treadle.evaluate.wording import show

_MEAN = "mean prediction"


def compare(
    asked: Asked, grouping: Grouping, large: Sequence[int], numbers: Numbers, confidence: float
) -> Iterator[Found]:
    """What is found of each group that is large enough; the arguments are as for rates."""
    level, limits = 2 * confidence - 1, (-asked.max_difference, asked.max_difference)
    reference, beside = grouping.codes == grouping.reference, grouping.names[grouping.reference]
    clusters, test = _clusters(numbers)
    for place in large:
        group, name = grouping.codes == place, grouping.names[place]
        if "calibration" in asked.measures:
            yield _calibration(asked, name, group, numbers, level)
        if place == grouping.reference:
            continue
        for check, rate in _means(asked, numbers):
            (mine, ours), (there, theirs) = (
                _figure(rate, numbers, numbers.scores, part) for part in (group, reference)
            )
            parts = [ours, theirs._replace(deviations=-theirs.deviations)]
            gap = measures.apart(mine - there, parts, clusters, asked.max_difference, level)
            told = f"{rate} {show(mine)} against {show(there)} of {beside}"
            n = int(group.sum() + reference.sum())
            yield Found(check, name, rate, told, gap, limits, n, "" if gap else FEW, test)


def further(
    asked: Asked, grouping: Grouping, places: Sequence[int], numbers: Numbers, confidence: float
) -> Iterator[tuple[str, Further]]:
    """The growth of each mean's distance from the reference group's beside production, group by group."""
    assert numbers.production is not None  # noqa: S101 - nothing to be further than
    clusters, _ = _clusters(numbers)
    reference = grouping.codes == grouping.reference
    for place in places:
        group = grouping.codes == place
        for _, rate in _means(asked, numbers):
            mine, there = (
                (
                    _figure(rate, numbers, numbers.scores, part),
                    _figure(rate, numbers, numbers.production, part),
                )
                for part in (group, reference)
            )
            found = grown(mine, there, clusters, asked.margin, confidence)
            n = int(group.sum() + reference.sum())
            test = found.test if numbers.clusters is not None else "paired t, Welch's degrees of freedom"
            yield grouping.names[place], found._replace(rate=rate, n=n, test=test)


def _means(asked: Asked, numbers: Numbers) -> Iterator[tuple[str, str]]:
    """The checks that compare means, and which."""
    if "demographic_parity" in asked.measures:
        yield "bias.demographic_parity", _MEAN
    if "equal_loss" in asked.measures:
        yield "bias.equal_loss", numbers.loss.metric


def _clusters(numbers: Numbers) -> tuple[Codes, str]:
    """The number of each row's cluster, and what the test is called."""
    if numbers.clusters is not None:
        return numbers.clusters, "t, by cluster"
    return np.arange(len(numbers.labels)), "Welch's t"


def _figure(rate: str, numbers: Numbers, scores: Floats, among: Rows) -> Figure:
    """A mean among some rows, and what each contributes to it."""
    weights = among / among.sum()
    if rate == _MEAN:
        value = float(weights @ scores)
        return value, Averaged(weights * (scores - value), weights)
    found = linearise(numbers.loss, numbers.labels[among], scores[among])
    deviations = np.zeros(len(among))
    deviations[among] = found.deviations
    return found.value, Averaged(deviations, weights)


def _calibration(asked: Asked, name: str, group: Rows, numbers: Numbers, level: float) -> Found:
    truth, said = (show(float(values[group].mean())) for values in (numbers.labels, numbers.scores))
    what = f"labels are {truth} on average, and predictions {said}"
    gap = measures.off_calibration(
        numbers.labels, numbers.scores, numbers.clusters, group, asked.max_difference, level
    )
    return calibrated(asked, name, "calibration", what, gap, int(group.sum()))
