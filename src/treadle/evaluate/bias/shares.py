"""Two independent shares: score tests of their difference and ratio, and the intervals that invert them.

Sources: Miettinen and Nurminen, Statistics in Medicine 4 (1985), for both score statistics and
the factor N / (N - 1); Farrington and Manning, Statistics in Medicine 9 (1990), for tests at
limits other than 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


class Share(NamedTuple):
    """A count among rows.

    Attributes:
        x: How many.
        n: Of how many; at least one.
    """

    x: int
    n: int

    @property
    def value(self) -> float:
        """The share."""
        return self.x / self.n


def difference_z(one: Share, other: Share, limit: float) -> float:
    """The score statistic of the hypothesis that the shares differ by ``limit``; 0 where it says nothing."""
    n = one.n + other.n
    held = _held_apart(one, other, limit)
    variance = _spread(held + limit, one.n) + _spread(held, other.n)
    return _standardised(one.value - other.value - limit, variance * n / (n - 1))


def ratio_z(one: Share, other: Share, limit: float) -> float:
    """The score statistic of the hypothesis that the shares' ratio is ``limit``; 0 where it says nothing."""
    n = one.n + other.n
    held = _held_in_ratio(one, other, limit)
    variance = _spread(limit * held, one.n) + limit**2 * _spread(held, other.n)
    return _standardised(one.value - limit * other.value, variance * n / (n - 1))


def difference_interval(one: Share, other: Share, confidence: float) -> tuple[float, float]:
    """The two-sided score interval of a difference of shares."""
    value = one.value - other.value
    return _inverted(lambda limit: difference_z(one, other, limit), value, (-1.0, 1.0), confidence)


def ratio_interval(one: Share, other: Share, confidence: float) -> tuple[float, float]:
    """The two-sided score interval of a ratio of shares; up to infinity where the other may be 0."""
    # On the scale of angles: 0 is a ratio of 0, a right angle one of infinity.
    value = math.atan2(one.value, other.value)
    low, high = _inverted(
        lambda angle: ratio_z(one, other, math.tan(angle)), value, (0.0, math.pi / 2), confidence
    )
    return math.tan(low), math.inf if high >= math.pi / 2 - 1e-9 else math.tan(high)


def _held_apart(one: Share, other: Share, limit: float) -> float:
    """The other share's likeliest value when the shares differ by ``limit``: a root of a cubic."""
    n, x = one.n + other.n, one.x + other.x
    b = ((one.n + 2 * other.n) * limit - n - x) / n
    c = ((other.n * limit - n - 2 * other.x) * limit + x) / n
    d = other.x * limit * (1 - limit) / n
    q = (b / 3) ** 3 - b * c / 6 + d / 2
    p = math.copysign(math.sqrt(max((b / 3) ** 2 - c / 3, 0.0)), q)
    ratio = q / p**3 if p else 0.0
    found = 2 * p * math.cos((math.pi + math.acos(min(1.0, max(-1.0, ratio)))) / 3) - b / 3
    return min(max(found, 0.0, -limit), 1.0, 1.0 - limit)


def _held_in_ratio(one: Share, other: Share, limit: float) -> float:
    """The other share's likeliest value when the shares' ratio is ``limit``."""
    a = (one.n + other.n) * limit
    b = one.n * limit + one.x + other.n + other.x * limit
    c = one.x + other.x
    # The smaller root, written so that large limits don't cancel out.
    found = 2 * c / (b + math.sqrt(max(b * b - 4 * a * c, 0.0)))
    return min(found, 1.0, 1.0 / limit if limit else 1.0)


def _spread(share: float, n: int) -> float:
    return max(share * (1 - share), 0.0) / n


def _standardised(effect: float, variance: float) -> float:
    if abs(effect) < 1e-12:
        return 0.0
    return effect / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, effect)


def _inverted(
    z: Callable[[float], float], value: float, ends: tuple[float, float], confidence: float
) -> tuple[float, float]:
    """The limits that a two-sided test doesn't reject; z falls as the limit grows."""
    from scipy.optimize import brentq
    from scipy.special import ndtri

    reach, inside = float(ndtri((1 + confidence) / 2)), 1e-10
    found = []
    for end, aim in ((ends[0] + inside, reach), (ends[1] - inside, -reach)):
        beyond = z(end)
        if (beyond <= aim) if aim > 0 else (beyond >= aim):
            found.append(end - inside if aim > 0 else end + inside)
        else:
            found.append(float(brentq(lambda limit, aim=aim: z(limit) - aim, *sorted((end, value)))))
    return found[0], found[1]
