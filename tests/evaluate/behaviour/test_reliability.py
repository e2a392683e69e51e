"""What several answers do together, beside brute force and scipy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from treadle.evaluate.behaviour.reliability import case_rates, clopper_pearson, pass_at_k, pass_hat_k


@pytest.mark.parametrize("answers", range(1, 8))
def test_pass_k_is_what_drawing_every_set_gives(answers):
    for passed in range(answers + 1):
        outcomes = [1] * passed + [0] * (answers - passed)
        for k in range(1, answers + 1):
            drawn = list(combinations(outcomes, k))
            assert pass_hat_k(passed, answers, k) == pytest.approx(np.mean([all(one) for one in drawn]))
            assert pass_at_k(passed, answers, k) == pytest.approx(np.mean([any(one) for one in drawn]))


def test_pass_k_is_unbiased():
    for k in (1, 2, 5):
        n, p = 8, 0.7
        weights = stats.binom.pmf(np.arange(n + 1), n, p)
        assert np.dot(weights, [pass_hat_k(c, n, k) for c in range(n + 1)]) == pytest.approx(p**k)
        assert np.dot(weights, [pass_at_k(c, n, k) for c in range(n + 1)]) == pytest.approx(1 - (1 - p) ** k)


@pytest.mark.parametrize(("passed", "answers"), [(0, 5), (3, 5), (5, 5), (97, 100)])
def test_bounds_of_a_share_are_scipys(passed, answers):
    low, high = clopper_pearson(passed, answers, 0.025)
    found = stats.binomtest(passed, answers).proportion_ci(0.95, "exact")
    assert (low, high) == pytest.approx((found.low, found.high))


def test_a_case_is_tested_against_its_bound_with_holms_correction():
    found = case_rates([("a", 1, 10), ("b", 8, 10), ("c", 10, 10)], 0.8, 0.05)
    alone = [stats.binomtest(c, 10, 0.8, alternative="less").pvalue for c in (1, 8, 10)]
    assert [one.adjusted for one in found] == pytest.approx([3 * alone[0], min(2 * alone[1], 1), 1])
    assert found[0].high == pytest.approx(clopper_pearson(1, 10, 0.05 / 3)[1])
    assert found[2].low == pytest.approx(clopper_pearson(10, 10, 0.05 / 3)[0])


def test_no_case_is_blamed_by_chance_too_often():
    rng = np.random.default_rng(4)
    blamed = 0
    for _ in range(400):
        counts = [(str(case), int(c), 10) for case, c in enumerate(rng.binomial(10, 0.8, 50))]
        blamed += any(one.adjusted <= 0.05 for one in case_rates(counts, 0.8, 0.05))
    assert stats.binom.sf(blamed - 1, 400, 0.05) > 1e-4
