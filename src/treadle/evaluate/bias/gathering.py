"""From held-out rows to what bias is judged on. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from treadle.evaluate.bias.asking import WHERE, Asked, asked
from treadle.evaluate.bias.judging import judge
from treadle.evaluate.bias.measures import Codes, Floats
from treadle.evaluate.bias.sample import Grouping, Numbers, Sample
from treadle.evaluate.holdout import Column, Holdout
from treadle.evaluate.models.grouping import Combined, coded, combined, named
from treadle.evaluate.models.measures import measured
from treadle.evaluate.types import Verdict
from treadle.kernel.config import BiasCheck, Config
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean


def verdicts(
    config: Config,
    holdout: Holdout,
    candidate: npt.ArrayLike,
    production: npt.ArrayLike | None,
    threshold: float,
    rng: np.random.Generator,
    baseline: str = "production",
) -> list[Verdict]:
    """All verdicts of ``[checks.bias]`` on a candidate; none where it declares no groups.

    Args:
        config: Says what has to be alike.
        holdout: The rows.
        candidate: The candidate's scores, which have been looked through: probabilities (a column a class
            where there are several), or predicted numbers.
        production: Production's, which have been looked through; None where nothing is in production.
        threshold: From which probability on a row is selected.
        rng: For the comparison with production.
        baseline: What production is called.

    Raises:
        ConfigError: If it asks what a model of the task can't be asked.
        InvalidInput: If the group that others are to be compared with isn't among the rows.
    """
    check = config.checks.bias
    if not check.by and not check.intersections:
        return []
    ours = _floats(candidate)
    theirs = None if production is None else _floats(production)
    wanted = asked(config, ours.shape[1] if ours.ndim == 2 else 0)
    found = list(groupings(check, holdout.columns))
    samples = list(_samples(config, wanted, holdout, ours, theirs, threshold))
    return judge(wanted, found, samples, config.checks.performance.confidence, rng, baseline)


def _samples(
    config: Config, wanted: Asked, holdout: Holdout, ours: Floats, theirs: Floats | None, threshold: float
) -> Iterator[Sample | Numbers]:
    """What is judged: decisions for one class or each, or numbers."""
    labels, clusters, strata = _floats(holdout.labels), holdout.clusters, _strata(config.checks.bias, holdout)
    if config.project.task == "regression":
        yield Numbers(labels, ours, theirs, measured(config.checks.performance), clusters)
    elif config.project.task == "binary":
        before = None if theirs is None else theirs >= threshold
        yield Sample(labels, ours, ours >= threshold, before, clusters, strata)
    for place, name in wanted.classes:
        before = None if theirs is None else theirs.argmax(axis=1) == place
        right = (labels == place).astype(np.float64)
        yield Sample(right, ours[:, place], ours.argmax(axis=1) == place, before, clusters, strata, name)


def groupings(check: BiasCheck, columns: Mapping[str, Column]) -> Iterator[Grouping]:
    """The rows by each column, and by each combination of columns.

    Raises:
        InvalidInput: If the group that others are to be compared with isn't among the rows.
    """
    for name in check.reference:
        if name not in columns:
            raise InvalidInput(
                f"no groups are by {name!r}", where=f"{WHERE} reference", fix=did_you_mean(name, columns)
            )
    known = {name: coded(name, columns[name], len(columns[name])) for name in columns}
    for names in [*([name] for name in check.by), *check.intersections]:
        yield _grouping(check, names, combined([known[name] for name in names]))


def _grouping(check: BiasCheck, names: Sequence[str], found: Combined) -> Grouping:
    known, codes = found
    wanted = [check.reference.get(name) for name in names]
    sizes = np.bincount(codes, minlength=len(known))
    fitting = [
        place
        for place, values in enumerate(known)
        if all(want in (None, value) for want, value in zip(wanted, values, strict=True))
    ]
    if not fitting:
        asked_for = {n: w for n, w in zip(names, wanted, strict=True) if w is not None}
        said = named(list(asked_for), list(asked_for.values()))
        there = {value for values in known for value in values}
        raise InvalidInput(
            f"no row is of {said}, with which others are to be compared",
            where=f"{WHERE} reference",
            fix=did_you_mean(next(w for w in wanted if w is not None), there),
        )
    reference = max(fitting, key=lambda place: int(sizes[place]))
    return Grouping(", ".join(names), [named(names, values) for values in known], codes, reference)


def _strata(check: BiasCheck, holdout: Holdout) -> Codes | None:
    if not check.given:
        return None
    rows = len(holdout.labels)
    return combined([coded(name, holdout.columns[name], rows) for name in check.given]).codes


def _floats(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
