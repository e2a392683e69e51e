"""Stopping early: error rates and sample numbers by simulation, beside Wald's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treadle.evaluate.behaviour.sequential import Sprt, decide, expected_cases, sequence

FEW = settings(max_examples=40, deadline=None)
TEST = Sprt(good=0.9, bad=0.8, false_fail=0.05, false_pass=0.1)
LONG = 4000


def run(rng, rate, trials, *, repeats=1, alike=1.0):
    """Outcomes and cases needed; answers to a case are one and the same with the chance ``alike``."""
    outcomes, needed = [], []
    for _ in range(trials):
        if alike == 1:
            shares = (rng.random(LONG) < rate).astype(float)
        else:
            rates = rng.beta(rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, LONG)
            shares = rng.binomial(repeats, rates) / repeats
        found = decide(TEST, shares.tolist())
        outcomes.append(found.outcome)
        needed.append(found.cases)
    return outcomes, np.array(needed)


def at_most(count, trials, rate):
    return stats.binom.sf(count - 1, trials, rate) > 1e-4


def test_both_error_rates_hold_and_the_number_of_cases_is_walds():
    rng = np.random.default_rng(1)
    good, at_good = run(rng, 0.9, 1500)
    bad, at_bad = run(rng, 0.8, 1500)
    assert at_most(good.count("fail"), 1500, 0.05)
    assert at_most(bad.count("pass"), 1500, 0.1)
    assert good.count("fail") > 30  # not by never deciding
    assert bad.count("pass") > 80
    assert at_good.mean() == pytest.approx(expected_cases(TEST, 0.9), rel=0.12)
    assert at_bad.mean() == pytest.approx(expected_cases(TEST, 0.8), rel=0.12)


@pytest.mark.parametrize(("repeats", "alike"), [(10, 0.1), (10, 0.5), (5, 0.9)])
def test_error_rates_hold_however_alike_the_answers_to_a_case_are(repeats, alike):
    rng = np.random.default_rng(2)
    good, _ = run(rng, 0.9, 400, repeats=repeats, alike=alike)
    bad, _ = run(rng, 0.8, 400, repeats=repeats, alike=alike)
    assert at_most(good.count("fail"), 400, 0.05)
    assert at_most(bad.count("pass"), 400, 0.1)
    assert good.count("pass") > 300
    assert bad.count("fail") > 300


@pytest.mark.soak
@pytest.mark.parametrize("rate", [0.7, 0.8, 0.85, 0.9, 0.97])
def test_the_number_of_cases_is_walds_at_every_rate(rate):
    outcomes, needed = run(np.random.default_rng(3), rate, 20_000)
    assert 1 <= needed.mean() / expected_cases(TEST, rate) < 1.15  # Wald's leaves out how far it overshoots
    assert at_most(outcomes.count("fail"), 20_000, 0.05) or rate < 0.9
    assert at_most(outcomes.count("pass"), 20_000, 0.1) or rate > 0.8


def test_the_evidence_is_the_likelihood_ratio():
    shares = [1.0, 0.0, 1.0, 1.0]
    found = decide(TEST, shares)
    p = [np.prod([rate if one else 1 - rate for one in shares]) for rate in (TEST.bad, TEST.good)]
    assert found == ("inconclusive", 4, pytest.approx(math.log(p[0] / p[1])))
    assert decide(TEST, []) == ("inconclusive", 0, 0.0)


def test_what_should_always_pass_fails_at_the_first_miss():
    test = Sprt(good=1.0, bad=0.9, false_fail=0.05, false_pass=0.05)
    assert decide(test, [1.0] * 10 + [0.5]).outcome == "fail"
    assert decide(test, [1.0] * 100) == (
        "pass",
        math.ceil(math.log(0.05) / math.log(0.9)),
        pytest.approx(-3, abs=0.1),
    )


@FEW
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=60))
def test_what_comes_after_the_decision_changes_nothing(shares):
    found = decide(TEST, shares)
    assert decide(TEST, shares[: found.cases]) == found
    assert decide(TEST, shares[: max(found.cases - 1, 0)]).outcome == "inconclusive"


def test_a_confidence_sequence_holds_at_every_moment():
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(300):
        shares = rng.binomial(4, rng.beta(2, 1, 200)) / 4
        moments = [sequence(shares[:n].tolist(), 0.1) for n in (1, 5, 10, 20, 40, 80, 120, 200)]
        missed += any(not low <= 2 / 3 <= high for low, high in moments)
    assert at_most(missed, 300, 0.1)
    low, high = sequence([1.0] * 50, 0.1)
    assert (low, high) == (pytest.approx((0.1 / 51) ** (1 / 50)), 1.0)
    assert sequence([0.0] * 50, 0.1)[1] == pytest.approx(1 - low)
