"""Errors of rows in clusters: pyfixest's, the definition's, and how often their bounds hold."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from treadle.evaluate import Holdout, Measure, Verdict, estimate, paired_difference
from treadle.evaluate.models.clustering import Averaged, spread, too_few, worth
from treadle.evaluate.models.comparing import Bootstrap, assess, compare
from treadle.evaluate.models.inputs import scored
from treadle.evaluate.performance import judge
from treadle.evaluate.rules import needed
from treadle.kernel.config import ChecksConfig, PerformanceCheck

FIXTURES = Path(__file__).parents[2] / "fixtures/clusters"


def table(name):
    with (FIXTURES / name).open(newline="") as file:
        return list(csv.DictReader(file))


def mean(values, among):
    weights = among / among.sum()
    return Averaged(weights * (values - weights @ values), weights)


# ── against others ───────────────────────────────────────────────────────


@pytest.mark.parametrize("known", table("jackknife.csv"), ids=lambda one: f"{one['term']}-{one['clusters']}")
def test_errors_of_unlike_clusters_are_pyfixests(known):
    rows = table(f"rows_{known['clusters']}.csv")
    y, codes, group = (np.array([float(row[name]) for row in rows]) for name in ("y", "cluster", "group"))
    codes = codes.astype(int)
    parts = [mean(y, np.ones(len(y), bool))]
    if known["term"] == "difference":
        parts = [mean(y, group == 1), mean(-y, group == 0)]
    clusters = int(known["clusters"])
    found = spread(parts, codes)
    assert found.sizes == (clusters,) * len(parts)
    # pyfixest leaves out the jackknife's factor.
    scale = np.sqrt((clusters - 1) / clusters)
    assert np.sqrt(found.variance) == pytest.approx(scale * float(known["se"]), rel=1e-9)


def without(metric, labels, scores, keep):
    decided = scores[keep] >= 0.5
    named = {
        "precision": sk.precision_score,
        "f1": sk.f1_score,
        "recall": sk.recall_score,
        "accuracy": sk.accuracy_score,
    }
    return named[metric](labels[keep], decided)


@pytest.mark.parametrize("metric", ["accuracy", "recall", "precision", "f1"])
def test_it_is_what_leaving_out_each_cluster_changes(metric):
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(9), rng.integers(5, 80, 9))
    labels = (rng.random(len(codes)) < 0.2 + 0.06 * codes).astype(float)
    scores = np.clip(0.4 * labels + 0.7 * rng.random(len(codes)), 0, 1)
    whole = without(metric, labels, scores, codes >= 0)
    changes = [whole - without(metric, labels, scores, codes != one) for one in range(9)]
    found = estimate(metric, labels, scores, codes)
    assert found.se == pytest.approx(np.sqrt(8 / 9 * np.square(changes).sum()))


def test_degrees_of_freedom_are_satterthwaites_by_the_definition():
    """Of the sum of squares of clusters' contributions, as a quadratic form of independent rows."""
    sizes = np.array([3, 5, 9, 20, 2])
    codes = np.repeat(np.arange(5), sizes)
    n = len(codes)
    residuals = np.eye(n) - np.full((n, n), 1 / n)
    summed = np.array([(codes == one) / (n - sizes[one]) for one in range(5)]) @ residuals
    form = summed @ summed.T
    assert worth(sizes / n) == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


@pytest.mark.parametrize("clusters", [2, 5, 40])
def test_clusters_of_equal_size_are_worth_one_fewer(clusters):
    assert worth(np.full(clusters, 1 / clusters)) == pytest.approx(clusters - 1)


def test_two_groups_of_whole_clusters_are_welchs():
    """Each cluster in one group only, and one row a cluster: Welch's t."""
    rng = np.random.default_rng(2)
    values, group = rng.normal(0, 1, 40), np.arange(40) < 7
    found = spread([mean(values, group), mean(-values, ~group)], np.arange(40))
    welch = stats.ttest_ind(values[group], values[~group], equal_var=False)
    assert found.df == pytest.approx(welch.df)
    difference = values[group].mean() - values[~group].mean()
    assert difference / np.sqrt(found.variance) == pytest.approx(welch.statistic)


def test_a_cluster_with_nearly_all_rows_makes_the_others_too_few():
    codes = np.repeat(np.arange(8), [2000, 10, 10, 10, 10, 10, 10, 10])
    rng = np.random.default_rng(3)
    labels = (rng.random(len(codes)) < 0.5).astype(float)
    found = estimate("brier", labels, rng.random(len(codes)), codes)
    assert found.df < 2
    assert "too unequal" in too_few(8, found.df, "days")
    assert "too few" in too_few(4, 3.0, "days")
    assert too_few(5, 4.0, "days") == ""


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_as_many_clusters_as_are_asked_for_decide_nine_times_in_ten(alpha):
    """Of six clusters Student's quantiles count: by the normal's, too few would be asked for."""
    distance = 0.8  # in standard deviations of a cluster
    asked = needed(6, distance, 1 / np.sqrt(6), alpha, 5.0)
    few = needed(6, distance, 1 / np.sqrt(6), alpha)
    power = [
        1 - stats.nct.cdf(stats.t.ppf(1 - alpha, n - 1), n - 1, distance * np.sqrt(n)) for n in (asked, few)
    ]
    assert 0.89 < power[0] < 0.93
    assert power[1] < 0.89


# ── how often bounds hold ────────────────────────────────────────────────


def sizes(rng, kind, clusters):
    if kind == "equal":
        return np.full(clusters, 40)
    spread_of = {"unequal": 1.0, "very unequal": 2.0}[kind]
    return np.clip(np.ceil(40 * np.exp(rng.normal(0, spread_of, clusters))), 1, 4000).astype(int)


def losses(rng, kind, codes, clusters):
    """Labels and two models' scores, and the true gain: rows of a cluster share what they gain."""
    n = len(codes)
    if kind == "mae":
        gain = rng.normal(0, 0.5, clusters)[codes] + rng.normal(0, 1, n)
        return np.zeros(n), np.full(n, 5.0), 5.0 + gain, 0.0
    lost, won = (rng.beta(30 * share, 30 * (1 - share), clusters)[codes] for share in (0.06, 0.05))
    at = rng.random(n)
    ours, theirs = np.where(at < lost, 0.1, 0.9), np.where((at > 1 - won) & (at >= lost), 0.1, 0.9)
    return np.ones(n), ours, theirs, -0.01


def held(rng, metric, clusters, kind, trials):
    """How often the lower and the upper bound of 95 % hold."""
    low = high = 0
    for _ in range(trials):
        codes = np.repeat(np.arange(clusters), sizes(rng, kind, clusters))
        labels, ours, theirs, truth = losses(rng, metric, codes, clusters)
        found = paired_difference(metric, labels, ours, theirs, codes, confidence=0.9)
        low += found.low <= truth + 1e-9
        high += found.high >= truth - 1e-9
    return low, high


@pytest.mark.parametrize("metric", ["mae", "accuracy"])
def test_bounds_of_few_unequal_clusters_hold(metric):
    """Of eight clusters as unlike as these, t with seven degrees of freedom holds in 80 of 100."""
    trials = 300
    low, high = held(np.random.default_rng(4), metric, 8, "very unequal", trials)
    assert min(low, high) >= stats.binom.ppf(0.0005, trials, 0.94)


@pytest.mark.soak
@pytest.mark.parametrize("metric", ["mae", "accuracy"])
@pytest.mark.parametrize("kind", ["equal", "unequal", "very unequal"])
@pytest.mark.parametrize("clusters", [5, 8, 12, 20, 50])
def test_the_same_over_sizes_and_numbers_of_clusters(metric, kind, clusters):
    trials = 4000
    low, high = held(np.random.default_rng(clusters), metric, clusters, kind, trials)
    assert min(low, high) >= stats.binom.ppf(0.001, trials, 0.935)


def shares(rng, clusters, kind, trials, share=0.9):
    """How often the bounds of one model's accuracy hold; clusters' own lie around it, beta."""
    low = high = 0
    for _ in range(trials):
        codes = np.repeat(np.arange(clusters), sizes(rng, kind, clusters))
        right = rng.random(len(codes)) < rng.beta(20 * share, 20 * (1 - share), clusters)[codes]
        rows = scored(Measure("accuracy"), np.ones(len(codes)), np.where(right, 0.9, 0.1), None, codes)
        found = assess(Measure("accuracy"), rows, 0.95, Bootstrap(1000)).found
        low += found.low <= share
        high += found.high >= share
    return low, high


def test_the_floor_of_one_model_in_clusters_holds():
    """On its own scale a t bound holds in 90 of 100 here, as clusters' shares are skewed."""
    trials = 400
    low, high = shares(np.random.default_rng(5), 8, "equal", trials)
    assert min(low, high) >= stats.binom.ppf(0.0005, trials, 0.93)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["equal", "unequal", "very unequal"])
@pytest.mark.parametrize("clusters", [5, 8, 12, 20, 50])
def test_the_same_over_numbers_of_clusters(kind, clusters):
    trials = 3000
    low, high = shares(np.random.default_rng(clusters), clusters, kind, trials)
    assert min(low, high) >= stats.binom.ppf(0.001, trials, 0.925)


def test_a_bound_and_its_p_value_agree_on_the_logits_scale():
    rng = np.random.default_rng(6)
    codes = np.repeat(np.arange(10), 30)
    right = rng.random(300) < rng.beta(18, 2, 10)[codes]
    rows = scored(Measure("accuracy"), np.ones(300), np.where(right, 0.9, 0.1), None, codes)
    found = assess(Measure("accuracy"), rows, 0.95, Bootstrap(1000))
    assert found.test == "t, by cluster, on the logit's scale"
    assert 0 < found.found.low < found.found.value < found.found.high < 1
    assert found.below(found.found.high).p_value == pytest.approx(0.05)
    assert found.below(found.found.low).p_value == pytest.approx(0.95)
    assert found.below(1.0).p_value < found.below(0.99).p_value


def test_counts_in_clusters_are_judged_by_t():
    rng = np.random.default_rng(7)
    codes = np.repeat(np.arange(12), rng.integers(10, 60, 12))
    labels = (rng.random(len(codes)) < 0.4).astype(float)
    ours, theirs = (np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.2, len(codes)), 0, 1) for _ in range(2))
    rows = scored(Measure("f1"), labels, ours, theirs, codes)
    found = compare(Measure("f1"), rows, 0.95, Bootstrap(1000))
    assert (found.test, found.found.clusters) == ("paired t, by cluster", 12)
    whole = sk.f1_score(labels, ours >= 0.5) - sk.f1_score(labels, theirs >= 0.5)
    keep = [codes != one for one in range(12)]
    changes = [
        whole - (sk.f1_score(labels[k], ours[k] >= 0.5) - sk.f1_score(labels[k], theirs[k] >= 0.5))
        for k in keep
    ]
    # To first order: the two models' denominators are put together.
    assert found.found.se == pytest.approx(np.sqrt(11 / 12 * np.square(changes).sum()), rel=0.02)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "brier", "f1"])
def test_verdicts_on_clusters_can_be_kept(metric):
    rng = np.random.default_rng(8)
    codes = np.repeat(np.arange(12), rng.integers(10, 60, 12))
    labels = (rng.random(len(codes)) < 0.4).astype(float)
    ours, theirs = (np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.2, len(codes)), 0, 1) for _ in range(2))
    checks = ChecksConfig(performance=PerformanceCheck(metric=metric, bound=0.4, recipe=True))
    seeds = [np.clip(ours + rng.normal(0, 0.05, len(codes)), 0, 1) for _ in range(4)]
    holdout = Holdout(labels=labels, inputs={"x": rng.random(len(codes))}, clusters=codes, unit="days")
    found = judge(checks, holdout, ours, theirs, replicas=seeds, other_replicas=seeds)
    assert {one.check for one in found} >= {"bound", "no_worse", "recipe"}
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[Verdict]) == found


def test_a_recipe_on_few_clusters_is_inconclusive():
    rng = np.random.default_rng(9)
    codes, labels = np.arange(400) % 4, (rng.random(400) < 0.4).astype(float)
    ours, theirs = ([np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.2, 400), 0, 1)] * 5 for _ in range(2))
    checks = ChecksConfig(performance=PerformanceCheck(metric="brier", margin=0.5, recipe=True))
    holdout = Holdout(labels=labels, inputs={}, clusters=codes, unit="days")
    found = judge(checks, holdout, ours[0], theirs[0], replicas=ours[1:], other_replicas=theirs[1:])
    [recipe] = [one for one in found if one.check == "recipe"]
    assert recipe.outcome == "inconclusive"
    assert "4 days are too few to tell how sure that is (5 are needed)" in recipe.sentence


# ── what clusters gain is skewed ─────────────────────────────────────────


def days(rng, count, gains):
    """Held-out rows of days that gain so much: labels are 0, production errs by 50 on each row."""
    codes = np.repeat(np.arange(count), 30)
    ours = 50 - gains[codes] - rng.normal(0, 0.1, len(codes))
    holdout = Holdout(labels=np.zeros(len(codes)), inputs={}, clusters=codes, unit="days")
    return holdout, ours, np.full(len(codes), 50.0)


def verdict_on(rng, gains, margin):
    checks = ChecksConfig(performance=PerformanceCheck(metric="mae", margin=margin))
    return judge(checks, *days(rng, len(gains), gains))[0]


def test_a_rare_large_loss_is_told_and_moves_the_lower_bound():
    rng = np.random.default_rng(10)
    gains = np.append(rng.normal(0.1, 0.1, 19), -2.0)
    found = verdict_on(rng, gains, 0.3)
    assert found.outcome == "inconclusive"
    assert "days are skewed (skewness -4.3): rare large losses move the lower bound" in found.sentence
    # Student's bound alone would have passed.
    assert found.estimate - stats.t.ppf(0.95, 19) * gains.std(ddof=1) / np.sqrt(20) > -0.3
    assert found.n_needed > 20
    assert "skewed" not in verdict_on(rng, rng.normal(0.1, 0.1, 20), 0.3).sentence


@pytest.mark.parametrize("count", [8, 20])
def test_a_loss_at_the_margin_seldom_passes_though_few_days_show_it(count):
    """Losses are exponential, on average the margin; of t's verdicts 11 to 14 in 100 pass."""
    rng, trials, passed = np.random.default_rng(count), 300, 0
    for _ in range(trials):
        found = verdict_on(rng, 0.7 - rng.exponential(size=count), 0.3)
        passed += found.outcome in {"pass", "warn"}
    assert passed <= stats.binom.ppf(0.9995, trials, 0.055)


def test_the_days_that_a_skewed_sample_asks_for_mostly_decide():
    rng, trials, passed = np.random.default_rng(12), 60, 0
    told = []
    for _ in range(trials):
        pilot = verdict_on(rng, 1.0 - rng.exponential(size=25), 0.3)
        if pilot.n_needed:
            told.append(pilot.n_needed)
    asked = int(np.median(told))
    assert asked > 40
    for _ in range(trials):
        passed += verdict_on(rng, 1.0 - rng.exponential(size=asked), 0.3).outcome == "pass"
    assert passed >= stats.binom.ppf(0.0005, trials, 0.85)
