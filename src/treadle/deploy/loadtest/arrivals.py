"""When requests of a load test are to be sent. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from treadle.deploy.loadtest.types import Arrivals


def arrivals(
    kind: Arrivals, rate: float, seconds: float, warmup: float, seed: int
) -> npt.NDArray[np.float64]:
    """When each request is to be sent, in seconds; the warm-up's come before 0.

    Args:
        kind: At random (a Poisson process) or at even distances.
        rate: Requests a second.
        seconds: For how long.
        warmup: Seconds before that.
        seed: Of the random arrivals.
    """
    span = warmup + seconds
    if kind == "constant":
        return np.arange(int(span * rate)) / rate - warmup
    draw = np.random.default_rng(seed)
    # Given how many there are, the moments of a Poisson process are evenly spread.
    return np.sort(draw.uniform(-warmup, seconds, draw.poisson(rate * span)))
