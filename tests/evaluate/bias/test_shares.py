"""Score tests and intervals of two shares, against published tables, statsmodels and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, norm
from statsmodels.stats.proportion import confint_proportions_2indep, score_test_proportions_2indep

from treadle.evaluate.bias.shares import (
    Share,
    difference_interval,
    difference_z,
    ratio_interval,
    ratio_z,
)

# Newcombe, Statistics in Medicine 17 (1998), table II, method 6 (Miettinen and Nurminen).
PUBLISHED = [
    ((56, 70), (48, 80), 0.0528, 0.3382),
    ((9, 10), (3, 10), 0.1700, 0.8406),
    ((6, 7), (2, 7), 0.0342, 0.8534),
    ((5, 56), (0, 29), -0.0326, 0.1933),
    ((0, 10), (0, 20), -0.1658, 0.2844),
    ((0, 10), (0, 10), -0.2879, 0.2879),
    ((10, 10), (0, 20), 0.7156, 1.0),
]


@st.composite
def share(draw):
    n = draw(st.integers(1, 500))
    return Share(draw(st.integers(0, n)), n)


@pytest.mark.parametrize(("one", "other", "low", "high"), PUBLISHED)
def test_intervals_of_a_difference_are_the_published_ones(one, other, low, high):
    found = difference_interval(Share(*one), Share(*other), 0.95)
    assert found == pytest.approx((low, high), abs=1e-4)


@given(share(), share(), st.floats(-0.9, 0.9))
def test_the_likeliest_shares_are_those_that_a_search_finds(one, other, limit):
    """Statsmodels has a slip in this cubic (as of 0.14), so the likelihood itself is the judge."""
    assume(abs(limit) > 1e-3)

    def loss(p):
        shares = ((one, p + limit), (other, p))
        return -sum(binom.logpmf(s.x, s.n, min(max(q, 1e-12), 1 - 1e-12)) for s, q in shares)

    ends = max(0.0, -limit), min(1.0, 1.0 - limit)
    held = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-10}).x
    n = one.n + other.n
    variance = (held + limit) * (1 - held - limit) / one.n + held * (1 - held) / other.n
    assume(variance > 1e-6)
    z = (one.value - other.value - limit) / math.sqrt(variance * n / (n - 1))
    assert difference_z(one, other, limit) == pytest.approx(z, rel=2e-3, abs=1e-4)


@given(share(), share())
def test_without_a_limit_the_difference_is_that_of_statsmodels(one, other):
    assume(0 < one.x + other.x < one.n + other.n)
    found = score_test_proportions_2indep(one.x, one.n, other.x, other.n, value=0, compare="diff")
    assert difference_z(one, other, 0.0) == pytest.approx(found.statistic, abs=1e-8)


@given(share(), share(), st.floats(0.2, 5))
def test_ratios_are_those_of_statsmodels(one, other, limit):
    assume(min(one.x, other.x) > 0)
    assume(one.x < one.n or other.x < other.n)
    found = score_test_proportions_2indep(one.x, one.n, other.x, other.n, value=limit, compare="ratio")
    assume(math.isfinite(found.statistic))
    assert ratio_z(one, other, limit) == pytest.approx(found.statistic, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("one", "other"), [((30, 90), (50, 80)), ((3, 200), (9, 150)), ((70, 70), (60, 70))])
def test_intervals_of_a_ratio_are_those_of_statsmodels(one, other):
    expected = confint_proportions_2indep(*one, *other, compare="ratio", method="score", alpha=0.1)
    assert ratio_interval(Share(*one), Share(*other), 0.9) == pytest.approx(expected, rel=1e-4)


def test_a_ratio_to_nothing_has_no_upper_end():
    low, high = ratio_interval(Share(5, 50), Share(0, 40), 0.95)
    assert (low > 0, high) == (True, math.inf)


@given(share(), share(), st.floats(0.5, 0.999))
def test_intervals_hold_the_value_and_turn_round_with_the_groups(one, other, confidence):
    low, high = difference_interval(one, other, confidence)
    assert -1 <= low <= one.value - other.value <= high <= 1
    turned = difference_interval(other, one, confidence)
    assert turned == pytest.approx((-high, -low), abs=1e-6)


@pytest.mark.parametrize(
    ("p", "q", "n", "m"), [(0.3, 0.2, 80, 120), (0.05, 0.05, 200, 60), (0.9, 0.7, 60, 60)]
)
def test_intervals_cover_as_often_as_they_say(p, q, n, m):
    """Exact coverage, summed over all outcomes: no chance in it."""
    x, y = np.arange(n + 1), np.arange(m + 1)
    weight = np.outer(binom.pmf(x, n, p), binom.pmf(y, m, q))
    reach = norm.ppf(0.975)
    covered = sum(
        weight[i, j]
        for i in x
        for j in y
        if weight[i, j] > 1e-7 and abs(difference_z(Share(int(i), n), Share(int(j), m), p - q)) <= reach
    )
    assert 0.94 <= covered <= 0.962
