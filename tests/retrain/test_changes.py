"""When the world changed last, beside an exhaustive search and beside ruptures."""

from __future__ import annotations

import numpy as np
import pytest

from treadle.retrain.changes import changes, last_change, noise

# What ruptures 1.1.10 finds: Pelt(model="l2", min_size=2, jump=1).fit(series).predict(pen), without the end.
RUPTURES = {
    0: [20, 25, 30, 37],
    1: [],
    2: [34, 56],
    3: [8, 10, 33, 41, 63, 65],
    4: [42, 45, 54],
    5: [3, 10, 14, 16, 25, 34, 47, 50],
}


def drawn(seed: int) -> tuple[np.ndarray, float]:
    """A series with up to three shifts, and a penalty."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(12, 80)), int(rng.integers(1, 4))
    series = rng.normal(size=(n, d))
    for _ in range(int(rng.integers(0, 4))):
        series[int(rng.integers(0, n)) :] += rng.normal(size=d) * 3
    return series, float(rng.uniform(2, 20))


@pytest.mark.parametrize("seed", RUPTURES)
def test_the_same_shifts_as_ruptures_finds(seed: int) -> None:
    assert changes(*drawn(seed)) == RUPTURES[seed]


def total(series: np.ndarray, cuts: tuple[int, ...], penalty: float) -> float:
    parts = np.split(series, cuts)
    return sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts) + penalty * len(cuts)


def test_no_other_cut_costs_less() -> None:
    from itertools import combinations

    for seed in range(20):
        series = np.random.default_rng(seed).normal(size=(9, 2))
        series[4:] += seed % 3
        every = (cuts for k in range(4) for cuts in combinations(range(2, 8), k))
        apart = [
            cuts for cuts in every if all(b - a >= 2 for a, b in zip((0, *cuts), (*cuts, 9), strict=True))
        ]
        best = min(apart, key=lambda cuts: total(series, cuts, 5.0))
        assert tuple(changes(series, 5.0)) == best


def test_noise_is_measured_beside_shifts() -> None:
    series = np.random.default_rng(0).normal(scale=0.3, size=(4000, 1))
    series[2000:] += 50
    assert noise(series)[0] == pytest.approx(0.3, rel=0.03)


def test_false_changes_are_seldom_and_true_ones_found() -> None:
    rng = np.random.default_rng(7)
    quiet = [last_change(rng.normal(size=(26, 1))) for _ in range(300)]
    assert sum(found is not None for found in quiet) <= 0.06 * 300  # 2.9 % of many
    shifted = []
    for _ in range(100):
        series = rng.normal(size=(26, 1))
        series[13:] += 3
        shifted.append(last_change(series))
    assert sum(found is not None and abs(found - 13) <= 1 for found in shifted) >= 90


def test_where_nothing_varies_or_little_is_known_nothing_is_said() -> None:
    assert last_change(np.zeros((30, 2))) is None
    assert last_change(np.arange(11.0)[:, None]) is None
    assert last_change(np.empty((0, 1))) is None
