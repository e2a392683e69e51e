"""Intervals over cases: their coverage, what they are equal to, and what may not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treadle.evaluate.behaviour.means import (
    DIFFERENCE,
    Bounds,
    clustered,
    estimate,
    fewest_cases,
    means,
    needed_cases,
    needed_repeats,
    spread,
    standard_error,
)
from treadle.evaluate.behaviour.reliability import clopper_pearson

FEW = settings(max_examples=40, deadline=None)
SHARES = st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), min_size=1, max_size=40)


def draw(rng, cases, repeats, rates):
    """Answers, one row a case, whose pass rates are given."""
    return (rng.random((cases, repeats)) < rates[:, None]).astype(float)


def covers(found, truth):
    return found.low <= truth <= found.high


def within(count, trials, low, high, chance=1e-4):
    """Whether a count is likely at some rate between two."""
    return stats.binom.cdf(count, trials, low) > chance and stats.binom.sf(count - 1, trials, high) > chance


def simulate(rng, trials, cases=100, repeats=10):
    """How many naive and clustered 95 % intervals cover the mean pass rate, for Beta(2, 1) rates."""
    truth, naive, ours = 2 / 3, 0, 0
    for _ in range(trials):
        answers = draw(rng, cases, repeats, rng.beta(2, 1, cases))
        share = answers.mean()
        naive += abs(share - truth) <= 1.96 * math.sqrt(share * (1 - share) / answers.size)
        ours += covers(clustered(answers.mean(axis=1), 0.95), truth)
    return naive, ours


def test_the_clustered_interval_covers_what_it_says_and_the_naive_one_does_not():
    naive, ours = simulate(np.random.default_rng(20), 2000)
    assert within(ours, 2000, 0.945, 0.955)
    assert within(naive, 2000, 0.69, 0.75)


@pytest.mark.soak
def test_the_clustered_interval_covers_what_it_says_in_many_samples():
    naive, ours = simulate(np.random.default_rng(21), 40_000)
    assert within(ours, 40_000, 0.944, 0.952)
    assert within(naive, 40_000, 0.71, 0.73)


def test_the_clustered_error_is_that_of_a_regression_with_clusters():
    rng = np.random.default_rng(3)
    answers = draw(rng, 40, 6, rng.beta(2, 1, 40))
    found = clustered(means(list(answers)), 0.9)
    clusters = np.repeat(np.arange(40), 6)
    fitted = sm.OLS(answers.ravel(), np.ones(240)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}, use_t=True
    )
    assert found.value == pytest.approx(fitted.params[0])
    assert found.se == pytest.approx(fitted.bse[0] * math.sqrt(40 / 39))
    assert found.df == 39
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.95, 39) * found.se)


# Rates of cases: half of them known, or a few that always fail, of which small samples often have none.
POPULATIONS = {
    "beta": (lambda rng, n: rng.beta(2, 1, n), 2 / 3),
    "one in twenty always fails": (lambda rng, n: np.where(rng.random(n) < 0.05, 0.0, 0.999), 0.95 * 0.999),
    "one in ten mostly fails": (lambda rng, n: np.where(rng.random(n) < 0.1, 0.2, 0.99), 0.911),
    "all alike": (lambda rng, n: np.full(n, 0.9), 0.9),
}


def false_bounds(rng, population, cases, repeats, trials, alpha=0.05):
    rates, truth = POPULATIONS[population]
    low = high = student = 0
    for _ in range(trials):
        values = draw(rng, cases, repeats, rates(rng, cases)).mean(axis=1)
        bounds = Bounds(values, draws=1000)
        low += bounds.lower(alpha) > truth
        high += bounds.upper(alpha) < truth
        student += clustered(values, 1 - 2 * alpha).low > truth
    return low, high, student


@pytest.mark.parametrize("population", POPULATIONS)
def test_bounds_hold_also_where_few_cases_always_fail(population):
    low, high, _ = false_bounds(np.random.default_rng(5), population, 30, 5, 800)
    assert within(low, 800, 0, 0.05)
    assert within(high, 800, 0, 0.05)


def test_students_bound_does_not_hold_there():
    _, _, student = false_bounds(np.random.default_rng(5), "one in twenty always fails", 30, 5, 800)
    assert stats.binom.sf(student - 1, 800, 0.15) < 1e-4  # more than three times its level


@pytest.mark.soak
@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("cases", [5, 20, 100, 300])
def test_bounds_hold_in_many_samples(population, cases):
    low, high, _ = false_bounds(np.random.default_rng(cases), population, cases, 5, 10_000)
    assert within(low, 10_000, 0, 0.05)
    assert within(high, 10_000, 0, 0.05)


@pytest.mark.parametrize(("passed", "cases"), [(0, 12), (7, 12), (12, 12), (1, 1), (99, 100)])
def test_of_passes_and_fails_the_bounds_are_exact(passed, cases):
    values = np.array([1.0] * passed + [0.0] * (cases - passed))
    bounds = Bounds(values)
    assert (bounds.lower(0.05), bounds.upper(0.05)) == pytest.approx(clopper_pearson(passed, cases, 0.05))
    test = stats.binomtest(passed, cases, 0.8, alternative="less")
    assert bounds.p_below(0.8) == pytest.approx(test.pvalue)
    test = stats.binomtest(passed, cases, 0.8, alternative="greater")
    assert bounds.p_above(0.8) == pytest.approx(test.pvalue)


def test_of_many_values_the_bounds_are_students():
    rng = np.random.default_rng(6)
    values = rng.beta(5, 3, 2000)
    found, _ = estimate(values, 0.025)
    usual = clustered(values, 0.95)
    assert found.low == pytest.approx(usual.low, abs=0.2 * usual.se)
    assert found.high == pytest.approx(usual.high, abs=0.2 * usual.se)


def test_values_that_are_all_alike_leave_doubt():
    found, bounds = estimate(np.full(20, 0.7), 0.05)
    assert (found.value, found.se) == (pytest.approx(0.7), pytest.approx(0, abs=1e-15))
    # Another value had to come up with a chance of at least 1 - 0.05^(1/20) to be missed 19 times in 20.
    assert found.low == pytest.approx(0.7 * 0.05 ** (1 / 20))
    assert found.high == pytest.approx(1 - 0.3 * 0.05 ** (1 / 20))
    assert bounds.p_below(0.7) == 1
    same = Bounds(np.zeros(100), DIFFERENCE)
    assert same.lower(0.05) == pytest.approx(-(1 - 0.05 ** (1 / 100)))


def test_one_case_says_little():
    found, _ = estimate(np.array([1.0]), 0.05)
    assert (found.low, found.high, found.se) == (pytest.approx(0.05), 1.0, math.inf)


@FEW
@given(SHARES, st.randoms(use_true_random=False))
def test_the_order_of_cases_changes_nothing(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    a, b = (Bounds(np.array(one), draws=500) for one in (values, shuffled))
    assert (a.lower(0.05), a.upper(0.05), a.p_below(0.5)) == (b.lower(0.05), b.upper(0.05), b.p_below(0.5))


@FEW
@given(SHARES)
def test_bounds_lie_around_the_mean_and_within_the_ends(values):
    found, bounds = estimate(np.array(values), 0.05)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1
    assert bounds.lower(0.01) <= found.low <= found.high <= bounds.upper(0.01)


@FEW
@given(SHARES)
def test_what_is_turned_round_has_the_bounds_turned_round(values):
    bounds = Bounds(np.array(values), draws=4000)
    other = Bounds(1 - np.array(values), draws=4000)
    assert bounds.lower(0.05) == pytest.approx(1 - other.upper(0.05), abs=0.02)


@FEW
@given(SHARES, st.integers(0, 39))
def test_a_better_case_is_no_worse_for_the_bound(values, place):
    better = values.copy()
    better[place % len(values)] = 1.0
    assert Bounds(np.array(better)).lower(0.05) >= Bounds(np.array(values)).lower(0.05) - 0.01


@FEW
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6), min_size=1, max_size=12))
def test_the_order_of_repeats_changes_nothing(answers):
    rows = [np.array(one) for one in answers]
    turned = [one[::-1] for one in rows]
    assert means(rows).tolist() == pytest.approx(means(turned).tolist())
    a, b = spread(rows), spread(turned)
    assert (a is None) == (b is None)
    if a and b:
        assert (a.between, a.within) == pytest.approx((b.between, b.within))


def test_the_components_of_variance_are_those_that_were_put_in():
    rng = np.random.default_rng(8)
    rates = rng.beta(2, 1, 20_000)
    found = spread(list(draw(rng, 20_000, 4, rates)))
    assert found.between == pytest.approx(1 / 18, rel=0.05)
    assert found.within == pytest.approx(np.mean(rates * (1 - rates)), rel=0.05)
    assert found.correlation == pytest.approx((1 / 18) / (2 / 9), rel=0.05)
    predicted = standard_error(2 / 3, 100, 4, found.correlation)
    assert predicted == pytest.approx(math.sqrt((found.between + found.within / 4) / 100), rel=0.02)


def test_components_need_repeats_and_cases():
    assert spread([np.array([1.0]), np.array([0.0])]) is None
    assert spread([np.array([1.0, 0.0])]) is None
    assert spread([np.array([1.0, 1.0]), np.array([1.0, 1.0])]).correlation is None


def test_more_repeats_help_only_as_far_as_cases_allow():
    rng = np.random.default_rng(9)
    found = spread(list(draw(rng, 200, 3, rng.beta(20, 10, 200))))
    needed = needed_repeats(found, 200, 0.05, 0.05)
    assert needed > 3
    reach = stats.norm.ppf(0.95) + stats.norm.ppf(0.9)
    far = [0.05 / math.sqrt((found.between + found.within / n) / 200) for n in (needed - 1, needed)]
    assert far[0] < reach <= far[1]
    assert needed_repeats(found, 20, 0.001, 0.05) is None
    assert needed_repeats(found, 20, 0, 0.05) is None


@pytest.mark.parametrize(
    ("value", "line", "ends"),
    [
        (1.0, 0.95, (0, 1)),
        (0.9, 0.8, (0, 1)),
        (0.1, 0.3, (0, 1)),
        (0.0, -0.02, DIFFERENCE),
        (-0.2, -0.1, DIFFERENCE),
    ],
)
def test_the_fewest_cases_that_can_tell_are_the_fewest(value, line, ends):
    least = fewest_cases(value, line, 0.05, ends)
    told = []
    for count in (least - 1, least):
        bounds = Bounds(np.full(count, value), ends)
        told.append(bounds.lower(0.05) >= line if value > line else bounds.upper(0.05) <= line)
    assert told == [False, True]
    assert fewest_cases(line, line, 0.05, ends) is None


@pytest.mark.parametrize("line", [0.6, 0.72])
def test_the_cases_that_are_needed_are_enough_nine_times_in_ten(line):
    rng = np.random.default_rng(10)
    found, _ = estimate(rng.binomial(4, rng.beta(2, 1, 40_000)) / 4, 0.05)
    few = found.__class__(found.value, found.se * math.sqrt(40_000 / 50), 0, 1, 50, 50, 49)
    count = needed_cases(few, line, 0.05)
    decided = 0
    for _ in range(200):
        bounds = Bounds(rng.binomial(4, rng.beta(2, 1, count)) / 4, draws=1000)
        decided += bounds.lower(0.05) >= line if line < 2 / 3 else bounds.upper(0.05) <= line
    assert stats.binom.cdf(decided, 200, 0.9) > 1e-3
    assert stats.binom.sf(decided, 200, 0.9) > 1e-3
    assert needed_cases(few, few.value, 0.05) is None
