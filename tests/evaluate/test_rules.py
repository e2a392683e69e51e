"""Shares, corrections and sizes, against statsmodels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import zt_ind_solve_power
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

from treadle.evaluate.rules import against, aggregate, holm, needed, share_increase, together, wilson
from treadle.evaluate.types import Verdict


def test_one_failure_fails_and_one_doubt_leaves_doubt():
    for outcomes in itertools.product(("pass", "fail", "inconclusive"), repeat=3):
        expected = "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"
        assert aggregate(outcomes) == expected
    assert aggregate([]) == "pass"


def test_an_interval_is_on_one_side_of_a_bound_or_on_both():
    assert against(0.5, 0.6, 0.5) == "pass"
    assert against(0.4, 0.6, 0.5) == "inconclusive"
    assert against(0.4, 0.5, 0.5) == "inconclusive"
    assert against(0.4, 0.49, 0.5) == "fail"


@pytest.mark.parametrize(("count", "n"), [(0, 10), (3, 10), (10, 10), (37, 5000), (1, 2)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_is_statsmodels(count, n, confidence):
    reference = proportion_confint(count, n, alpha=1 - confidence, method="wilson")
    assert wilson(count, n, confidence) == pytest.approx(reference, abs=1e-12)


@pytest.mark.parametrize(
    ("now", "before"), [((30, 200), (10, 300)), ((0, 50), (0, 60)), ((5, 100), (50, 100))]
)
def test_share_increase_is_statsmodels(now, before):
    low, high, p_value = share_increase(now, before, 0.9)
    counts, sizes = zip(now, before, strict=True)
    if sum(counts):
        _, reference = proportions_ztest(counts, sizes, alternative="larger")
        assert p_value == pytest.approx(reference)
    else:
        assert p_value == 1
    interval = confint_proportions_2indep(*now, *before, method="newcomb", alpha=0.1)
    assert (low, high) == pytest.approx(interval, abs=1e-9)


def test_holm_is_statsmodels():
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 50):
        p_values = rng.random(size) ** 3
        p_values[size // 2] = p_values[0]
        assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []


def test_needed_is_the_sample_size_of_the_z_test():
    # Two arms of n each have the standard error sqrt(2 / n) when the spread is 1.
    reference = zt_ind_solve_power(effect_size=0.1, alpha=0.05, power=0.9, alternative="larger")
    assert needed(100, 0.1, (2 / 100) ** 0.5, 0.05) == pytest.approx(reference, abs=1)
    assert needed(100, -0.1, (2 / 100) ** 0.5, 0.05) == needed(100, 0.1, (2 / 100) ** 0.5, 0.05)


def test_needed_is_more_than_is_there_and_unknown_on_the_line():
    assert needed(100, 5.0, 0.01, 0.05) == 101
    assert needed(100, 0.0, 0.01, 0.05) is None


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(2)
    trials = 4000
    for groups in (2, 10, 50):
        false = sum(min(holm(list(rng.random(groups)))) <= 0.05 for _ in range(trials // groups * 2))
        assert false <= stats.binom.ppf(0.999, trials // groups * 2, 0.05)


def test_the_worst_outcome_wins_and_what_is_exploratory_decides_nothing():
    assert aggregate(["pass", "warn"]) == "warn"
    assert aggregate(["warn", "inconclusive", "pass"]) == "inconclusive"
    assert aggregate(["inconclusive", "fail", "warn"]) == "fail"
    verdicts = [
        Verdict(check="no_worse", subject="overall", outcome="pass", sentence=""),
        Verdict(check="slices", subject="a=1", outcome="fail", sentence="", exploratory=True),
    ]
    assert together(verdicts) == "pass"
