"""Metrics and their linear form, against scikit-learn, numerical derivatives and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from treadle.evaluate import Measure, estimate, paired_difference
from treadle.evaluate.models.inputs import scored
from treadle.evaluate.models.linear import linearise
from treadle.kernel.errors import InvalidInput


def binary(rng, n=400):
    labels = (rng.random(n) < 0.35).astype(float)
    return labels, np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.2, n), 0, 1).round(2)


def several(rng, n=400, classes=4):
    labels = rng.integers(0, classes, n)
    raw = rng.gamma(1.0, size=(n, classes)) + 1.2 * np.eye(classes)[labels]
    return labels.astype(float), raw / raw.sum(axis=1, keepdims=True)


def test_binary_metrics_are_scikit_learns():
    labels, scores = binary(np.random.default_rng(1))
    decided = scores >= 0.4
    expected = {
        "accuracy": sk.accuracy_score(labels, decided),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, decided),
        "precision": sk.precision_score(labels, decided),
        "recall": sk.recall_score(labels, decided),
        "specificity": sk.recall_score(labels, decided, pos_label=0),
        "f1": sk.f1_score(labels, decided),
    }
    for metric, value in expected.items():
        assert estimate(Measure(metric, threshold=0.4), labels, scores).value == pytest.approx(value), metric


def test_regression_metrics_are_scikit_learns():
    rng = np.random.default_rng(2)
    labels = rng.normal(0, 3, 300)
    scores = labels + rng.normal(0.2, 1, 300)
    assert estimate("rmse", labels, scores).value == pytest.approx(sk.root_mean_squared_error(labels, scores))
    for alpha in (0.1, 0.5, 0.9):
        found = estimate(Measure("pinball", quantile=alpha), labels, scores)
        assert found.value == pytest.approx(sk.mean_pinball_loss(labels, scores, alpha=alpha))


def test_multiclass_metrics_are_scikit_learns():
    labels, scores = several(np.random.default_rng(3))
    decided = scores.argmax(axis=1)
    assert estimate("accuracy", labels, scores).value == pytest.approx(sk.accuracy_score(labels, decided))
    assert estimate("macro_f1", labels, scores).value == pytest.approx(
        sk.f1_score(labels, decided, average="macro")
    )
    assert estimate("log_loss", labels, scores).value == pytest.approx(sk.log_loss(labels, scores))
    for k in (1, 2, 3):
        found = estimate(Measure("top_k_accuracy", k=k), labels, scores)
        assert found.value == pytest.approx(sk.top_k_accuracy_score(labels, scores, k=k))


def test_macro_f1_is_the_mean_over_the_classes_that_occur():
    labels, scores = several(np.random.default_rng(4), n=120, classes=6)
    keep = labels < 4
    labels, scores = labels[keep], scores[keep]
    decided = scores.argmax(axis=1)
    assert decided.max() > 3
    expected = sk.f1_score(labels, decided, average="macro", labels=[0, 1, 2, 3])
    assert estimate("macro_f1", labels, scores).value == pytest.approx(expected)


def test_equal_scores_don_t_make_a_class_one_of_the_first():
    assert estimate(Measure("top_k_accuracy", k=2), [0, 1, 2], np.full((3, 3), 1 / 3)).value == 0


def derivative(measure, labels, scores, row, codes=None):
    """How the metric changes when a row counts a little more, by the definition of weighted metrics."""
    step = 1e-6
    weights = np.ones(len(labels))
    plain = weighted(measure, labels, scores, weights)
    weights[row] += step
    return (weighted(measure, labels, scores, weights) - plain) / step


def weighted(measure, labels, scores, weights):
    if measure.metric == "roc_auc":
        return sk.roc_auc_score(labels, scores, sample_weight=weights)
    if measure.metric == "rmse":
        return sk.root_mean_squared_error(labels, scores, sample_weight=weights)
    if measure.metric == "pinball":
        return sk.mean_pinball_loss(labels, scores, alpha=measure.quantile, sample_weight=weights)
    if measure.metric == "macro_f1":
        return sk.f1_score(labels, scores.argmax(axis=1), average="macro", sample_weight=weights)
    decided = scores >= measure.threshold
    if measure.metric == "specificity":
        return sk.recall_score(labels, decided, pos_label=0, sample_weight=weights)
    named = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score,
             "balanced_accuracy": sk.balanced_accuracy_score, "accuracy": sk.accuracy_score}  # fmt: skip
    return named[measure.metric](labels, decided, sample_weight=weights)


@pytest.mark.parametrize(
    "metric",
    ["roc_auc", "accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1"],
)
def test_each_rows_share_is_the_derivative_by_its_weight(metric):
    labels, scores = binary(np.random.default_rng(5), n=60)
    measure = Measure(metric, threshold=0.4)
    found = linearise(measure, labels, scores)
    assert found.deviations.sum() == pytest.approx(0, abs=1e-12)
    for row in range(0, 60, 7):
        assert found.deviations[row] == pytest.approx(
            derivative(measure, labels, scores, row), rel=1e-4, abs=1e-8
        )


@pytest.mark.parametrize("metric", ["rmse", "pinball"])
def test_the_same_of_regression(metric):
    rng = np.random.default_rng(6)
    labels = rng.normal(0, 1, 50)
    scores, measure = labels + rng.normal(0, 1, 50), Measure(metric, quantile=0.8)
    found = linearise(measure, labels, scores)
    for row in range(0, 50, 7):
        assert found.deviations[row] == pytest.approx(
            derivative(measure, labels, scores, row), rel=1e-4, abs=1e-8
        )


def test_the_same_of_several_classes():
    labels, scores = several(np.random.default_rng(7), n=80)
    measure = Measure("macro_f1")
    found = linearise(measure, labels, scores)
    assert found.deviations.sum() == pytest.approx(0, abs=1e-12)
    for row in range(0, 80, 7):
        assert found.deviations[row] == pytest.approx(
            derivative(measure, labels, scores, row), rel=1e-4, abs=1e-8
        )


def test_an_additive_loss_by_cluster_is_statsmodels_regression_on_nothing():
    rng = np.random.default_rng(8)
    labels = rng.normal(0, 1, 300)
    ours, theirs = labels + rng.normal(0, 1, 300), labels + rng.normal(0, 1.1, 300)
    clusters = rng.permutation(np.arange(300) % 25)
    measure = Measure("pinball", quantile=0.9)
    loss = [np.where(s < labels, 0.9 * (labels - s), 0.1 * (s - labels)) for s in (ours, theirs)]
    fit = sm.OLS(loss[1] - loss[0], np.ones(300)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    found = paired_difference(measure, labels, ours, theirs, clusters)
    assert found.value == pytest.approx(fit.params[0])
    assert found.se == pytest.approx(fit.bse[0] * np.sqrt(25 / 24))


def test_recall_by_cluster_is_the_regression_among_true_rows():
    rng = np.random.default_rng(9)
    labels, scores = binary(rng, 800)
    kept = np.sort(np.concatenate([np.flatnonzero(labels == 1)[:240], np.flatnonzero(labels == 0)]))
    labels, scores = labels[kept], scores[kept]
    true, clusters = labels == 1, rng.integers(0, 30, len(labels))
    clusters[true] = rng.permutation(np.arange(240) % 30)
    fit = sm.OLS((scores >= 0.5)[true].astype(float), np.ones(true.sum())).fit(
        cov_type="cluster", cov_kwds={"groups": clusters[true], "use_correction": False}
    )
    found = estimate("recall", labels, scores, clusters)
    assert found.value == pytest.approx(fit.params[0])
    assert found.se == pytest.approx(fit.bse[0] * np.sqrt(30 / 29))
    assert found.clusters == 30


@pytest.mark.parametrize(
    "metric", ["balanced_accuracy", "precision", "recall", "specificity", "f1", "rmse", "macro_f1"]
)
def test_intervals_cover(metric):
    """95 % intervals of metrics that are no plain means, of rows that are drawn anew each time."""
    rng = np.random.default_rng(10)
    trials, n, held, values = 500, 250, [], []
    for _ in range(trials):
        if metric == "macro_f1":
            labels, scores = several(rng, n, 3)
        elif metric == "rmse":
            labels = rng.normal(0, 1, n)
            scores = labels + rng.standard_t(8, n)
        else:
            labels, scores = binary(rng, n)
        found = estimate(metric, labels, scores)
        held.append((found.low, found.high))
        values.append(found.value)
    truth = np.mean(values)  # a hundred times as precise as one of them
    covered = sum(low <= truth <= high for low, high in held)
    low, high = stats.binom.interval(0.9999, trials, 0.95)
    assert low <= covered <= high


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["roc_auc", "f1", "precision", "brier", "rmse"]))
def test_rows_in_another_order_and_all_rows_twice(seed, metric):
    rng = np.random.default_rng(seed)
    labels, scores = binary(rng, 80)
    order = rng.permutation(80)
    one, other = estimate(metric, labels, scores), estimate(metric, labels[order], scores[order])
    assert (one.value, one.se) == pytest.approx((other.value, other.se))
    # The same rows twice are no new evidence if a row and its copy are one cluster.
    alone = estimate(metric, labels, scores, np.arange(80))
    twice = estimate(metric, np.tile(labels, 2), np.tile(scores, 2), np.tile(np.arange(80), 2))
    assert (twice.value, twice.se) == pytest.approx((alone.value, alone.se), rel=1e-6)
    assert alone.se == pytest.approx(one.se, rel=0.05 if metric in {"f1", "precision"} else 1e-6)


@pytest.mark.parametrize(
    ("metric", "labels", "scores", "says"),
    [
        ("precision", [0, 1, 1], [0.1, 0.2, 0.3], "no row is decided true"),
        ("f1", [0, 0, 0], [0.1, 0.2, 0.3], "no row is true or decided true"),
        ("recall", [0, 0, 0], [0.1, 0.2, 0.3], "no row has the label"),
        ("specificity", [1, 1, 1], [0.1, 0.2, 0.3], "no row has the label"),
        ("balanced_accuracy", [1, 1, 1], [0.1, 0.2, 0.3], "no row is false"),
        ("balanced_accuracy", [0, 0, 0], [0.1, 0.2, 0.3], "no row is true"),
        ("macro_f1", [0, 1, 2], [0.1, 0.2, 0.3], "a column of scores for each class"),
        ("macro_f1", [0, 1, 3], np.eye(3), "labels of 3 classes are 0 to 2; one is 3"),
        ("macro_f1", [0, 1, 0.5], np.eye(3), "labels of 3 classes are 0 to 2; one is 0.5"),
        ("log_loss", [0, 1, 2], np.full((3, 3), 0.5), "sum to 1.5, not to 1"),
        ("log_loss", [0, 1, 2], np.full((3, 3), [-1.0, 1.0, 1.0]), "3 scores are not"),
        ("macro_f1", [0, 1, 1], np.array([[1.0, np.nan], [1, 0], [1, 0]]), "1 of 6 scores are missing"),
        ("macro_f1", [0, 0, 0], np.ones((3, 1)), "only one class"),
        ("top_k_accuracy", [0, 1, 2], np.eye(3), "one of the first 10 of 3 classes is always right"),
        ("roc_auc", [0, 1, 1], np.eye(3), "one column of scores; there are 3"),
        ("brier", [0, 1, 1], np.ones((3, 2, 2)), "not one column"),
        ("pinball", [0.5, 1, 2], [1.0, np.inf, 2.0], "1 of 3 scores are missing"),
        ("ndcg", [0.5, 1, 2], [1.0, 2.0, 3.0], "nothing says which rows are one query"),
    ],
)
def test_what_does_not_define_the_metric_is_refused(metric, labels, scores, says):
    with pytest.raises(InvalidInput, match=says):
        estimate(metric, labels, scores)
    with pytest.raises(InvalidInput, match=says):
        paired_difference(metric, labels, scores, scores)


def test_models_of_different_classes_are_not_compared():
    with pytest.raises(InvalidInput, match="one model scores"):
        scored(Measure("macro_f1"), [0, 1, 1], np.ones((3, 3)), np.ones((3, 2)))
