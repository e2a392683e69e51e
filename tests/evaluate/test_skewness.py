"""Bounds that allow for skewness: against Hall's formula, by inversion, and how often they hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from treadle.evaluate.models.clustering import Averaged, spread
from treadle.evaluate.skewness import NONE, Sample, Tilt, p_value, reaches, tilt


def hall(statistic, skewness):
    """What Hall's cubic makes of ``(estimate - truth) / error``."""
    return statistic + skewness * statistic**2 / 3 + skewness**2 * statistic**3 / 27 + skewness / 6


@pytest.mark.parametrize("skewness", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("tail", [0.05, 0.01])
def test_an_upper_bound_is_where_halls_cubic_is_at_its_quantile(skewness, tail):
    shown = Tilt(skewness / 1.5, 0.0)
    low, high = reaches(tail, math.inf, shown)
    assert hall(-high, skewness) == pytest.approx(stats.norm.ppf(tail))
    assert low == pytest.approx(stats.norm.ppf(1 - tail))
    assert reaches(tail, math.inf, shown.mirrored) == pytest.approx((high, low))
    few = reaches(tail, 6.0, shown)
    assert few[1] - few[0] == pytest.approx(high - low)
    assert few[0] == pytest.approx(stats.t.ppf(1 - tail, 6))


def test_without_skewness_it_is_students():
    assert reaches(0.05, 8.0, NONE) == pytest.approx((stats.t.ppf(0.95, 8),) * 2)
    for statistic in (-3.0, 0.0, 1.2, math.inf):
        assert p_value(statistic, 8.0, NONE) == pytest.approx(stats.t.cdf(statistic, 8))
        assert p_value(statistic, math.inf, NONE) == pytest.approx(stats.norm.cdf(statistic))


@settings(max_examples=80, deadline=None)
@given(
    st.floats(0, 4),
    st.floats(0, 1),
    st.floats(0.001, 0.4),
    st.sampled_from([0.5, 1.2, 2.1, 5.0, 40.0, math.inf]),
)
@example(2.0, 1.0, 0.001, 2.1)
@example(1e-300, 0.0, 0.05, 5.0)
@example(2e-6, 0.0, 0.01, 5.0)
def test_more_skewness_moves_bounds_further_out_and_p_values_invert_them(skewness, error, tail, df):
    plain = reaches(tail, df, NONE)
    found = reaches(tail, df, Tilt(skewness, error))
    more = reaches(tail, df, Tilt(skewness + 0.1, error))
    assert min(found) >= plain[0] - 1e-9
    assert more[1] >= found[1] - 1e-9
    for tilted, (low, high) in ((Tilt(skewness, error), found), (Tilt(-skewness, error), found[::-1])):
        assert p_value(-high, df, tilted) == pytest.approx(tail, rel=1e-5)
        assert p_value(low, df, tilted) == pytest.approx(1 - tail, rel=1e-5)
        assert p_value(-2 * high, df, tilted) < tail < p_value(-high / 2, df, tilted) <= 0.5


@pytest.mark.parametrize("df", [0.3, 1.0, 1.9, 4.0, math.inf])
def test_a_p_value_is_found_however_far_the_line_lies_and_however_little_is_known(df):
    for statistic, skewness in itertools.product((1e-9, 0.1, 1.0, 50.0, 1e9), (0.01, 0.3, 9.0)):
        below, above = (
            p_value(-statistic, df, Tilt(skewness, 0.1)),
            p_value(statistic, df, Tilt(-skewness, 0.1)),
        )
        assert stats.t.cdf(-statistic, df) <= below + 1e-9 <= 0.5 + 1e-9
        assert above == pytest.approx(1 - below)
    # Near a half the bounds of much skewness leave a gap: no level meets a line in it.
    assert p_value(-0.5, df, Tilt(9.0, 0.1)) == 0.5


def test_a_samples_skewness_is_scipys():
    values = np.random.default_rng(1).exponential(size=23)
    found = tilt([Sample(values - values.mean())])
    assert found.skewness == pytest.approx(stats.skew(values, bias=False) / np.sqrt(23))
    assert found.error == pytest.approx(np.sqrt(6) / 23)
    times = found.of(4)
    assert (times.skewness, times.error) == pytest.approx((found.skewness / 2, found.error / 4))


def test_skewness_of_a_difference_is_that_of_its_sum():
    """Third cumulants of independent means add up, with their signs."""
    rng = np.random.default_rng(2)
    one, other = rng.exponential(size=40), rng.exponential(size=90)
    found = tilt([Sample((one - one.mean()) / 40), Sample((other.mean() - other) / 90)])
    third = [stats.skew(x, bias=False) * x.std(ddof=1) ** 3 / len(x) ** 2 for x in (one, other)]
    variance = sum(x.var(ddof=1) / len(x) for x in (one, other))
    assert found.skewness == pytest.approx((third[0] - third[1]) / variance**1.5)
    assert tilt([Sample(np.zeros(5))]) == NONE


@pytest.mark.parametrize("shared", [0.2, 0.5, 2.0])
def test_the_skewness_of_unlike_clusters_is_about_that_of_their_mean(shared):
    """Over samples: the estimate of what the mean's own skewness is."""
    rng, sizes = np.random.default_rng(3), np.repeat([4, 10, 40, 120], 60)
    codes, rows = np.repeat(np.arange(240), sizes), sizes.sum()
    found, figures = [], []
    for _ in range(150):
        effects = shared * (rng.exponential(size=240) - 1)
        values = effects[codes] + rng.exponential(size=rows) - 1
        figures.append(float(values.mean()))
        weights = np.full(rows, 1 / rows)
        found.append(spread([Averaged((values - values.mean()) / rows, weights)], codes).tilt)
    # Exponential values: skewness 2. Of the mean: cumulants of clusters' effects and of rows.
    second = shared**2 * (sizes**2).sum() + rows
    third = 2 * shared**3 * (sizes**3).sum() + 2 * rows
    skewness = np.mean([one.skewness for one in found])
    assert skewness == pytest.approx(third / second**1.5, rel=0.35)
    assert np.std(figures) == pytest.approx(np.sqrt(second) / rows, rel=0.15)


def test_entries_that_stand_for_rows_alike_say_what_the_rows_say():
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(9), rng.integers(5, 80, 9))
    right = rng.random(len(codes)) < 0.2 + 0.06 * codes
    n, share = len(codes), right.mean()
    rows = spread([Averaged((right - share) / n, np.full(n, 1 / n))], codes)
    counts = np.concatenate([np.bincount(codes, right), np.bincount(codes, ~right)])
    apiece = np.repeat([1 - share, -share], 9) / n
    entries = Averaged(apiece * counts, counts / n, np.maximum(counts, 1))
    assert spread([entries], np.tile(np.arange(9), 2)).tilt == pytest.approx(rows.tilt)


# ── how often bounds hold ────────────────────────────────────────────────

KINDS = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "lognormal": (lambda rng, shape: np.exp(rng.normal(size=shape)), math.exp(0.5)),
}


def bounds_hold(kind, n, trials, seed, tail=0.05):
    """How often the lower and upper bound of a mean of n values hold, and how much wider than t they are."""
    draw, truth = KINDS[kind]
    held, wider = np.zeros(2), 0.0
    for values in draw(np.random.default_rng(seed), (trials, n)):
        mean, se = values.mean(), values.std(ddof=1) / np.sqrt(n)
        low, high = reaches(tail, n - 1.0, tilt([Sample(values - mean)]))
        held += [mean - low * se <= truth, truth <= mean + high * se]
        wider += (low + high) / 2 / stats.t.ppf(1 - tail, n - 1)
    return held, wider / trials


@pytest.mark.parametrize(("kind", "least"), [("exponential", 0.945), ("lognormal", 0.905)])
@pytest.mark.parametrize("n", [5, 12, 50])
def test_bounds_of_skewed_values_hold(kind, least, n):
    """Of t, the upper one of 5 exponential values holds in 84 of 100, of 12 lognormal ones in 80."""
    trials = 600
    held, _ = bounds_hold(kind, n, trials, n)
    assert held.min() >= stats.binom.ppf(0.0005, trials, least)


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "least"), [("exponential", 0.94), ("lognormal", 0.905)])
@pytest.mark.parametrize("n", [5, 8, 12, 20, 50, 100, 500])
def test_the_same_of_more_samples(kind, least, n):
    trials = 5000
    held, _ = bounds_hold(kind, n, trials, n)
    assert held.min() >= stats.binom.ppf(0.001, trials, least)


@pytest.mark.parametrize(("n", "most"), [(8, 1.8), (20, 1.15), (100, 1.03)])
def test_bounds_of_values_without_skewness_are_hardly_wider_unless_values_are_few(n, most):
    held, wider = bounds_hold("normal", n, 300, n)
    assert wider < most
    assert held.min() >= stats.binom.ppf(0.0005, 300, 0.95)
