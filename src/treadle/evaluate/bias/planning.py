"""The smallest gaps between groups that held-out rows can show, before anything was scored. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from treadle.evaluate.bias.asking import Asked, asked
from treadle.evaluate.bias.gathering import groupings
from treadle.evaluate.bias.measures import PARTS, Rows
from treadle.evaluate.bias.sample import Grouping
from treadle.evaluate.holdout import Holdout
from treadle.evaluate.rules import POWER
from treadle.evaluate.types import Planned
from treadle.kernel.config import Config


def plan(config: Config, holdout: Holdout) -> Iterator[Planned]:
    """What ``[checks.bias]`` will test on some held-out rows; nothing where it declares no groups.

    A rate is taken for one half, where chance is largest. Of rows that stand or fall together nothing
    is said of what can be found, as that depends on how alike they are; nor of means of predicted numbers.

    Raises:
        ConfigError: If it asks what a model of the task can't be asked.
        InvalidInput: If the group that others are to be compared with isn't among the rows.
    """
    check = config.checks.bias
    if not check.by and not check.intersections:
        return
    labels = np.asarray(holdout.labels)
    several = config.project.task == "multiclass"
    wanted = asked(config, int(labels.max()) + 1 if several else 0)
    if config.project.task == "regression":
        rates = [("demographic_parity", "mean prediction"), ("equal_loss", config.checks.performance.metric)]
        tested = [
            (f"bias.{one}", rate, rate, np.ones(len(labels), dtype=bool))
            for one, rate in rates
            if one in wanted.measures
        ]
    else:
        tested = [
            (f"bias.{measure}", rate, f"{rate} of {name}" if name else rate, labels == place)
            for place, name in wanted.classes or [(1, "")]
            for measure in wanted.measures
            for rate in PARTS.get(measure, ())
        ]
    for grouping in groupings(check, holdout.columns):
        yield from _plan(wanted, grouping, tested, config, holdout)


def _plan(
    wanted: Asked,
    grouping: Grouping,
    tested: Sequence[tuple[str, str, str, Rows]],
    config: Config,
    holdout: Holdout,
) -> Iterator[Planned]:
    from scipy.special import ndtri

    reach = float(ndtri(config.checks.performance.confidence) + ndtri(POWER))
    reference = grouping.codes == grouping.reference
    numbers = config.project.task == "regression"
    for place, name in enumerate(grouping.names):
        group = grouping.codes == place
        if place == grouping.reference or group.sum() < wanted.min_rows:
            continue
        for check, rate, named, labels in tested:
            among = _among(rate, labels)
            sizes = [int((each & among).sum()) for each in (group, reference)]
            gap = None
            if holdout.clusters is None and min(sizes) and not numbers:
                gap = reach * math.sqrt(sum(0.25 / size for size in sizes))
            yield _planned(wanted, check, name, named, grouping, sum(sizes), gap)


def _among(rate: str, labels: Rows) -> Rows:
    """Of which rows a rate is taken, as far as that is known without decisions."""
    if rate == "true positive rate":
        return labels
    return ~labels if rate == "false positive rate" else np.ones(len(labels), dtype=bool)


def _planned(
    wanted: Asked, named: str, name: str, rate: str, grouping: Grouping, n: int, gap: float | None
) -> Planned:
    limit, beside = wanted.max_difference, grouping.names[grouping.reference]
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
