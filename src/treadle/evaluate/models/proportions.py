"""Tests and intervals of proportions: of one model's, and of two models' on the same rows.

Of two models only the rows count on which one is right and the other is not: ``gained`` rows, which
the candidate alone has right, and ``lost`` rows, which production alone has right.

Sources: Clopper & Pearson, Biometrika 26 (1934); Tango, Statistics in Medicine 17 (1998), 891-908, and
its closed form for the constrained estimate; McNemar, Psychometrika 12 (1947), by the binomial.
"""

from __future__ import annotations

import math


def exact_interval(count: int, n: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share: never too narrow, however few the rows.

    Args:
        count: How many have it.
        n: Of how many.
        confidence: Of the two-sided interval.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return low, high


def mcnemar_worse(gained: int, lost: int) -> float:
    """McNemar's exact one-sided p-value that the candidate is no worse: small when it is worse.

    The chance of so few gains among the rows on which the two differ, if gains and losses were
    equally likely.
    """
    from scipy.special import bdtr

    return 1.0 if gained + lost == 0 else float(bdtr(gained, gained + lost, 0.5))


def score_statistic(gained: int, lost: int, n: int, line: float) -> float:
    """Tango's score statistic that the difference of two paired proportions is ``line``.

    Standard normal where it is; above 0 where the difference seen is larger.

    Args:
        gained: Rows that only the candidate has right.
        lost: Rows that only production has right.
        n: All rows.
        line: The difference that is tested, from -1 to 1.
    """
    distance = gained - lost - n * line
    if distance == 0:
        return 0.0
    # The share of losses, estimated under the hypothesis: the larger root of 2n q^2 + b q + c.
    b = -gained - lost + (2 * n - gained + lost) * line
    c = -lost * line * (1 - line)
    losses = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * losses + line * (1 - line))
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def score_interval(gained: int, lost: int, n: int, confidence: float) -> tuple[float, float]:
    """Tango's score interval for the difference of two paired proportions, candidate minus production.

    It keeps its level with few differing rows, and with none: then it is as wide as what n rows
    without a difference leave open.

    Args:
        gained: Rows that only the candidate has right.
        lost: Rows that only production has right.
        n: All rows.
        confidence: Of the two-sided interval.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    return -_upper(lost, gained, n, z), _upper(gained, lost, n, z)


def _upper(gained: int, lost: int, n: int, z: float) -> float:
    """Where the score statistic is -z: it falls as the line rises."""
    if gained == n:
        return 1.0
    from scipy.optimize import brentq

    middle = (gained - lost) / n
    found = brentq(lambda line: score_statistic(gained, lost, n, line) + z, middle, 1.0, xtol=1e-12)
    return float(found)
