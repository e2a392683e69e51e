"""Estimates against brute force, scipy, sklearn, statsmodels, a published example and simulation."""

from __future__ import annotations

import time

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from treadle.evaluate import estimate, is_loss, paired_difference
from treadle.kernel.errors import InvalidInput

ALL = ("roc_auc", "log_loss", "brier", "accuracy", "mae", "mse")


def sample(rng, n=300, lift=0.2, decimals=2):
    """Labels and two correlated, tied scores."""
    labels = (rng.random(n) < 0.3).astype(float)
    shared = rng.normal(0.4 + lift * labels, 0.2)
    a, b = (np.clip(shared + rng.normal(0, 0.1, n), 0.01, 0.99).round(decimals) for _ in range(2))
    return labels, a, b


def brute_components(labels, scores):
    """DeLong's structural components by their definition, O(m n)."""
    x, y = scores[labels == 1][:, None], scores[labels == 0][None, :]
    kernel = (x > y) + 0.5 * (x == y)
    return kernel.mean(axis=1), kernel.mean(axis=0)


def within_binomial(hits, trials, p, sure=0.9999):
    """Whether a count could well come from that probability."""
    low, high = stats.binom.interval(sure, trials, p)
    return low <= hits <= high


def test_point_values_equal_sklearns():
    labels, scores, _ = sample(np.random.default_rng(1))
    expected = {
        "roc_auc": sk.roc_auc_score(labels, scores),
        "log_loss": sk.log_loss(labels, scores),
        "brier": sk.brier_score_loss(labels, scores),
        "accuracy": sk.accuracy_score(labels, scores >= 0.5),
        "mae": sk.mean_absolute_error(labels, scores),
        "mse": sk.mean_squared_error(labels, scores),
    }
    for metric, value in expected.items():
        assert estimate(metric, labels, scores).value == pytest.approx(value, abs=1e-12), metric


def test_log_loss_of_certain_errors_is_large_and_finite():
    assert estimate("log_loss", [1, 0], [0.0, 1.0]).value == pytest.approx(-np.log(1e-15), rel=1e-2)
    assert estimate("log_loss", [1, 0], [1.0, 0.0]).value == pytest.approx(0, abs=1e-12)


def test_auc_variance_is_delongs_by_definition():
    labels, a, b = sample(np.random.default_rng(2), n=120, decimals=1)
    (v10, v01), (w10, w01) = brute_components(labels, a), brute_components(labels, b)
    found = estimate("roc_auc", labels, a)
    assert found.se**2 == pytest.approx(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))
    # The paired variance by the covariance matrix of both scores, not by differences.
    s10, s01 = np.cov(v10, w10), np.cov(v01, w01)
    covariance = s10 / len(v10) + s01 / len(v01)
    contrast = np.array([1, -1])
    difference = paired_difference("roc_auc", labels, a, b)
    assert difference.se**2 == pytest.approx(contrast @ covariance @ contrast)
    assert difference.value == pytest.approx(sk.roc_auc_score(labels, a) - sk.roc_auc_score(labels, b))


def unmoved(found, confidence=0.95):
    """Student's interval, before it allows for skewness."""
    width = stats.t.ppf((1 + confidence) / 2, found.df) * found.se
    assert found.low <= found.value - width
    assert found.high >= min(found.value + width, 1)
    return found.value - width, found.value + width


def test_auc_interval_is_that_of_brunner_and_munzels_published_example():
    # Shoulder pain data; R's lawstat::brunner.munzel.test prints these figures.
    x = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1]
    y = [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]
    found = estimate("roc_auc", [0] * len(x) + [1] * len(y), x + y)
    assert found.value == pytest.approx(0.788961, abs=1e-6)
    assert found.df == pytest.approx(17.683, abs=1e-3)
    assert unmoved(found) == pytest.approx((0.5952169, 0.9827052), abs=1e-7)


# 43 patients of DeLong, DeLong & Clarke-Pearson (1988): albumin, total protein, K-G score, and whether
# surgery helped. SAS prints the figures below (SAS/STAT User's Guide, PROC LOGISTIC, comparing ROC curves).
PATIENTS = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def test_delongs_own_example_is_as_sas_prints_it():
    albumin, protein, score, labels = np.array(PATIENTS.split(), float).reshape(-1, 4).T
    scores = {"albumin": albumin, "K-G": 10 - score, "protein": protein}
    printed = {"albumin": (0.7366, 0.0927), "K-G": (0.7258, 0.1028), "protein": (0.6478, 0.1000)}
    for name, figures in printed.items():
        found = estimate("roc_auc", labels, scores[name])
        assert (round(found.value, 4), round(found.se, 4)) == figures, name
    for name, figures in {"albumin": (0.0108, 0.0953), "protein": (-0.0780, 0.1046)}.items():
        found = paired_difference("roc_auc", labels, scores[name], scores["K-G"])
        assert (round(found.value, 4), round(found.se, 4)) == figures, name


def test_auc_against_scipys_brunner_munzel():
    labels, scores, _ = sample(np.random.default_rng(3), n=60, lift=0.05)
    found = estimate("roc_auc", labels, scores)
    reference = stats.brunnermunzel(scores[labels == 0], scores[labels == 1])
    assert (found.value - 0.5) / found.se == pytest.approx(reference.statistic)
    assert 2 * stats.t.sf(abs(reference.statistic), found.df) == pytest.approx(reference.pvalue)


def test_auc_errors_agree_with_the_bootstrap():
    rng = np.random.default_rng(4)
    labels, a, b = sample(rng, n=400)
    draws = []
    for _ in range(1000):
        rows = rng.integers(0, len(labels), len(labels))
        draws.append([estimate("roc_auc", labels[rows], s[rows]).value for s in (a, b)])
    aucs = np.array(draws)
    assert estimate("roc_auc", labels, a).se == pytest.approx(aucs[:, 0].std(ddof=1), rel=0.1)
    difference = paired_difference("roc_auc", labels, a, b)
    assert difference.se == pytest.approx((aucs[:, 0] - aucs[:, 1]).std(ddof=1), rel=0.1)


def test_clustered_auc_variance_is_obuchowskis_by_definition():
    """Of clusters alike in size; of others it is larger (see models/test_clustering.py)."""
    rng = np.random.default_rng(5)
    labels, scores, _ = sample(rng, n=300)
    kept = np.concatenate([np.flatnonzero(labels == one)[:size] for one, size in ((1, 60), (0, 100))])
    labels, scores, clusters = labels[kept], scores[kept], np.arange(160) % 20
    v10, v01 = brute_components(labels, scores)
    auc, m, n = v10.mean(), len(v10), len(v01)
    ones, zeros = clusters[labels == 1], clusters[labels == 0]
    x = np.array([(v10[ones == c] - auc).sum() for c in range(20)])
    y = np.array([(v01[zeros == c] - auc).sum() for c in range(20)])
    i10, i01 = len(set(ones)), len(set(zeros))
    s10, s01 = i10 / ((i10 - 1) * m) * (x @ x), i01 / ((i01 - 1) * n) * (y @ y)
    s11 = 20 / 19 * (x @ y)
    variance = s10 / m + s01 / n + 2 * s11 / (m * n)
    found = estimate("roc_auc", labels, scores, clusters)
    assert found.se**2 == pytest.approx(variance)
    assert (found.clusters, found.n) == (20, 160)
    assert found.df == 19


@pytest.mark.parametrize("metric", ALL)
def test_clusters_of_one_row_are_no_clusters(metric):
    labels, a, b = sample(np.random.default_rng(6))
    own = np.random.default_rng(7).permutation(len(labels))
    for plain, clustered in (
        (estimate(metric, labels, a), estimate(metric, labels, a, own)),
        (paired_difference(metric, labels, a, b), paired_difference(metric, labels, a, b, own)),
    ):
        for field in ("value", "se", "low", "high", "n", "clusters", "df"):
            assert getattr(clustered, field) == pytest.approx(getattr(plain, field)), field


def test_additive_metrics_are_the_t_test_and_statsmodels_clustered_regression():
    rng = np.random.default_rng(8)
    labels, a, b = sample(rng)
    clusters = np.arange(len(labels)) % 30
    loss_a, loss_b = (a - labels) ** 2, (b - labels) ** 2
    found = paired_difference("brier", labels, a, b)
    reference = stats.ttest_rel(loss_b, loss_a)
    assert found.value / found.se == pytest.approx(reference.statistic)
    assert unmoved(found) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    fit = sm.OLS(loss_b - loss_a, np.ones(len(labels))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    clustered = paired_difference("brier", labels, a, b, clusters)
    assert clustered.se == pytest.approx(fit.bse[0] * np.sqrt(30 / 29))
    assert clustered.df == 29


def test_better_is_positive_for_every_metric():
    rng = np.random.default_rng(9)
    labels = (rng.random(500) < 0.5).astype(float)
    good, bad = np.clip(labels, 0.2, 0.8), np.full(500, 0.4)
    bad[:250] = 0.6
    for metric in ALL:
        assert paired_difference(metric, labels, good, bad).value > 0, metric
        assert paired_difference(metric, labels, bad, good).value < 0, metric
    assert [metric for metric in ALL if is_loss(metric)] == ["log_loss", "brier", "mae", "mse"]


def test_identical_scores_differ_by_exactly_nothing():
    labels, a, _ = sample(np.random.default_rng(10))
    for metric in ALL:
        found = paired_difference(metric, labels, a, a.copy())
        assert (found.value, found.se, found.low, found.high) == (0, 0, 0, 0), metric


def test_perfect_scores_leave_doubt():
    labels, scores = np.repeat([0.0, 1.0], [30, 20]), np.repeat([0.1, 0.9], [30, 20])
    auc, accuracy = estimate("roc_auc", labels, scores), estimate("accuracy", labels, scores)
    # Clopper-Pearson for 20 disjoint pairs of 20, and 50 rows of 50.
    assert auc.low == pytest.approx(stats.beta.ppf(0.025, 20, 1))
    assert accuracy.low == pytest.approx(stats.beta.ppf(0.025, 50, 1))
    assert auc.high == accuracy.high == 1
    # Two different models that are both perfect aren't proven to be equal.
    both = paired_difference("accuracy", labels, scores, scores * 0.99)
    assert both.value == 0
    assert both.low < 0 < both.high


def clustered_draw(rng, clusters=40, size=15):
    """Rows whose cluster shifts the chance of the label and the score."""
    which = np.repeat(np.arange(clusters), size)
    effect = rng.normal(0, 1, clusters)[which]
    labels = (rng.normal(0, 1, clusters * size) + 0.7 * rng.normal(0, 1, clusters)[which] > 0).astype(float)
    return labels, 0.8 * labels + effect + rng.normal(0, 1, clusters * size), which


def test_clustered_interval_covers_where_the_naive_one_does_not():
    rng = np.random.default_rng(11)
    trials, clustered, naive = 600, [], []
    for _ in range(trials):
        labels, scores, which = clustered_draw(rng)
        clustered.append(estimate("roc_auc", labels, scores, which))
        naive.append(estimate("roc_auc", labels, scores))
    truth = np.mean([found.value for found in clustered])
    # Rows of different clusters differ by two effects and two errors; few pairs share a cluster.
    assert truth == pytest.approx(stats.norm.cdf(0.8 / 2), abs=0.01)
    assert within_binomial(sum(found.low <= truth <= found.high for found in clustered), trials, 0.95)
    assert sum(found.low <= truth <= found.high for found in naive) < stats.binom.ppf(0.001, trials, 0.85)


@pytest.mark.parametrize("metric", ["brier", "accuracy"])
def test_clustered_mean_covers_where_the_naive_one_does_not(metric):
    """100 cases of 10 repeats: the naive interval covers about 72 %."""
    rng = np.random.default_rng(12)
    trials, covered, naive = 600, 0, 0
    chance = stats.beta(2, 2)
    truth = 0.5 if metric == "accuracy" else 0.5 * (0.1**2 + 0.9**2)
    which = np.repeat(np.arange(100), 10)
    for _ in range(trials):
        right = rng.random(1000) < chance.rvs(100, random_state=rng)[which]
        scores = np.where(right, 0.9, 0.1)
        labels = np.ones(1000)
        found, plain = estimate(metric, labels, scores, which), estimate(metric, labels, scores)
        covered += found.low <= truth <= found.high
        naive += plain.low <= truth <= plain.high
    assert within_binomial(covered, trials, 0.95)
    assert naive < stats.binom.ppf(0.001, trials, 0.85)


def test_delong_interval_and_paired_interval_cover():
    rng = np.random.default_rng(13)
    truth, trials, covered, paired = stats.norm.cdf(1 / np.sqrt(2)), 1000, 0, 0
    for _ in range(trials):
        labels = (np.arange(150) < 50).astype(float)
        shared = labels + rng.normal(0, 0.8, 150)
        a, b = shared + rng.normal(0, 0.6, 150), shared + rng.normal(0, 0.6, 150)
        found, difference = estimate("roc_auc", labels, a), paired_difference("roc_auc", labels, a, b)
        covered += found.low <= truth <= found.high
        paired += difference.low <= 0 <= difference.high
    assert within_binomial(covered, trials, 0.95)
    assert within_binomial(paired, trials, 0.95)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.integers(0, 10), st.integers(0, 10), st.integers(0, 5)),
        min_size=12,
        max_size=60,
    ),
    seed=st.integers(0, 1000),
    metric=st.sampled_from(ALL),
)
def test_row_order_and_cluster_names_do_not_matter(rows, seed, metric):
    rows = [*rows, *((label, 5, 5, cluster) for label in (False, True) for cluster in (6, 7))]
    labels, a, b, clusters = (np.array(column) for column in zip(*rows, strict=True))
    a, b = a / 10, b / 10
    order = np.random.default_rng(seed).permutation(len(rows))
    names = np.array(["w", "q", "a", "z", "m", "b", "y", "c"])
    for one, other in (
        (
            estimate(metric, labels, a, clusters),
            estimate(metric, labels[order], a[order], names[clusters[order]]),
        ),
        (
            paired_difference(metric, labels, a, b, clusters),
            paired_difference(metric, labels[order], a[order], b[order], names[clusters[order]]),
        ),
    ):
        for field in ("value", "se", "low", "high"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), abs=1e-7), field


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=4, max_size=60))
def test_auc_only_knows_the_order_of_scores(rows):
    rows = [*rows, (True, 0), (False, 0), (True, 1), (False, 1)]
    labels, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    one, other = estimate("roc_auc", labels, scores), estimate("roc_auc", labels, np.exp(scores))
    assert (one.value, one.se) == pytest.approx((other.value, other.se))
    turned = estimate("roc_auc", 1 - labels, -scores)
    assert (one.value, one.se) == pytest.approx((turned.value, turned.se))


def test_75_000_rows_take_well_under_100_ms():
    rng = np.random.default_rng(14)
    labels, a, b = sample(rng, n=75_000, decimals=8)
    clusters = rng.integers(0, 90, len(labels))
    paired_difference("roc_auc", labels, a, b, clusters)
    start = time.process_time()
    for _ in range(3):
        paired_difference("roc_auc", labels, a, b, clusters)
    assert (time.process_time() - start) / 3 < 0.1


@pytest.mark.parametrize(
    ("metric", "labels", "scores", "says"),
    [
        ("roc_auc", [], [], "no labels"),
        ("roc_auc", [1, 1, 1], [0.1, 0.2, 0.3], "all 3 labels are 1"),
        ("roc_auc", [1, 0, 0], [0.1, 0.2, 0.3], "two rows of each class"),
        ("roc_auc", [1, 0, 1, 0], [0.1, float("nan"), 0.3, 0.4], "1 of 4 scores are missing"),
        ("brier", [1, 0, 1, 0], [0.1, float("inf"), 0.3, 0.4], "NaN or infinite"),
        ("brier", [1, 0, 1, 0], [0.1, 1.5, 0.3, 0.4], "from 0 to 1"),
        ("log_loss", [1, 0, 1, 0], [0.1, -0.5, 0.3, 0.4], "from 0 to 1"),
        ("accuracy", [1, 0, 2, 0], [0.1, 0.5, 0.3, 0.4], "not, as 2"),
        ("accuracy", [1, 0, None, 0], [0.1, 0.5, 0.3, 0.4], "1 of 4 labels are missing"),
        ("mae", [1.0, 2.0], [1.0, 2.0, 3.0], "2 labels and 3 scores"),
        ("mae", [1.0], [2.0], "at least two rows"),
        ("mae", [1.0, "2"], [2.0, 3.0], "not numbers"),
        ("mae", ["1", "2"], [2.0, 3.0], "not numbers"),
        ("mae", [[1.0, 2.0]], [2.0, 3.0], "one column"),
        ("mae", np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False]), [1, 2, 3], "1 of 3 labels"),
        ("mae", [1.0, 2.0, 3.0], np.ma.masked_array([1, 2, 3], [False, True, False]), "1 of 3 scores"),
    ],
)
def test_what_gives_no_honest_number_is_refused(metric, labels, scores, says):
    with pytest.raises(InvalidInput, match=says):
        estimate(metric, labels, scores)
    with pytest.raises(InvalidInput, match=says):
        paired_difference(metric, labels, scores, scores)


@pytest.mark.parametrize(
    ("clusters", "says"),
    [
        ([1, 1, 1, 1], "1 cluster:"),
        ([1, 2, 3], "4 labels and 3 cluster"),
        ([1, 2, 3, float("nan")], "1 rows have no cluster"),
        (["a", "b", None, "d"], "1 rows have no cluster"),
        (np.array(["2024-01-01", "NaT", "NaT", "2024-01-02"], "datetime64[D]"), "2 rows have no cluster"),
    ],
)
def test_clusters_that_can_not_be_used_are_refused(clusters, says):
    for metric in ("brier", "roc_auc"):
        with pytest.raises(InvalidInput, match=says):
            estimate(metric, [1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], clusters)


def test_an_auc_needs_two_clusters_with_each_class():
    with pytest.raises(InvalidInput, match="with rows of each class"):
        estimate("roc_auc", [1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], [1, 1, 2, 3])
