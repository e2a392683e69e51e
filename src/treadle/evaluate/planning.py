"""What checks will test, and how much is at hand for it: known before anything is spent."""

from __future__ import annotations

import numpy.typing as npt

from treadle.evaluate import performance
from treadle.evaluate.bias.planning import plan as plan_bias
from treadle.evaluate.holdout import Holdout
from treadle.evaluate.types import Planned
from treadle.kernel.config import Config


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
