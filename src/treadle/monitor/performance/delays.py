"""How long labels take: the share that has come after so long, counting those that may still come. No I/O.

Among labels that are here already short delays are over-represented, because long ones haven't ended
(right truncation): their mean or quantiles flatter. A prediction without a label says that its delay is
longer than its age; the product-limit estimator counts both (Kaplan and Meier, JASA 53, 1958).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.monitor.performance.calibrating import Floats

Bools: TypeAlias = npt.NDArray[np.bool_]


class DelayCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The share of predictions whose label has come after so long.

    Attributes:
        after: Delays at which the share rises, in seconds, increasing.
        share: The share that has come by then, increasing; below 1 where some never come.
        rows: Predictions behind it.
    """

    after: list[float]
    share: list[float]
    rows: int

    @property
    def ever(self) -> float:
        """The share whose label comes at all, as far as can be seen."""
        return self.share[-1] if self.share else 0.0

    def come(self, age: Floats) -> Floats:
        """The share of labels that has come at an age, in seconds, of all predictions."""
        place = np.searchsorted(self.after, age, side="right")
        found: Floats = np.concatenate([[0.0], self.share])[place]
        return found

    def delay(self, share: float) -> float:
        """After how many seconds this share of the labels that ever come has come; infinite without any."""
        reached = np.flatnonzero(np.asarray(self.share) >= share * self.ever * (1 - 1e-12))
        return self.after[int(reached[0])] if len(reached) else float("inf")


def delay_curve(delays: Floats, labelled: Floats) -> DelayCurve:
    """The product-limit estimate of how labels come.

    Args:
        delays: For a prediction with a label how long it took, for one without how old it is; in seconds.
            A label that came before its prediction took 0.
        labelled: 1 for a prediction with a label, 0 for one without.
    """
    times, place = np.unique(np.maximum(delays, 0.0), return_inverse=True)
    came = np.bincount(place, labelled, minlength=len(times))
    gone = np.bincount(place, minlength=len(times))
    waiting = len(delays) - np.cumsum(gone) + gone
    with np.errstate(divide="ignore"):
        share = 1 - np.cumprod(1 - came / waiting)
    rises = came > 0
    return DelayCurve(after=times[rises].tolist(), share=share[rises].tolist(), rows=len(delays))


def ripe(curve: DelayCurve, ages: Floats, needed: float) -> Bools:
    """The predictions that a figure is of: all, or the older ones where the others' labels are still to come.

    As few are left out as need be, and at most half, so that the rest together have the share of labels that
    is needed. Which are left out depends on their age alone.

    Args:
        curve: How labels come.
        ages: How old each prediction is, in seconds.
        needed: The share of the labels that they will ever get that must be there.

    Returns:
        Which these are; all of them where half doesn't have enough labels either.
    """
    everything: Bools = np.ones(len(ages), dtype=np.bool_)
    if not len(ages) or not curve.ever:
        return everything
    oldest, rows = np.unique(ages, return_counts=True)
    oldest, rows = oldest[::-1], np.cumsum(rows[::-1])
    share = np.cumsum(curve.come(oldest) * np.diff(rows, prepend=0)) / rows / curve.ever
    enough = np.flatnonzero(share >= needed * (1 - 1e-12))
    if not len(enough) or 2 * rows[enough[-1]] < len(ages):
        return everything
    chosen: Bools = ages >= oldest[enough[-1]]
    return chosen


def newest(until: datetime, ages: Floats, chosen: Bools) -> datetime | None:
    """When the newest of those that were chosen was asked; None where all were."""
    return None if chosen.all() else until - timedelta(seconds=float(ages[chosen].min()))


def coverage(curve: DelayCurve, ages: Floats) -> float:
    """Which share of the labels that predictions will ever get they have by now, on average.

    Args:
        curve: How labels come.
        ages: How old each prediction is, in seconds.
    """
    if not len(ages) or not curve.ever:
        return 0.0
    return float(curve.come(ages).mean()) / curve.ever
