"""Betting on differences: chances to be wrong, and cases needed, by simulation; and the formula by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treadle.evaluate.behaviour.betting import evidence, needed, side_of
from treadle.evaluate.behaviour.means import DIFFERENCE, Bounds

FEW = settings(max_examples=40, deadline=None)
MARGIN, LEVEL = 0.05, 0.05


def draw(kind, gain, count, rng):
    """Differences of cases whose mean is ``gain``, at most 0."""
    if kind == "rare":  # a case is lost whole, or nothing changes
        return -(rng.random(count) < -gain).astype(float)
    if kind == "coin":  # nothing is alike on both sides
        return (rng.random(count) < 0.5 + gain).astype(float) - (rng.random(count) < 0.5)
    rates = rng.beta(4.5, 0.5, count)  # five answers to cases that pass nine times in ten, some lost whole
    ours, theirs = rng.binomial(5, rates) / 5, rng.binomial(5, rates) / 5
    return np.where(rng.random(count) < -gain / 0.9, 0.0, ours) - theirs


def run(kind, gain, trials, count=1000, seed=1):
    rng = np.random.default_rng(seed)
    found = [side_of(draw(kind, gain, count, rng), -MARGIN, LEVEL, LEVEL) for _ in range(trials)]
    return [one.outcome for one in found], np.array([one.used for one in found]), found


def at_most(count, trials, rate):
    return stats.binom.sf(count - 1, trials, rate) > 1e-4


@pytest.mark.parametrize("kind", ["mixed", "rare", "coin"])
def test_it_is_seldom_wrong_and_tells_what_it_can(kind):
    at_the_line, _, found = run(kind, -MARGIN, 60)
    assert at_most(at_the_line.count("pass"), 60, LEVEL)
    assert at_most(at_the_line.count("fail"), 60, LEVEL)
    assert at_most(sum(not one.low <= -MARGIN <= one.high for one in found), 60, 2 * LEVEL)
    worse, _, _ = run(kind, -0.2, 40)
    assert worse.count("fail") >= 38


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["mixed", "rare", "coin"])
@pytest.mark.parametrize("count", [100, 1000])
def test_it_is_seldom_wrong_in_many_samples(kind, count):
    trials = 1000
    at_the_line, _, found = run(kind, -MARGIN, trials, count)
    assert at_most(at_the_line.count("pass"), trials, LEVEL)
    assert at_most(at_the_line.count("fail"), trials, LEVEL)
    assert at_most(sum(one.low > -MARGIN for one in found), trials, LEVEL)
    assert at_most(sum(one.high < -MARGIN for one in found), trials, LEVEL)


@pytest.mark.soak
def test_it_takes_about_as_many_cases_as_a_test_at_the_end_that_finds_nine_in_ten():
    outcomes, used, _ = run("mixed", 0.0, 500)
    assert outcomes.count("pass") == 500
    rng = np.random.default_rng(2)
    fixed = [Bounds(draw("mixed", 0.0, 150, rng), DIFFERENCE).lower(LEVEL) >= -MARGIN for _ in range(300)]
    assert 0.85 < np.mean(fixed) < 0.95
    assert used.mean() < 150


def test_the_evidence_is_what_bets_become():
    values, mean = [1.0, 0.0, 2.0, 1.0], 0.8
    shares = [(number + 0.5) / 20 for number in range(20)]
    became = [np.mean([math.prod(1 - c + c * x / mean for x in values[:n]) for c in shares]) for n in (1, 4)]
    found = evidence(np.array(values), mean)
    assert np.exp(found[[0, 3]]) == pytest.approx(became)


def test_what_never_differs_is_told_after_about_as_many_cases_as_can_be():
    found = side_of(np.zeros(500), -MARGIN, LEVEL, LEVEL)
    fewest = math.ceil(math.log(LEVEL) / math.log(1 - MARGIN))  # whoever bets everything from the first on
    assert (found.outcome, fewest) == ("pass", 59)
    assert fewest < found.used < 1.6 * fewest
    assert found.low == pytest.approx(-MARGIN, abs=0.002)


def test_how_many_would_have_told_is_told():
    few = np.zeros(40)
    assert needed(few, -MARGIN, LEVEL, LEVEL) == side_of(np.zeros(500), -MARGIN, LEVEL, LEVEL).used
    assert needed(np.full(40, -MARGIN), -MARGIN, LEVEL, LEVEL) is None


def test_nothing_tells_nothing():
    assert side_of(np.array([]), -MARGIN, LEVEL, LEVEL) == ("inconclusive", 0, -1.0, 1.0)
    assert side_of(np.array([-1.0]), -1.0, LEVEL, LEVEL).outcome == "inconclusive"


@FEW
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.floats(-0.9, 0.9))
def test_the_interval_says_what_the_outcome_says(values, line):
    found = side_of(np.array(values), line, LEVEL, LEVEL)
    assert -1 <= found.low <= found.high + 1e-9 or found.outcome == "inconclusive"
    if found.outcome == "pass":
        assert found.low >= line - 1e-9
    elif found.outcome == "fail":
        assert found.high <= line + 1e-9
    else:
        assert found.low <= line + 1e-9
        assert found.high >= line - 1e-9
    mirrored = side_of(-np.array(values), -line, LEVEL, LEVEL)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
