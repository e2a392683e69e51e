"""Half years of daily gains of a challenger, simulated: false decisions, and days until a gain is found.

Usage: challenger.py WORLDS. Prints a JSON list of rows.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence

import numpy as np

from treadle.retrain.challenger_rules import interval

DAYS, ALPHA = 182, 0.05
CALM = ("normal", "correlation 0.3", "correlation 0.6", "correlation 0.8", "skewed", "t of 4 df", "wandering")
GAINS = (("normal", 0.3), ("normal", 0.5), ("normal", 1.0), ("correlation 0.6", 0.5))


def main() -> None:
    """Prints the rows."""
    worlds = int(sys.argv[1])
    rows = []
    for kind, gain in (*((kind, 0.0) for kind in CALM), *GAINS):
        days = _worlds(np.random.default_rng(3), kind, worlds) + gain
        rows.append({"kind": kind, "gain": gain, "found": [_found(days, look, gain) for look in LOOKS]})
    print(json.dumps(rows))


def _worlds(rng: np.random.Generator, kind: str, count: int) -> np.ndarray:
    """Days of variance 1: a row a world."""
    if kind == "skewed":
        return rng.exponential(size=(count, DAYS)) - 1
    if kind == "t of 4 df":
        return rng.standard_t(4, (count, DAYS)) / math.sqrt(2)
    if kind == "wandering":  # three tenths of the variance stay, correlated by 0.9
        return math.sqrt(0.7) * rng.normal(size=(count, DAYS)) + math.sqrt(0.3) * _along(rng, 0.9, count)
    return _along(rng, float(kind.rpartition(" ")[2]) if kind != "normal" else 0.0, count)


def _along(rng: np.random.Generator, correlation: float, count: int) -> np.ndarray:
    found = [rng.normal(size=count)]
    while len(found) < DAYS:
        found.append(correlation * found[-1] + math.sqrt(1 - correlation**2) * rng.normal(size=count))
    return np.stack(found, axis=1)


def _blocks(length: int) -> Callable[[np.ndarray], int | None]:
    def look(days: np.ndarray) -> int | None:
        gains = days.reshape(-1, length).mean(axis=1).tolist()
        for count in range(2, len(gains) + 1):
            if count * length >= 28 and _signed(interval(gains[:count], ALPHA)):
                return count * length * _signed(interval(gains[:count], ALPHA))
        return None

    return look


def _own(days: np.ndarray) -> int | None:
    """What a 95 % interval of one look says, asked every week."""
    for count in range(28, DAYS + 1, 7):
        mean, half = days[:count].mean(), 1.96 * days[:count].std(ddof=1) / math.sqrt(count)
        if _signed((mean - half, mean + half)):
            return count * _signed((mean - half, mean + half))
    return None


def _signed(bounds: Sequence[float]) -> int:
    return 1 if bounds[0] > 0 else -1 if bounds[1] < 0 else 0


def _found(days: np.ndarray, look: Callable[[np.ndarray], int | None], gain: float) -> float | str:
    said = [look(one) for one in days[: 2000 if gain else None]]
    if not gain:
        return 100 * sum(one is not None for one in said) / len(said)
    median = float(np.median([one if one and one > 0 else math.inf for one in said]))
    return median if math.isfinite(median) else "never"


LOOKS = (_blocks(7), _blocks(14), _own)


if __name__ == "__main__":
    main()
