"""What verdicts add up to, and the tests on shares that they rest on. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from treadle.evaluate.skewness import NONE, Tilt, reaches
from treadle.evaluate.types import Outcome, Verdict

POWER = 0.9
VERSION = version("treadle")
"""Of what judges: kept with every verdict."""


_WORST_FIRST: tuple[Outcome, ...] = ("fail", "inconclusive", "warn")


def aggregate(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of all: fail, else inconclusive, else warn, else pass (also when there are none)."""
    found = set(outcomes)
    return next((outcome for outcome in _WORST_FIRST if outcome in found), "pass")


def together(verdicts: Iterable[Verdict]) -> Outcome:
    """What verdicts add up to; exploratory ones, which nobody had declared, decide nothing."""
    return aggregate(verdict.outcome for verdict in verdicts if not verdict.exploratory)


def against(low: float, high: float, bound: float) -> Outcome:
    """Whether an interval lies at or above a bound (pass), below it (fail), or on both sides."""
    return "pass" if low >= bound else "fail" if high < bound else "inconclusive"


def needed(
    n: int, distance: float, se: float, alpha: float, df: float = math.inf, tilted: Tilt = NONE
) -> int | None:
    """How many units would probably have decided, if the estimate stays what it is.

    ``n * ((z_alpha + z_beta) * se / distance)^2`` with 90 % power: so many that a one-sided
    bound at level 1 - alpha clears the line in nine samples of ten, for an estimate that
    truly lies this far from it. None when the estimate lies on the line, where no number would.

    Args:
        n: The units at hand.
        distance: From the estimate to the line that decides.
        se: Standard error of the estimate with ``n`` units.
        alpha: One-sided error level of the decision.
        df: Degrees of freedom of the standard error, where units are few clusters: they grow as the
            units do, and the quantiles are Student's.
        tilted: The estimate's skewness, which widens the bound and fades as units grow.
    """
    if distance == 0:
        return None
    from scipy.special import ndtri, stdtrit

    def asked(units: int) -> float:
        """How many it takes, if errors are as sure of themselves as those of so many units."""
        then = df * units / n
        down, up = reaches(alpha, then, tilted.of(units / n))
        power = float(ndtri(POWER) if math.isinf(df) else stdtrit(then, POWER))
        return n * (((down if distance > 0 else up) + power) * se / distance) ** 2

    few, enough = n, n + 1
    while enough < asked(enough):
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if asked(middle) <= middle else (middle, enough)
    return enough


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's two-sided score interval for a share (JASA 22, 1927)."""
    from scipy.special import ndtri

    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    share = count / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At 0 and n the interval ends there exactly; rounding must not say otherwise.
    return (0.0 if count == 0 else middle - half), (1.0 if count == n else middle + half)


def share_increase(
    now: tuple[int, int], before: tuple[int, int], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Whether a share has grown: Newcombe's interval for the difference, and a one-sided p-value.

    The interval is Newcombe's hybrid score interval (method 10; Statistics in Medicine 17,
    1998); the p-value is that of the two-proportion z test with pooled variance.

    Args:
        now: Count and rows now.
        before: Count and rows before.
        confidence: Of the two-sided interval.

    Returns:
        Low end, high end and p-value.
    """
    (x, n), (y, m) = now, before
    p, q = x / n, y / m
    (p_low, p_high), (q_low, q_high) = wilson(x, n, confidence), wilson(y, m, confidence)
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    pooled = (x + y) / (n + m)
    se = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    from scipy.special import ndtr

    return low, high, float(ndtr(-(p - q) / se)) if se else 1.0


def hanley_mcneil(auc: float, positive: float, negative: float) -> float:
    """The standard error of an AUC from its value and the sizes of the classes (Radiology 143, 1982)."""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positive - 1) * (one - auc**2) + (negative - 1) * (two - auc**2)
    return math.sqrt(max(variance, 0.0) / (positive * negative))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down procedure, in the order given.

    Rejecting what is at most alpha keeps the chance of any false rejection at most alpha,
    whatever the dependence (Scandinavian Journal of Statistics 6, 1979).
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def stability(before: Sequence[int], after: Sequence[int], level: float) -> tuple[float, float]:
    """How far a distribution over bins moved, and how far chance alone would move it.

    The population stability index, ``sum((p - q) * ln(p / q))`` over bins, with half a row added to
    each. Between independent samples of one distribution it is distributed as
    ``(1 / n + 1 / m) * chi2(bins - 1)`` (Yurdakul and Naranjo, Journal of Risk Model Validation 14,
    2020); of rows that are mostly the same it is smaller.

    Args:
        before: Rows by bin, before; bins that are empty in both are left out.
        after: Rows by bin, after.
        level: The chance to call a move real that is none.

    Returns:
        The index, and what chance exceeds with this level.
    """
    from scipy.stats import chi2

    bins = [(old, new) for old, new in zip(before, after, strict=True) if old or new]
    n, m = sum(old for old, _ in bins), sum(new for _, new in bins)
    if len(bins) < 2 or not n or not m:
        return 0.0, 0.0
    index = 0.0
    for old, new in bins:
        p, q = (old + 0.5) / (n + len(bins) / 2), (new + 0.5) / (m + len(bins) / 2)
        index += (p - q) * math.log(p / q)
    return index, float(chi2.ppf(1 - level, len(bins) - 1)) * (1 / n + 1 / m)
