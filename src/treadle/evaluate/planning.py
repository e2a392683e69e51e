"""What checks will test, and how much is at hand for it: known before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy.typing as npt

from treadle.evaluate import performance
from treadle.evaluate.bias.planning import plan as plan_bias
from treadle.evaluate.holdout import Holdout
from treadle.evaluate.types import Planned
from treadle.kernel.config import Config
from treadle.kernel.engine import Engine


def plan_data(
    engine: Engine, config: Config, data: Sequence[Path], reference: Sequence[Path] | None
) -> list[Planned]:
    """The checks of ``[checks.data]``; only the number of rows is asked of them.

    Raises:
        CorruptData: If a file can't be read.
    """
    [(rows,)] = engine.rows("SELECT count(*) FROM t", tables={"t": list(data)})
    return list(_of_data(config, rows, compared=reference is not None))


def _of_data(config: Config, rows: int, *, compared: bool) -> Iterator[Planned]:
    checks, (train, dataset) = config.checks.data, config.training
    columns = [*train.features, str(dataset.label)]
    yield _sure("schema", "columns", f"{len(columns)} columns are there and hold the right kind", rows)
    yield _sure("min_rows", "rows", f"there are at least {checks.min_rows:,} rows", rows)
    yield _sure("nulls", "columns", "no more is missing than `max_null` allows", rows)
    for check, named in (("unique", checks.unique), ("ranges", checks.ranges), ("values", checks.values)):
        for name in named:
            yield _sure(check, name, f"{name} keeps to `{check}`", rows)
    if checks.min_class_share is not None:
        yield _sure(
            "min_class_share", columns[-1], f"the rarer class has at least {checks.min_class_share:g}", rows
        )
    if compared:
        yield _sure(
            "null_increase", "columns", f"no more than {checks.max_null_increase:g} more is missing", rows
        )


def plan_model(
    config: Config, holdout: Holdout, baseline: str | None, production: npt.ArrayLike | None = None
) -> list[Planned]:
    """The checks of ``[checks.performance]``, ``[checks.groups]`` and ``[checks.bias]`` on held-out rows.

    Args:
        config: Says what is asked.
        holdout: The rows.
        baseline: What the candidate will be compared with, if anything.
        production: Its scores on the rows, where they are at hand.

    Raises:
        InvalidInput: If labels, groups or scores can't be used.
    """
    return [*performance.plan(config.checks, holdout, production, baseline), *plan_bias(config, holdout)]


def _sure(check: str, subject: str, hypothesis: str, n: int) -> Planned:
    return Planned(
        check=check, subject=subject, hypothesis=hypothesis, sentence=f"{hypothesis}, on {n:,} rows.", n=n
    )
