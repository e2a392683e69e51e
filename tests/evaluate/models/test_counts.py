"""Counts of decisions and their bootstrap: against scikit-learn, resampled rows, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from treadle.evaluate import Measure
from treadle.evaluate.models import cells, resampling
from treadle.evaluate.models.comparing import Bootstrap, assess, compare
from treadle.evaluate.models.inputs import scored

METRICS = ("accuracy", "recall", "specificity", "precision", "f1", "balanced_accuracy")
OF_COUNTS = ("precision", "f1", "balanced_accuracy")


def pair(rng, n, flips=0.1):
    """Labels and two models' scores; the second decides some rows differently."""
    labels = (rng.random(n) < 0.4).astype(float)
    ours = np.clip(0.35 + 0.3 * labels + rng.normal(0, 0.2, n), 0, 1)
    theirs = np.where(rng.random(n) < flips, 1 - ours, ours)
    return labels, ours, theirs


def counts_of(labels, ours, theirs):
    return cells.count(labels == 1, ours >= 0.5, theirs >= 0.5)


@pytest.mark.parametrize("metric", METRICS)
def test_values_of_counts_are_scikit_learns(metric):
    labels, ours, theirs = pair(np.random.default_rng(1), 500)
    counts = counts_of(labels, ours, theirs)
    for scores, mine in ((ours, True), (theirs, False)):
        decided = scores >= 0.5
        expected = {
            "accuracy": sk.accuracy_score(labels, decided),
            "recall": sk.recall_score(labels, decided),
            "specificity": sk.recall_score(labels, decided, pos_label=0),
            "precision": sk.precision_score(labels, decided),
            "f1": sk.f1_score(labels, decided),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, decided),
        }[metric]
        assert cells.value(metric, counts, ours=mine) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_counts_of_parts_add_up_to_the_whole_and_order_is_nothing(seed, parts):
    rng = np.random.default_rng(seed)
    labels, ours, theirs = pair(rng, 60)
    whole = counts_of(labels, ours, theirs)
    where = rng.integers(0, parts, 60)
    merged = sum(
        counts_of(labels[where == part], ours[where == part], theirs[where == part])
        for part in range(parts)
        if (where == part).any()
    )
    assert merged.tolist() == whole.tolist()
    order = rng.permutation(60)
    assert counts_of(labels[order], ours[order], theirs[order]).tolist() == whole.tolist()


@pytest.mark.parametrize("metric", OF_COUNTS)
def test_the_bootstrap_of_counts_is_that_of_rows(metric):
    """Same distribution as resampling the rows themselves, which the half rows hardly change here."""
    rng = np.random.default_rng(2)
    labels, ours, theirs = pair(rng, 3000)
    draws = resampling.of_rows(metric, counts_of(labels, ours, theirs), 4000, 1, paired=True).values
    rows = []
    for _ in range(1500):
        at = rng.integers(0, 3000, 3000)
        rows.append(cells.gain(metric, counts_of(labels[at], ours[at], theirs[at])))
    assert stats.ks_2samp(draws, np.array(rows)).pvalue > 0.001
    assert draws.std() == pytest.approx(np.std(rows), rel=0.06)


def test_a_p_value_is_the_level_at_which_the_bound_meets_the_line():
    draws = resampling.Draws(np.sort(np.random.default_rng(4).normal(0, 1, 20_000)))
    for level in (0.01, 0.05, 0.4):
        line = draws.bounds(1 - 2 * level)[1]
        assert draws.p_value(line) == pytest.approx(level, rel=0.05)
    assert draws.p_value(-10) > 0.999
    assert 0 < draws.p_value(10) <= 1 / 20_000 + 1e-12


def test_equal_counts_get_equal_answers_and_seeds_differ():
    counts = counts_of(*pair(np.random.default_rng(5), 800))
    one, same = (resampling.of_rows("f1", counts, 1000, 7, paired=True).values for _ in range(2))
    other = resampling.of_rows("f1", counts, 1000, 8, paired=True).values
    assert one.tolist() == same.tolist()
    assert one.tolist() != other.tolist()


@pytest.mark.parametrize("metric", OF_COUNTS)
def test_without_a_differing_row_doubt_remains(metric):
    labels = np.repeat([0.0, 1.0], [70, 30])
    ours = np.where(labels == 1, 0.9, 0.2)
    ours[::9] = 0.6
    rows = scored(Measure(metric), labels, ours, ours * 0.99)
    found = compare(Measure(metric), rows, 0.95, Bootstrap()).found
    assert found.value == 0
    assert -0.1 < found.low < 0 < found.high < 0.1
    same = compare(Measure(metric), scored(Measure(metric), labels, ours, ours.copy()), 0.95, Bootstrap())
    assert (same.found.low, same.found.high, same.test) == (0, 0, "the same scores")


def chances(prevalence, sensitivity, specificity, differ_true, differ_false):
    """The share of each cell; of rows that differ, the candidate loses half."""
    found = np.zeros(8)
    true, false = prevalence, 1 - prevalence
    found[[5, 6]] = true * differ_true / 2
    found[7] = true * (sensitivity - differ_true / 2)
    found[4] = true - found[5:8].sum()
    found[[1, 2]] = false * differ_false / 2
    found[0] = false * (specificity - differ_false / 2)
    found[3] = false - found[:3].sum()
    return found


SITUATIONS = [
    (200, (0.3, 0.8, 0.85, 0.05, 0.03)),  # 7 rows differ
    (1000, (0.3, 0.8, 0.85, 0.005, 0.003)),  # 4 rows
    (500, (0.1, 0.6, 0.95, 0.1, 0.02)),  # 14 rows
    (2000, (0.3, 0.8, 0.85, 0.05, 0.03)),  # 72 rows
]


def bounds_that_hold(metric, n, shares, trials, seed):
    """How often the lower bound of the gain lies at or under the true gain."""
    rng = np.random.default_rng(seed)
    truth, held = float(cells.gain(metric, shares)), 0
    for counts in rng.multinomial(n, shares, trials):
        draws = resampling.of_rows(metric, counts, 1000, seed, paired=True)
        held += draws.bounds(0.9)[0] <= truth
    return held


@pytest.mark.parametrize(("n", "situation"), SITUATIONS)
def test_the_bootstraps_bound_covers_also_where_few_rows_differ(n, situation):
    trials = 200
    held = bounds_that_hold("balanced_accuracy", n, chances(*situation), trials, 6)
    # Never much less than 95 %: the half rows err on the side of doubt.
    assert held >= stats.binom.ppf(0.0005, trials, 0.94)


@pytest.mark.soak
@pytest.mark.parametrize("metric", OF_COUNTS)
@pytest.mark.parametrize(("n", "situation"), SITUATIONS)
def test_the_same_closely(metric, n, situation):
    trials = 6000
    held = bounds_that_hold(metric, n, chances(*situation), trials, 7)
    assert held >= stats.binom.ppf(0.001, trials, 0.945)


@pytest.mark.parametrize("metric", ["accuracy", "recall", "specificity", "precision", "f1"])
def test_the_floor_of_one_model_covers(metric):
    rng = np.random.default_rng(8)
    trials, shares = 300, chances(0.3, 0.9, 0.97, 0.0, 0.0)
    truth, held = float(cells.value(metric, shares)), 0
    for counts in rng.multinomial(150, shares, trials):
        cell = np.repeat(np.arange(8), counts)
        rows = scored(Measure(metric), (cell >> 2 & 1) * 1.0, (cell >> 1 & 1) * 1.0)
        held += assess(Measure(metric), rows, 0.95, Bootstrap(1000)).found.low <= truth
    assert held >= stats.binom.ppf(0.0005, trials, 0.94)


def test_a_share_alone_is_held_against_its_floor_by_the_binomial():
    labels, scores = np.ones(40), np.repeat([0.9, 0.1], [33, 7])
    found = assess(Measure("accuracy"), scored(Measure("accuracy"), labels, scores), 0.95, Bootstrap())
    reference = stats.binomtest(33, 40, 0.9, alternative="less")
    assert found.below(0.9).p_value == pytest.approx(reference.pvalue)
    assert found.found.high == pytest.approx(reference.proportion_ci(0.95).high)
    assert (found.found.clusters, found.test) == (40, "Clopper-Pearson")
