"""The smallest gaps between groups that held-out rows can show, before anything was scored. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from treadle.evaluate.bias.gathering import groupings
from treadle.evaluate.bias.judging import Grouping
from treadle.evaluate.bias.measures import PARTS, Rows
from treadle.evaluate.holdout import Holdout
from treadle.evaluate.rules import POWER
from treadle.evaluate.types import Planned
from treadle.kernel.config import BiasCheck, Config


def plan(config: Config, holdout: Holdout) -> Iterator[Planned]:
    """What ``[checks.bias]`` will test on some held-out rows; nothing where it declares no groups.

    A rate is taken for one half, where chance is largest. Of rows that stand or fall together nothing
    is said of what can be found, as that depends on how alike they are.

    Raises:
        InvalidInput: If the group that others are to be compared with isn't among the rows.
    """
    check, labels = config.checks.bias, np.asarray(holdout.labels) == 1
    for grouping in groupings(check, holdout.columns):
        yield from _plan(check, grouping, labels, config.checks.performance.confidence, holdout)


def _plan(
    check: BiasCheck, grouping: Grouping, labels: Rows, confidence: float, holdout: Holdout
) -> Iterator[Planned]:
    from scipy.special import ndtri

    reach = float(ndtri(confidence) + ndtri(POWER))
    reference = grouping.codes == grouping.reference
    for place, name in enumerate(grouping.names):
        group = grouping.codes == place
        if place == grouping.reference or group.sum() < check.min_rows:
            continue
        for measure in check.measures:
            for rate in PARTS.get(measure, ()):
                among = _among(rate, labels)
                sizes = [int((each & among).sum()) for each in (group, reference)]
                gap = None
                if holdout.clusters is None and min(sizes):
                    gap = reach * math.sqrt(sum(0.25 / size for size in sizes))
                yield _planned(check, f"bias.{measure}", name, rate, grouping, sum(sizes), gap)


def _among(rate: str, labels: Rows) -> Rows:
    """Of which rows a rate is taken, as far as that is known without decisions."""
    if rate == "true positive rate":
        return labels
    return ~labels if rate == "false positive rate" else np.ones(len(labels), dtype=bool)


def _planned(
    check: BiasCheck, named: str, name: str, rate: str, grouping: Grouping, n: int, gap: float | None
) -> Planned:
    limit, beside = check.max_difference, grouping.names[grouping.reference]
    said = f"{name}: {rate} within {limit:g} of that of {beside}, on {n:,} rows"
    can = f": {gap:.3g} from the limit is told nine times in ten (at rates near one half)" if gap else ""
    return Planned(
        check=named,
        subject=name,
        hypothesis=f"the {rate} differs by no more than {limit:g}",
        sentence=f"{said}{can}.",
        n=n,
        detectable=gap,
        enough=None if gap is None else gap <= limit,
    )
