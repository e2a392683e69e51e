"""nDCG against scikit-learn, and its interval by query."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import ndcg_score

from treadle.evaluate import Measure, estimate, paired_difference
from treadle.evaluate.models.ranking import by_query
from treadle.kernel.errors import InvalidInput


def ranked(rng, queries=40, places=8, noise=1.0):
    which = np.repeat(np.arange(queries), places)
    relevance = rng.integers(0, 4, queries * places).astype(float)
    return relevance, (relevance + rng.normal(0, noise, queries * places)).round(0), which


@pytest.mark.parametrize("k", [1, 3, 10])
def test_it_is_scikit_learns_also_with_equal_scores(k):
    rng = np.random.default_rng(1)
    relevance, scores, which = ranked(rng)
    order = rng.permutation(len(which))
    found = by_query(relevance[order], scores[order], which[order], k)
    for query in range(40):
        mine = which == query
        assert found[query] == pytest.approx(ndcg_score([relevance[mine]], [scores[mine]], k=k)), query


def test_queries_of_different_lengths():
    relevance, scores = np.array([1.0, 0, 2, 0, 0, 1]), np.array([0.2, 0.9, 0.1, 0.4, 0.3, 0.8])
    which = np.array([0, 0, 0, 1, 1, 1])
    expected = [ndcg_score([relevance[:3]], [scores[:3]]), ndcg_score([relevance[3:]], [scores[3:]])]
    assert by_query(relevance, scores, which, 10) == pytest.approx(expected)


def test_a_query_without_anything_relevant_says_nothing():
    relevance, scores, which = ranked(np.random.default_rng(2))
    relevance[which < 10] = 0
    found = estimate("ndcg", relevance, scores, which)
    assert found.clusters == 30
    assert found.value == pytest.approx(np.nanmean(by_query(relevance, scores, which, 10)))
    with pytest.raises(InvalidInput, match="no query has anything relevant"):
        estimate("ndcg", np.zeros(len(which)), scores, which)
    with pytest.raises(InvalidInput, match="at least two queries"):
        estimate("ndcg", relevance[which == 20], scores[which == 20], which[which == 20])
    with pytest.raises(InvalidInput, match="a relevance is at least 0"):
        estimate("ndcg", relevance - 1, scores, which)


def test_the_difference_is_the_paired_t_test_of_queries():
    rng = np.random.default_rng(3)
    relevance, ours, which = ranked(rng)
    theirs = relevance + rng.normal(0, 2, len(which))
    found = paired_difference(Measure("ndcg", k=5), relevance, ours, theirs, which)
    a, b = (by_query(relevance, scores, which, 5) for scores in (ours, theirs))
    reference = stats.ttest_rel(a, b)
    assert found.value / found.se == pytest.approx(reference.statistic)
    # Allowing for skewness moves bounds outwards.
    low, high = reference.confidence_interval(0.95)
    assert low - 0.1 * (high - low) < found.low < low < high < found.high < high + 0.1 * (high - low)
    assert (found.n, found.clusters, found.df) == (320, 40, 39)
