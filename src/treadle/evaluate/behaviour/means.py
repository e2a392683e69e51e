"""The mean over cases, with its uncertainty: the case is what is sampled, not the answer. No I/O.

Several answers to one case are no independent evidence (Miller, arXiv 2411.00640, section 2.2), so that
each case counts as one value, its mean. The standard error is then that of a clustered mean, and Student's t
with one degree of freedom less than cases gives the usual interval (:func:`clustered`).

That interval is too narrow exactly where a gate needs it: if a twentieth of the cases always fails, 30
cases often have none of them, and the true mean lies below the 97.5 % lower bound not in 2.5 % of samples but
in 20 %. Verdicts therefore rest on :class:`Bounds`, which assumes nothing but that values are bounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.rules import POWER
from treadle.evaluate.types import Estimate

Floats = npt.NDArray[np.float64]
Ends = tuple[float, float]

SHARE: Ends = (0.0, 1.0)
DIFFERENCE: Ends = (-1.0, 1.0)
_DRAWS = 20_000
_FEWEST_DRAWS = 4000
_NUMBERS = 4_000_000
_CHUNK = 2_000_000
_MOST_CASES = 10**9


def means(answers: Sequence[Floats]) -> Floats:
    """Each case's mean over its answers.

    Args:
        answers: The values of each case's answers; a case without any is left out.
    """
    return np.array([values.mean() for values in answers if len(values)], dtype=np.float64)


def clustered(values: Floats, confidence: float) -> Estimate:
    """The mean of cases' values with a clustered standard error and Student's interval, C - 1 degrees.

    Args:
        values: One value a case.
        confidence: Of the two-sided interval.

    Returns:
        The estimate; with one case its standard error is infinite.
    """
    count = len(values)
    value = float(values.mean())
    if count < 2:
        return Estimate(value, math.inf, -math.inf, math.inf, count, count, 0.0)
    from scipy.special import stdtrit

    se = float(values.std(ddof=1)) / math.sqrt(count)
    width = float(stdtrit(count - 1, (1 + confidence) / 2)) * se
    return Estimate(value, se, value - width, value + width, count, count, count - 1.0)


class Bounds:
    """One-sided bounds for a mean of bounded values that hold whatever their distribution.

    Gaffke's bound (Mathematical Methods of Statistics 14, 2005; Learned-Miller and Thomas,
    arXiv 1905.06208): the mean of the values and of one more at the worse end, weighted by
    Dirichlet(1, ..., 1), has the bound as its quantile. Of values that are only 0 or 1 it is Clopper and
    Pearson's; of many values it is that of the normal distribution. That it holds for every distribution is
    proven for two values and conjectured in general; no counterexample is known.

    Args:
        values: One value a case.
        ends: Between which they lie.
        seed: Of the draws; the same values in another order have the same bounds.
        draws: How many; chosen by how many different values there are when None. Two values need none.
    """

    def __init__(self, values: Floats, ends: Ends = SHARE, seed: int = 0, draws: int | None = None) -> None:
        self._ends = ends
        self._unique, self._counts = np.unique(values, return_counts=True)
        self._seed = seed
        self._draws = draws or min(_DRAWS, max(_FEWEST_DRAWS, _NUMBERS // len(self._unique)))
        self._drawn: dict[float, Floats] = {}

    def lower(self, alpha: float) -> float:
        """Below which the mean lies in at most a share ``alpha`` of samples."""
        return self._quantile(self._ends[0], alpha)

    def upper(self, alpha: float) -> float:
        """Above which the mean lies in at most a share ``alpha`` of samples."""
        return self._quantile(self._ends[1], 1 - alpha)

    def p_below(self, line: float) -> float:
        """The p-value of the hypothesis that the mean is at least ``line``: small if it is surely less."""
        return self._share(self._ends[1], line, above=True)

    def p_above(self, line: float) -> float:
        """The p-value of the hypothesis that the mean is at most ``line``: small if it is surely more."""
        return self._share(self._ends[0], line, above=False)

    def _two(self, end: float) -> tuple[float, float, int, int] | None:
        """The two values that there are with an end, and how often each; None if there are more."""
        low, high = (float(one) for one in np.sort([*self._unique, end])[[0, -1]])
        if not set(self._unique.tolist()) <= {low, high}:
            return None
        count = dict(zip(self._unique.tolist(), self._counts.tolist(), strict=True))
        more = {low: 0, high: 0} | {end: 1}
        return low, high, count.get(low, 0) + more[low], count.get(high, 0) + more[high]

    def _quantile(self, end: float, share: float) -> float:
        if two := self._two(end):
            low, high, lows, highs = two
            if low == high:
                return low
            if not lows or not highs:
                return high if highs else low
            from scipy.special import betaincinv

            return low + (high - low) * float(betaincinv(highs, lows, share))
        return float(np.quantile(self._draw(end), share))

    def _share(self, end: float, line: float, *, above: bool) -> float:
        if two := self._two(end):
            low, high, lows, highs = two
            place = min(max((line - low) / (high - low), 0.0), 1.0) if high > low else float(line > low)
            if not lows or not highs or low == high:
                certain = high if highs else low
                return float(certain >= line if above else certain <= line)
            from scipy.special import betainc

            below = float(betainc(highs, lows, place))
            return 1 - below if above else below
        drawn = self._draw(end)
        count = int((drawn >= line).sum() if above else (drawn <= line).sum())
        return (count + 1) / (len(drawn) + 1)

    def _draw(self, end: float) -> Floats:
        if end not in self._drawn:
            rng = np.random.default_rng(self._seed)
            step = max(_CHUNK // len(self._unique), 1)
            parts = []
            for start in range(0, self._draws, step):
                size = min(step, self._draws - start)
                weights = rng.standard_gamma(self._counts, size=(size, len(self._counts)))
                extra = rng.standard_exponential(size)
                parts.append((weights @ self._unique + extra * end) / (weights.sum(axis=1) + extra))
            self._drawn[end] = np.concatenate(parts)
        return self._drawn[end]


def estimate(values: Floats, alpha: float, ends: Ends = SHARE, seed: int = 0) -> tuple[Estimate, Bounds]:
    """The mean over cases with both one-sided bounds at level ``alpha``, and what they come from.

    Args:
        values: One value a case; at least one.
        alpha: Of each bound.
        ends: Between which the values lie.
        seed: Of the draws of the bounds.
    """
    found = clustered(values, 1 - 2 * alpha)
    bounds = Bounds(values, ends, seed)
    low, high = bounds.lower(alpha), bounds.upper(alpha)
    return Estimate(found.value, found.se, low, high, found.n, found.clusters, found.df), bounds


def fewest_cases(value: float, line: float, alpha: float, ends: Ends = SHARE) -> int | None:
    """How many cases a bound needs to clear a line if every case has the same value.

    With ``n`` values that are all ``v`` the lower bound is ``a + (v - a) alpha^(1/n)``, where ``a`` is the
    lower end; the upper one likewise.

    Args:
        value: The value.
        line: What is to be cleared.
        alpha: Error level of the bound.
        ends: Between which values lie.

    Returns:
        How many; None where no number would.
    """
    above = value > line
    near, far = (line - ends[0], value - ends[0]) if above else (ends[1] - line, ends[1] - value)
    if value == line or near <= 0 or far <= near:
        return None if value == line or far <= near else 1
    return math.ceil(math.log(alpha) / math.log(near / far))


def needed_cases(found: Estimate, line: float, alpha: float, ends: Ends = SHARE) -> int | None:
    """How many cases would probably have decided on which side of a line the mean lies.

    So many that the bound clears the line in nine samples of ten, if mean and spread stay what they are.

    Args:
        found: The mean over the cases at hand.
        line: What is to be cleared.
        alpha: Error level of the bound.
        ends: Between which values lie.
    """
    from scipy.special import ndtri

    least = fewest_cases(found.value, line, alpha, ends)
    if least is None:
        return None
    end = ends[0] if found.value > line else ends[1]
    spread = found.se * math.sqrt(found.n) if 0 < found.se < math.inf else 0.0
    reach = float(ndtri(1 - alpha) + ndtri(POWER)) * spread
    count = max(least, found.n + 1)
    # The bound's centre is that of the values and of one more at the worse end.
    while abs(found.value - line) * count - abs(end - line) < reach * (count + 1) / math.sqrt(count):
        count = math.ceil(count * 1.02) + 1
        if count > _MOST_CASES:
            return None
    return count


class Spread(NamedTuple):
    """Where answers differ.

    Attributes:
        between: The variance of cases' true means.
        within: The variance of answers to one case.
        repeats: How many answers a case has, on average.
    """

    between: float
    within: float
    repeats: float

    @property
    def correlation(self) -> float | None:
        """The correlation of two answers to one case; None where nothing varies."""
        whole = self.between + self.within
        return self.between / whole if whole > 0 else None


def spread(answers: Sequence[Floats]) -> Spread | None:
    """The components of variance, by one-way analysis of variance (Searle, Casella and McCulloch, 1992).

    Args:
        answers: The values of each case's answers.

    Returns:
        The components, none below 0; None for fewer than two cases, or where no case has two answers.
    """
    filled = [values for values in answers if len(values)]
    sizes = np.array([len(values) for values in filled])
    total = int(sizes.sum())
    if len(filled) < 2 or total == len(filled):
        return None
    middle = means(filled)
    grand = float(np.concatenate(filled).mean())
    inside = float(sum(((values - values.mean()) ** 2).sum() for values in filled)) / (total - len(filled))
    outside = float((sizes * (middle - grand) ** 2).sum()) / (len(filled) - 1)
    size = (total - float((sizes**2).sum()) / total) / (len(filled) - 1)
    return Spread(max((outside - inside) / size, 0.0), inside, total / len(filled))


def needed_repeats(found: Spread, cases: int, distance: float, alpha: float) -> int | None:
    """How many answers to each of the cases at hand would probably have decided.

    Args:
        found: Where answers differ.
        cases: How many cases there are.
        distance: From the estimate to the line that decides.
        alpha: One-sided error level of the decision.

    Returns:
        How many; None where no number would, for the cases themselves differ too much.
    """
    from scipy.special import ndtri

    if distance == 0:
        return None
    variance = (abs(distance) / float(ndtri(1 - alpha) + ndtri(POWER))) ** 2
    room = cases * variance - found.between
    if room <= 0:
        return None
    return max(math.ceil(found.within / room), math.floor(found.repeats) + 1)


def standard_error(rate: float, cases: int, repeats: int, correlation: float) -> float:
    """What the standard error of a pass rate will be.

    ``sqrt(p (1 - p) (1 + (K - 1) rho) / (C K))``: the design effect of clusters of equal size.

    Args:
        rate: The true pass rate.
        cases: How many cases.
        repeats: How many answers to each.
        correlation: Of two answers to one case.
    """
    return math.sqrt(rate * (1 - rate) * (1 + (repeats - 1) * correlation) / (cases * repeats))
