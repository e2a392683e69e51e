"""Krippendorff's alpha, beside the tables that he published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treadle.evaluate.behaviour.agreement import jackknife, krippendorff

FEW = settings(max_examples=40, deadline=None)
NONE = math.nan
# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units.
FOUR = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
    [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
])  # fmt: skip
# The same, section A: two observers, ten units, two values.
TWO = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=float)
# The same, section B: two observers, twelve units, five names a to e.
NAMES = np.array([
    [1, 1, 2, 2, 4, 3, 3, 3, 5, 4, 4, 1],
    [2, 1, 2, 2, 2, 3, 3, 3, 5, 4, 4, 4],
], dtype=float)  # fmt: skip


def units(table):
    return [[float(value) for value in column if not math.isnan(value)] for column in table.T]


@pytest.mark.parametrize(
    ("table", "level", "alpha"),
    [(FOUR, "nominal", 0.743), (FOUR, "ordinal", 0.815), (FOUR, "interval", 0.849), (TWO, "nominal", 0.095),
     (NAMES, "nominal", 0.692)],
)  # fmt: skip
def test_alpha_is_the_published_one(table, level, alpha):
    assert krippendorff(units(table), level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_has_its_fixed_points():
    assert krippendorff([[1, 1], [2, 2], [3, 3]], "nominal") == 1
    assert krippendorff([[1, 2], [2, 1]] * 200, "nominal") == pytest.approx(-1, abs=0.01)
    rng = np.random.default_rng(1)
    chance = krippendorff(rng.integers(1, 6, (4000, 3)).tolist(), "interval")
    assert chance == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("nothing", [[], [[1], [2]], [[3, 3], [3, 3, 3]]])
def test_without_anything_that_could_disagree_there_is_no_alpha(nothing):
    assert krippendorff(nothing, "ordinal") is None


RATED = st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=4), min_size=2, max_size=15)


@FEW
@given(RATED, st.sampled_from(["nominal", "ordinal", "interval"]), st.randoms(use_true_random=False))
def test_neither_the_order_of_units_nor_of_judges_matters(rated, level, random):
    shuffled = [random.sample(unit, len(unit)) for unit in random.sample(rated, len(rated))]
    a, b = krippendorff(rated, level), krippendorff(shuffled, level)
    assert (a is None) == (b is None)
    assert a is None or a == pytest.approx(b)


@FEW
@given(RATED)
def test_ranks_do_not_ask_how_far_apart_numbers_are(rated):
    stretched = [[value**3 for value in unit] for unit in rated]
    a, b = krippendorff(rated, "ordinal"), krippendorff(stretched, "ordinal")
    assert a == b or a == pytest.approx(b)


def rated(rng, count):
    """Three judges' ranks of two answers to each case, each at most one from the truth."""
    truth = np.repeat(rng.integers(1, 6, count), 2)
    units = np.clip(truth[:, None] + rng.integers(-1, 2, (2 * count, 3)), 1, 5)
    return units.tolist(), [f"c{place // 2}" for place in range(2 * count)]


def test_bounds_of_alpha_come_from_cases():
    units, cases = rated(np.random.default_rng(2), 120)
    low, high = jackknife(units, cases, "ordinal", 0.05)
    assert low < krippendorff(units, "ordinal") < high < low + 0.3
    assert jackknife(units, ["one"] * 240, "ordinal", 0.05) is None
    assert jackknife([[1, 1], [1, 1]] * 5, list("abcdefghij"), "ordinal", 0.05) is None
    # Without the one case of which judges give different marks, nothing could disagree.
    assert jackknife([[1, 2], *[[1, 1]] * 9], list("abcdefghij"), "ordinal", 0.05) is None


def covered(count, trials, seed):
    rng = np.random.default_rng(seed)
    truth = np.mean([krippendorff(rated(rng, 1500)[0], "ordinal") for _ in range(8)])
    held = np.zeros(2)
    for _ in range(trials):
        low, high = jackknife(*rated(rng, count), "ordinal", 0.05)
        held += [low <= truth, truth <= high]
    return held


def test_bounds_of_alpha_hold_for_few_cases():
    """The upper one of a bootstrap's percentiles holds in 85 of 100 samples of ten cases."""
    trials = 150
    assert covered(10, trials, 3).min() >= stats.binom.ppf(0.0005, trials, 0.95)


@pytest.mark.soak
@pytest.mark.parametrize("count", [5, 10, 20, 50])
def test_the_same_over_numbers_of_cases(count):
    trials = 1500
    assert covered(count, trials, count).min() >= stats.binom.ppf(0.001, trials, 0.945)
