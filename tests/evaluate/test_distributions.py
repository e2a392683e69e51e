"""The stability index against formulas and simulations of its own; see also the monitors' rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, entropy

from treadle.evaluate.distributions import (
    bin_edges,
    pool_bins,
    psi,
    psi_detectable,
    psi_p_value,
    psi_quantile,
)  # fmt: skip


def test_psi_is_the_sum_of_both_kullback_leibler_divergences() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 500, 12), rng.integers(0, 90, 12)
        p, q = (a + 0.5) / (a + 0.5).sum(), (b + 0.5) / (b + 0.5).sum()
        assert math.isclose(psi(a.tolist(), b.tolist()), entropy(p, q) + entropy(q, p))
    by_hand = (0.3 - 0.7) * math.log(0.3 / 0.7) + (0.7 - 0.3) * math.log(0.7 / 0.3)
    assert math.isclose(psi([699_999, 299_999], [299_999, 699_999]), by_hand, rel_tol=1e-5)
    assert psi([5, 5], [50, 50]) == 0


def test_the_null_quantile_is_that_of_chi_squared() -> None:
    expected = (1 / 20_000 + 1 / 100) * chi2.ppf(0.95, 9)
    assert math.isclose(psi_quantile(20_000, 100, 10, 0.05), expected)
    assert psi_quantile(100, 100, 1, 0.05) == 0


def test_sparse_bins_are_counted_as_one_and_no_row_is_lost() -> None:
    then, now = pool_bins([1000, 10, 0, 5, 0], [100, 1, 0, 0, 2])
    assert (then, now) == ([1000, 15], [100, 3])
    assert pool_bins([50, 50], [50, 50]) == ([50, 50], [50, 50])
    assert pool_bins([50, 50, 0], [50, 50, 0]) == ([50, 50], [50, 50])


@pytest.mark.parametrize(
    ("values", "quantiles", "expected"),
    [
        ([1.0, 2.0, 4.0], [1.0] * 9, [1.5, 3.0]),
        ([], [], []),
        ([float(i) for i in range(51)], [5.0, 10.0, 10.0, 20.0], [5.000005, 9.99999, 10.00001, 20.00002]),
        ([float(i) for i in range(51)], [0.0, 0.0, 7.0, 50.0], [1e-9, 7.000007, 49.99995]),
        ([float(i) for i in range(51)], [50.0] * 9, [49.99995]),
    ],
)
def test_edges(values: list[float], quantiles: list[float], expected: list[float]) -> None:
    assert bin_edges(values, quantiles) == pytest.approx(expected, rel=1e-12)


def test_a_constant_has_room_on_both_sides() -> None:
    for value in (0.0, 7.0, -1e9):
        low, high = bin_edges([value], [value] * 9)
        assert low < np.float32(value) <= high
        assert low < value < high


def test_the_p_value_belongs_to_the_quantile() -> None:
    for alpha in (0.5, 0.05, 0.001):
        assert psi_p_value(psi_quantile(900, 100, 7, alpha), 900, 100, 7) == pytest.approx(alpha)
    assert psi_p_value(0.0, 900, 100, 7) == psi_p_value(1.0, 900, 100, 1) == 1.0


def test_a_move_of_the_size_that_can_be_detected_is_found_nine_times_in_ten() -> None:
    """Against a simulation: the shares are tilted until the index is what is said to be detectable."""
    rng = np.random.default_rng(11)
    n, m, bins, alpha, runs = 2000, 5000, 8, 0.01, 2000
    wanted = psi_detectable(m, n, bins, alpha, 0.9)
    before = np.full(bins, 1 / bins)

    def tilted(by: float) -> np.ndarray:
        shares = before * np.exp(by * np.linspace(-1, 1, bins))
        return shares / shares.sum()

    low, high = 0.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        after = tilted(middle)
        low, high = (
            (middle, high) if ((after - before) * np.log(after / before)).sum() < wanted else (low, middle)
        )
    limit = psi_quantile(m, n, bins, alpha)
    found = sum(
        psi(old.tolist(), new.tolist()) > limit
        for old, new in zip(
            rng.multinomial(m, before, runs), rng.multinomial(n, tilted(low), runs), strict=True
        )
    )
    assert abs(found / runs - 0.9) < 0.03


counts = st.lists(st.integers(0, 10_000), min_size=2, max_size=8)


@given(counts, counts)
def test_the_index_is_never_negative_and_the_same_both_ways(before: list[int], after: list[int]) -> None:
    size = min(len(before), len(after))
    old, new = pool_bins(before[:size], after[:size])
    if sum(old) and sum(new):
        assert psi(old, new) >= 0
        assert psi(new, old) == pytest.approx(psi(old, new))
    assert (sum(old), sum(new)) == (sum(before[:size]), sum(after[:size]))
