"""Decisions on the whole and its groups, by one metric and several: what they are and how often they err."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from treadle.evaluate import Holdout
from treadle.evaluate.performance import judge
from treadle.evaluate.rules import together
from treadle.kernel.config import AlsoCheck, ChecksConfig, GroupCheck, PerformanceCheck
from treadle.kernel.errors import InvalidInput


def checks(metric="accuracy", margin=0.05, whole=None, by=(), intersections=(), **rest):
    return ChecksConfig(
        performance=PerformanceCheck(
            metric=metric, margin=margin if whole is None else whole, resamples=1000, **rest
        ),
        groups=GroupCheck(by=list(by), intersections=list(intersections), margin=margin, min_rows=20),
    )


def decided(rng, n, lost, won, groups=1, prevalence=0.5):
    """Groups of n rows with the share of rows that only one of the models has right."""
    size = n * groups
    labels = (rng.random(size) < prevalence).astype(float)
    theirs = np.where(rng.random(size) < 0.8, labels, 1 - labels)
    at = rng.random(size)
    lost, won = np.repeat(np.broadcast_to(lost, groups), n), np.repeat(np.broadcast_to(won, groups), n)
    right = theirs == labels
    flip = np.where(right, at < lost / 0.8, at < won / 0.2)
    ours = np.where(flip, 1 - theirs, theirs)
    names = np.repeat([f"{i:02}" for i in range(groups)], n).astype(object)
    holdout = Holdout(labels=labels, inputs={}, groups={"g": names})
    return holdout, 0.1 + 0.8 * ours, 0.1 + 0.8 * theirs


def by(verdicts, subject, metric):
    (found,) = [v for v in verdicts if (v.check, v.subject, v.metric) == ("no_worse", subject, metric)]
    return found


def test_several_metrics_each_with_its_margin():
    holdout, ours, theirs = decided(np.random.default_rng(1), 2000, 0.01, 0.01, 2)
    also = {"recall": AlsoCheck(margin=0.02, group_margin=0.03, bound=0.7), "f1": AlsoCheck(margin=0.02)}
    verdicts = judge(checks(also=also, bound=0.75), holdout, ours, theirs, "toy/3")
    assert [(v.check, v.metric) for v in verdicts[:2]] == [("bound", "accuracy"), ("bound", "recall")]
    assert {v.outcome for v in verdicts} == {"pass"}
    assert {v.subject for v in verdicts if v.metric == "f1"} == {"overall", "g=00", "g=01"}
    assert by(verdicts, "overall", "recall").bound == -0.02
    assert by(verdicts, "g=00", "recall").bound == -0.03
    assert by(verdicts, "g=00", "f1").bound == -0.02
    accuracy = by(verdicts, "overall", "accuracy")
    assert accuracy.test == "Tango score"
    assert "right on " in accuracy.sentence
    assert "McNemar's exact p for worse" in accuracy.sentence
    recall = by(verdicts, "overall", "recall")
    assert (recall.unit, recall.n) == ("true rows", int(holdout.labels.sum()))
    assert by(verdicts, "g=01", "f1").groups == ("g=01",)
    assert by(verdicts, "overall", "f1").test == "bootstrap, 1,000 counts"


def test_a_metric_beside_the_primary_one_binds():
    # The candidate never says true where production does: accuracy hardly changes, recall falls.
    rng = np.random.default_rng(2)
    labels = (rng.random(4000) < 0.03).astype(float)
    theirs = np.where(labels == 1, np.where(rng.random(4000) < 0.7, 0.9, 0.1), 0.1)
    ours = np.where(rng.random(4000) < 0.5, 0.1, theirs)
    holdout = Holdout(labels=labels, inputs={})
    alone = judge(checks(), holdout, ours, theirs)
    assert together(alone) in {"pass", "warn"}
    both = judge(checks(also={"recall": AlsoCheck(margin=0.05)}), holdout, ours, theirs)
    assert by(both, "overall", "recall").outcome == "fail"
    assert together(both) == "fail"


def test_an_intersection_is_judged_where_each_side_looks_well():
    rng = np.random.default_rng(3)
    holdout, _, theirs = decided(rng, 8000, 0, 0)
    size = len(theirs)
    sex, race = (np.array(list(values), dtype=object)[rng.integers(0, 2, size)] for values in ("FM", "ab"))
    harmed = ((sex == "F") & (race == "b")) != (rng.random(size) < 0.0)
    wrong = np.where(theirs > 0.5, 0.1, 0.9)
    ours = np.where(harmed & (rng.random(size) < 0.15), wrong, theirs)
    other = (sex == "F") ^ (race == "b")
    mends = other & (rng.random(size) < 0.25) & ((theirs > 0.5) != (holdout.labels == 1))
    ours = np.where(mends, wrong, ours)
    holdout = Holdout(labels=holdout.labels, inputs={}, groups={"sex": sex, "race": race})
    single = judge(checks(by=["sex", "race"]), holdout, ours, theirs)
    assert together(single) in {"pass", "warn"}
    verdicts = judge(checks(by=["sex", "race"], intersections=[["sex", "race"]]), holdout, ours, theirs)
    assert by(verdicts, "sex=F, race=b", "accuracy").outcome == "fail"
    assert {v.subject for v in verdicts if ", " in v.subject} == {
        f"sex={s}, race={r}" for s in "FM" for r in "ab"
    }


def test_columns_of_intersections_alone_are_no_groups():
    holdout, ours, theirs = decided(np.random.default_rng(4), 400, 0.01, 0.01, 2)
    holdout = Holdout(labels=holdout.labels, inputs={}, groups={**holdout.groups, "h": holdout.groups["g"]})
    verdicts = judge(checks(intersections=[["g", "h"]]), holdout, ours, theirs)
    assert [v.subject for v in verdicts] == ["overall", "g=00, h=00", "g=01, h=01"]


def test_few_clusters_are_inconclusive_whatever_the_figures():
    holdout, ours, theirs = decided(np.random.default_rng(5), 400, 0.0, 0.1)
    for metric in ("accuracy", "f1", "roc_auc"):
        for clusters, outcome in ((4, "inconclusive"), (40, "pass")):
            days = Holdout(labels=holdout.labels, inputs={}, clusters=np.arange(400) % clusters, unit="days")
            found = by(judge(checks(metric), days, ours, theirs), "overall", metric)
            assert (found.outcome, found.n, found.unit) == (outcome, clusters, "days")
            assert ("too few to tell how sure" in found.sentence) == (clusters == 4)


def test_a_bound_on_few_clusters_is_inconclusive():
    holdout, ours, _ = decided(np.random.default_rng(5), 400, 0.0, 0.1)
    days = Holdout(labels=holdout.labels, inputs={}, clusters=np.arange(400) % 3, unit="days")
    (bound, _) = judge(checks(bound=0.1), days, ours, None)
    assert bound.outcome == "inconclusive"
    assert "3 days (400 rows) are too few to tell how sure that is (5 are needed)" in bound.sentence


def test_queries_that_are_split_by_a_group_are_not_judged_there():
    rng = np.random.default_rng(6)
    queries = np.repeat(np.arange(60), 10)
    relevance = rng.integers(0, 3, 600).astype(float)
    ours, theirs = (relevance + rng.normal(0, 1, 600) for _ in range(2))
    device = np.where(queries < 30, "a", "b").astype(object)
    split = np.where(np.arange(600) % 2, "x", "y").astype(object)
    holdout = Holdout(
        labels=relevance, inputs={}, groups={"device": device, "split": split}, clusters=queries
    )
    verdicts = judge(checks("ndcg", 0.5), holdout, ours, theirs)
    assert by(verdicts, "device=a", "ndcg").outcome == "pass"
    assert (by(verdicts, "device=a", "ndcg").n, by(verdicts, "overall", "ndcg").n) == (30, 60)
    assert by(verdicts, "overall", "ndcg").unit == "queries"
    assert by(verdicts, "split=x", "ndcg").outcome == "inconclusive"
    assert "some queries lie only partly in the group" in by(verdicts, "split=x", "ndcg").sentence


def test_several_classes_are_judged():
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, 900)
    theirs = rng.gamma(1.0, size=(900, 3)) + np.eye(3)[labels]
    ours = theirs + rng.gamma(0.1, size=(900, 3))
    ours, theirs = (one / one.sum(axis=1, keepdims=True) for one in (ours, theirs))
    holdout = Holdout(labels=labels.astype(float), inputs={})
    also = {"macro_f1": AlsoCheck(margin=0.1), "log_loss": AlsoCheck(margin=0.1)}
    also |= {"top_k_accuracy": AlsoCheck(margin=0.1)}
    verdicts = judge(checks("accuracy", 0.1, also=also, k=2), holdout, ours, theirs)
    assert [v.metric for v in verdicts] == ["accuracy", "macro_f1", "log_loss", "top_k_accuracy"]
    assert {v.outcome for v in verdicts} <= {"pass", "warn"}
    assert [v.test for v in verdicts] == ["Tango score", "paired t", "paired t", "Tango score"]


def test_replicas_show_the_noise_of_training_with_every_metric():
    holdout, ours, theirs = decided(np.random.default_rng(8), 3000, 0.01, 0.01)
    rng = np.random.default_rng(9)
    replicas = [np.where(rng.random(3000) < 0.01, 1 - ours, ours) for _ in range(4)]
    verdicts = judge(checks(also={"f1": AlsoCheck(margin=0.05)}), holdout, ours, theirs, replicas=replicas)
    values = [((one >= 0.5) == holdout.labels).mean() for one in (ours, *replicas)]
    spread = f"{np.std(values, ddof=1):.4f}"
    said = f"from seed to seed it moves by {spread} (standard deviation of 5 replicas)"
    assert said in by(verdicts, "overall", "accuracy").sentence
    assert "standard deviation of 5 replicas" in by(verdicts, "overall", "f1").sentence


def test_tiny_and_constant_inputs_give_no_number_that_looks_fine():
    one = Holdout(labels=np.array([1.0]), inputs={})
    for metric in ("accuracy", "recall", "log_loss", "roc_auc", "f1"):
        with pytest.raises(InvalidInput):
            judge(checks(metric), one, [0.9], [0.8])
    three = Holdout(labels=np.array([1.0, 0.0, 1.0]), inputs={})
    for metric in ("accuracy", "recall", "log_loss", "f1"):
        verdicts = judge(checks(metric, 0.05), three, [0.9, 0.2, 0.8], [0.8, 0.3, 0.9])
        assert together(verdicts) == "inconclusive", metric
    flat = judge(
        checks("roc_auc", 0.05),
        decided(np.random.default_rng(1), 60, 0, 0)[0],
        np.full(60, 0.5),
        np.full(60, 0.4),
    )
    assert together(flat) == "inconclusive"


def test_bounds_lie_where_the_figure_can():
    """Two true rows among thirty: Student's bounds would lie beyond a loss of everything."""
    rng, labels = np.random.default_rng(4), np.zeros(30)
    labels[:2] = 1
    holdout = Holdout(labels=labels, inputs={})
    for _ in range(20):
        ours, theirs = rng.random(30), 0.5 * labels + 0.5 * rng.random(30)
        gained, reached = judge(checks("roc_auc", 0.02, bound=0.5), holdout, ours, theirs)[::-1]
        assert (gained.check, reached.check) == ("no_worse", "bound")
        assert -1 <= gained.low <= gained.estimate <= gained.high <= 1
        assert 0 <= reached.low <= reached.estimate <= reached.high <= 1


def fails(rng, trials, n, groups, lost, won, margin, metric="accuracy"):
    outcomes = []
    for _ in range(trials):
        verdicts = judge(checks(metric, margin, whole=1.0), *decided(rng, n, lost, won, groups))
        outcomes.append(together(verdicts))
    return outcomes


FAMILIES = [(2, 500), (10, 250), (50, 100)]


@pytest.mark.parametrize(("groups", "trials"), FAMILIES)
def test_false_fails_over_many_groups_stay_within_alpha(groups, trials):
    """All groups exactly on the line, which is so by accuracy and by F1."""
    found = fails(np.random.default_rng(10), trials, 200, groups, 0.07, 0.02, 0.05)
    assert found.count("fail") <= stats.binom.ppf(0.9995, trials, 0.05)


@pytest.mark.soak
@pytest.mark.parametrize("metric", ["accuracy", "f1"])
@pytest.mark.parametrize(("groups", "trials"), FAMILIES)
def test_the_same_over_many_samples(groups, trials, metric):
    trials *= 8 if metric == "accuracy" else 2
    found = fails(np.random.default_rng(11), trials, 200, groups, 0.07, 0.02, 0.05, metric)
    assert found.count("fail") <= stats.binom.ppf(0.999, trials, 0.05)


def test_false_passes_with_one_group_on_the_line_stay_within_alpha():
    trials = 400
    lost = np.array([0.07, 0.0, 0.0])
    found = fails(np.random.default_rng(12), trials, 200, 3, lost, 0.02, 0.05)
    false = found.count("pass") + found.count("warn")
    assert false <= stats.binom.ppf(0.9995, trials, 0.05)


def test_the_stated_size_decides_in_nine_samples_of_ten():
    """The size that a pilot asks for, of two models that differ on as many rows either way."""
    rng = np.random.default_rng(13)
    labels = np.ones(400)
    theirs = np.full(400, 0.9)
    theirs[:10] = 0.1
    ours = np.full(400, 0.9)
    ours[10:20] = 0.1  # 10 won, 10 lost: no difference, 5 % of rows differ
    pilot = judge(checks("accuracy", 0.01), Holdout(labels=labels, inputs={}), ours, theirs)[0]
    assert pilot.outcome == "inconclusive"
    # (1.645 + 1.282)^2 * 0.05 / 0.01^2, as in tables for paired proportions (Lachenbruch, 1992).
    assert pilot.n_needed == pytest.approx((stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) ** 2 * 500, rel=0.005)
    trials, passed = 400, 0
    for _ in range(trials):
        holdout, a, b = decided(rng, pilot.n_needed, 0.025, 0.025)
        found = judge(checks("accuracy", 0.01, by=["no"]), Holdout(labels=holdout.labels, inputs={}), a, b)
        passed += found[0].outcome in {"pass", "warn"}
    low, high = stats.binom.interval(0.999, trials, 0.9)
    assert low <= passed <= high
